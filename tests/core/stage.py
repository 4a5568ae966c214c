"""A stage for one run: plans are carried out as they should be, and each test says what becomes of the Jobs."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from tpt_runtime.core.actions import Action, DeleteJob, Plan, ReleaseJob, StartStep
from tpt_runtime.core.observed import Failure, FailureKind, JobState, Observed, ObservedJob
from tpt_runtime.core.plan import plan
from tpt_runtime.core.spec import Run
from tpt_runtime.core.status import Condition, ConditionType, Metric, RoundStatus, RunStatus, StepName, StepStatus

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
SPEC: Mapping[str, Any] = {
    "maxRounds": 2,
    "model": {"uri": "base"},
    "dataset": {"train": {"uri": "train.jsonl"}},
    "storage": {"persistentVolumeClaim": {"claimName": "runs"}},
}


class Stage:
    """A run, its Jobs and the time."""

    def __init__(self, values: tuple[float, ...] = (0.2, 0.4, 0.6), **spec: Any) -> None:
        """Begin with a run of two rounds; `values` are the validation pass@1 of models 0, 1, 2; `spec` changes fields."""
        self.values = values
        self.figures: Callable[[int], Mapping[str, float]] | None = None
        self.now = START
        self.jobs: dict[str, ObservedJob] = {}
        self.started: list[StartStep] = []
        self.run = Run.model_validate(
            {
                "apiVersion": "tpt.dev/v1alpha1",
                "kind": "SelfImprovementRun",
                "metadata": {"name": "example", "uid": "u1", "generation": 1},
                "spec": {**SPEC, **spec},
            }
        )

    # what the operator does

    def ask(self) -> Plan:
        """Plan, and carry nothing out."""
        return plan(self.run, Observed(tuple(self.jobs.values())), self.now)

    def plan(self) -> Plan:
        """Plan, store the status, carry out the actions."""
        made = self.ask()
        self.run = self.run.model_copy(update={"status": made.status.full_wire()})
        for action in made.actions:
            self._carry_out(action)
        return made

    def _carry_out(self, action: Action) -> None:
        match action:
            case StartStep(job=name):
                self.started.append(action)
                fresh = ObservedJob(name, action.step, action.round, action.attempt, JobState.PENDING, created=self.now)
                self.jobs.setdefault(name, fresh)
            case DeleteJob(job=name):
                self.change_job(name, deleting=True, deleting_since=self.now)
            case ReleaseJob(job=name):
                self.change_job(name, released=True)

    # what happens

    def later(self, seconds: float) -> Self:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
        return self

    def change_job(self, name: str, **fields: Any) -> None:
        """Change what is seen of a Job."""
        self.jobs[name] = replace(self.jobs[name], **fields)

    @property
    def start(self) -> StartStep:
        """What was started last."""
        return self.started[-1]

    @property
    def job(self) -> ObservedJob:
        """The Job that was started last."""
        return self.jobs[self.start.job]

    def runs(self) -> Self:
        """Let the latest Job's pods start."""
        self.change_job(self.start.job, state=JobState.RUNNING, started=self.now)
        return self

    def succeeds(self, *summaries: Mapping[str, Any] | None) -> Self:
        """Let the latest Job end well, handing in `summaries`, or what such a step says."""
        said = summaries or self.summaries(self.start)
        self.change_job(self.start.job, state=JobState.SUCCEEDED, finished=self.now, summaries=said)
        return self

    def fails(self, kind: FailureKind = FailureKind.CRASH, message: str = "CUDA out of memory") -> Self:
        """Let the latest Job fail."""
        self.change_job(self.start.job, state=JobState.FAILED, finished=self.now, failure=Failure(kind, message, 1))
        return self

    def gone(self, name: str | None = None) -> Self:
        """Let a Job, by default the latest, vanish."""
        del self.jobs[name or self.start.job]
        return self

    def spec(self, **fields: Any) -> Self:
        """Change the spec, as `kubectl apply` would."""
        spec = self.run.spec.full_wire()
        for name, value in fields.items():
            spec[name] = {**spec.get(name, {}), **value} if isinstance(value, dict) else value
        generation = self.run.metadata.generation + 1
        metadata = self.run.metadata.model_copy(update={"generation": generation})
        self.run = self.run.model_copy(update={"spec": type(self.run.spec).model_validate(spec), "metadata": metadata})
        return self

    def until(self, step: StepName | None, number: int = 0) -> Self:
        """Let everything go well until a step has been started; None: until nothing is started any more."""
        for _ in range(60):
            made = self.plan()
            starts = [action for action in made.actions if isinstance(action, StartStep)]
            if not starts and step is None:
                return self
            if (self.start.step, self.start.round) == (step, number):
                return self
            self.succeeds()
        raise AssertionError(f"{step} {number} is never started: {self.sequence()}")

    def sequence(self) -> list[tuple[str, int]]:
        """Return the steps in the order in which they were started, each once."""
        return list(dict.fromkeys((start.step.value, start.round) for start in self.started))

    # what the steps say

    def summaries(self, start: StartStep) -> tuple[Mapping[str, Any], ...]:
        """Return what a step that ends well hands in."""
        base: dict[str, Any] = {"step": start.step.value, "digest": "0123456789abcdef"}
        match start.step:
            case StepName.PREPARE:
                return ({**base, "resolved": {"modelRevision": "abc", "counts": {"train": 100, "validation": 20}}},)
            case StepName.SAMPLE | StepName.EVALUATE:
                shards = range(start.indexes)
                return tuple({**base, "shard": shard, "prompts": 50, "samples": 200, "tokens": 9000} for shard in shards)
            case StepName.TRAIN:
                return ({**base, "metrics": [{"name": "train/loss", "value": 0.25}]},)
            case StepName.PRUNE:
                return (self.pruned(start),)
            case StepName.GRADE:
                return ({**base, "outcome": "GradedOnly", "metrics": self.metrics(start.round)},)
            case StepName.FINALIZE:
                return ({**base, "kept": ["a"], "removed": 1},)

    def pruned(self, start: StartStep, outcome: str = "Trainable", examples: int = 100) -> Mapping[str, Any]:
        """Return the summary of a prune step."""
        return {
            "step": "prune",
            "digest": "0123456789abcdef",
            "outcome": outcome,
            "samples": {"total": 400, "correct": 150, "wrong": 250},
            "examples": examples,
            "metrics": self.metrics(start.round - 1) if start.evaluate else [],
        }

    def metrics(self, model: int) -> list[Mapping[str, Any]]:
        """Return the figures of a model: `figures`, if a test has set them."""
        if self.figures is not None:
            return [{"name": name, "value": value} for name, value in self.figures(model).items()]
        value = self.values[min(model, len(self.values) - 1)]
        return [
            {"name": "validation/pass@1", "value": value, "low": value - 0.1, "high": value + 0.1},
            {"name": "eval/pass@1", "value": value - 0.05},
        ]

    # what the status says

    @property
    def status(self) -> RunStatus:
        """The stored status."""
        return RunStatus.from_wire(self.run.status or {})

    def round(self, number: int) -> RoundStatus:
        """Return a round of the stored status."""
        return next(entry for entry in self.status.rounds if entry.round == number)

    def record(self, step: StepName, number: int) -> StepStatus:
        """Return a step of the stored status."""
        return next(record for record in self.round(number).steps if record.name is step)

    def metric(self, number: int, name: str) -> Metric:
        """Return a figure of the stored status."""
        return next(metric for metric in self.round(number).metrics if metric.name == name)

    def condition(self, kind: ConditionType) -> Condition:
        """Return a condition of the stored status."""
        return next(condition for condition in self.status.conditions if condition.type is kind)

    @property
    def over(self) -> str | None:
        """The reason why the run is complete or has failed."""
        ends = (self.condition(kind) for kind in (ConditionType.COMPLETE, ConditionType.FAILED))
        return next((end.reason for end in ends if end.status == "True"), None)


def starts(made: Plan) -> list[tuple[str, int, int]]:
    """Return what a plan starts: step, round, attempt."""
    return [(a.step.value, a.round, a.attempt) for a in made.actions if isinstance(a, StartStep)]


def deletes(made: Plan) -> list[str]:
    """Return the Jobs that a plan deletes."""
    return [action.job for action in made.actions if isinstance(action, DeleteJob)]


def releases(made: Plan) -> list[str]:
    """Return the Jobs that a plan releases."""
    return [action.job for action in made.actions if isinstance(action, ReleaseJob)]
