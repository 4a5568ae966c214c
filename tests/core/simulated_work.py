"""What a simulated run is like, its Jobs as they really are, and the artifacts that its steps need and make."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tpt_runtime.core.actions import StartStep
from tpt_runtime.core.observed import Failure, JobState, ObservedJob
from tpt_runtime.core.status import PruneOutcome, StepName

SHARDS = 2

Key = tuple[StepName, int]
"""One step of one round."""
Artifact = tuple[str, int]


@dataclass(frozen=True)
class Scenario:
    """What a run is like, apart from what goes wrong."""

    tape: bytes = b""
    max_rounds: int = 2
    every_rounds: int = 1
    goal: float | None = None
    patience: int | None = None
    max_attempts: int = 3
    step_deadline: int | None = None
    pending_deadline: int | None = None
    run_deadline: int | None = None
    values: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8)
    """Objective of model 0, 1 and so on; the last holds for all after it."""
    barren: int | None = None
    """The round that finds nothing to train on."""
    stubborn: StepName | None = None
    """The step that crashes every time."""
    calm: int = 1
    """In a calm world fewer things happen besides what happens to Jobs."""
    release_removes: bool = False
    """Whether a released Job is gone at once (as on one machine) or some time later."""

    def value(self, number: int) -> float:
        """Return the objective of model `number`."""
        return self.values[min(number, len(self.values) - 1)]

    def trainable(self, number: int) -> bool:
        """Return whether round `number` finds something to train on."""
        return number != self.barren

    def spec(self) -> dict[str, Any]:
        """Return the spec as a user would write it."""
        objective: dict[str, Any] = {} if self.goal is None else {"goal": self.goal}
        if self.patience is not None:
            objective["earlyStopping"] = {"patienceRounds": self.patience}
        policy = {
            "maxAttempts": self.max_attempts,
            "stepDeadlineSeconds": self.step_deadline,
            "pendingDeadlineSeconds": self.pending_deadline,
            "runDeadlineSeconds": self.run_deadline,
        }
        return {
            "maxRounds": self.max_rounds,
            "objective": objective,
            "model": {"uri": "base"},
            "dataset": {"train": {"uri": "train.jsonl"}},
            "sampling": {"shards": SHARDS},
            "evaluation": {"everyRounds": self.every_rounds, "k": [1, 4]},
            "storage": {"persistentVolumeClaim": {"claimName": "runs"}},
            "failurePolicy": {name: value for name, value in policy.items() if value is not None},
        }


@dataclass
class Job:
    """One Job as it really is."""

    start: StartStep
    created: datetime
    generation: int
    state: JobState = JobState.PENDING
    blocked: bool = False
    hung: bool = False
    """It stays as it is until it is deleted; only where there is a deadline for that."""
    started: datetime | None = None
    finished: datetime | None = None
    deleting_since: datetime | None = None
    failure: Failure | None = None
    summaries: tuple[Mapping[str, Any] | None, ...] = ()
    released: bool = False

    @property
    def key(self) -> Key:
        """The step that it is an attempt of."""
        return self.start.step, self.start.round

    @property
    def live(self) -> bool:
        """Whether it has not finished."""
        return self.state in (JobState.PENDING, JobState.RUNNING)

    @property
    def moves(self) -> bool:
        """Whether something will become of it by itself."""
        return self.deleting_since is not None or (self.live and not self.hung)

    def seen(self) -> ObservedJob:
        """Return it as it looks now."""
        start = self.start
        return ObservedJob(
            name=start.job,
            step=start.step,
            round=start.round,
            attempt=start.attempt,
            state=self.state,
            created=self.created,
            started=self.started,
            finished=self.finished,
            deleting=self.deleting_since is not None,
            deleting_since=self.deleting_since,
            failure=self.failure,
            summaries=self.summaries,
            blocked="0/3 nodes have a free GPU" if self.blocked else None,
            released=self.released,
        )


def outcome(job: ObservedJob) -> tuple[object, ...]:
    """Return what tells a finished Job from others of its name."""
    return job.name, job.created, job.finished, job.state, job.failure


@dataclass
class Storage:
    """The artifacts of a run: what each step needs and what it makes."""

    scenario: Scenario
    artifacts: set[Artifact] = field(default_factory=set)

    def missing(self, start: StartStep) -> list[Artifact]:
        """Return what a step needs and does not find."""
        number = start.round
        before: list[Artifact] = []
        match start.step:
            case StepName.SAMPLE:
                before = [self._model(number - 1)]
            case StepName.PRUNE:
                before = [("sample", number), *([("evaluate", number - 1)] if start.evaluate else [])]
            case StepName.TRAIN:
                before = [("prune", number), self._model(number - 1)]
            case StepName.EVALUATE | StepName.FINALIZE:
                before = [self._model(number)]
            case StepName.GRADE:
                before = [("evaluate", number)]
            case StepName.PREPARE:
                pass
        graded = [number for number in (start.compare, start.best_round) if number is not None]
        return [artifact for artifact in (*before, *(("grade", number) for number in graded)) if artifact not in self.artifacts]

    def outputs(self, start: StartStep) -> list[Artifact]:
        """Return what a step makes."""
        made = [(start.step.value, start.round)]
        if start.evaluate:
            made.append(("evaluate" if start.step is StepName.SAMPLE else "grade", start.round - 1))
        return made

    @staticmethod
    def _model(number: int) -> Artifact:
        return ("train", number) if number else ("prepare", 0)

    def summaries(self, start: StartStep) -> tuple[Mapping[str, Any], ...]:
        """Return what every index of a step says when it has ended well."""
        base: dict[str, Any] = {"step": start.step.value, "digest": "0123456789abcdef"}
        match start.step:
            case StepName.PREPARE:
                return ({**base, "resolved": {"counts": {"train": 100, "validation": 20}}},)
            case StepName.SAMPLE | StepName.EVALUATE:
                counts = {"prompts": 50, "samples": 200, "tokens": 9000}
                return tuple({**base, **counts, "shard": index} for index in range(start.indexes))
            case StepName.TRAIN:
                return ({**base, "metrics": [{"name": "train/loss", "value": 0.5}]},)
            case StepName.PRUNE:
                return ({**base, **self._selected(start.round), "metrics": self._metrics(start.round - 1, start.evaluate)},)
            case StepName.GRADE:
                return ({**base, "outcome": "GradedOnly", "metrics": self._metrics(start.round, True)},)
            case StepName.FINALIZE:
                return ({**base, "kept": [], "removed": 0},)

    def _metrics(self, number: int, evaluated: bool) -> list[dict[str, Any]]:
        figures = {"train/pass@1": 0.5}
        if evaluated:
            figures |= {"validation/pass@1": self.scenario.value(number), "validation/pass@4": 1 - self.scenario.value(number)}
        return [{"name": name, "value": value} for name, value in figures.items()]

    def _selected(self, number: int) -> dict[str, Any]:
        good = self.scenario.trainable(number)
        outcome = PruneOutcome.TRAINABLE if good else PruneOutcome.TOO_FEW_EXAMPLES
        return {"outcome": outcome.value, "samples": {"total": 400, "correct": 200}, "examples": 100 if good else 3}
