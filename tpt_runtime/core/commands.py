"""One definition of every step's configuration: what the local runner and Kubernetes hand to `python -m tpt_runtime.STEP`."""

from typing import Any

from tpt_runtime.core import layout
from tpt_runtime.core.actions import StartStep
from tpt_runtime.core.budget import examples_per_prompt
from tpt_runtime.core.choices import Strategy
from tpt_runtime.core.configs import (
    FinalizeConfig,
    GradePart,
    PrepareConfig,
    PruneConfig,
    SampleConfig,
    SamplePart,
    SelectPart,
    StepConfig,
    TrainConfig,
)
from tpt_runtime.core.model import fixed_settings
from tpt_runtime.core.paths import Paths, digest_of
from tpt_runtime.core.sampling import Evaluation, Sampling
from tpt_runtime.core.spec import Run, Training
from tpt_runtime.core.status import RunStatus, StepName

PROGRAMS = {
    StepName.PREPARE: "tpt_runtime.prepare",
    StepName.SAMPLE: "tpt_runtime.sample",
    StepName.PRUNE: "tpt_runtime.prune",
    StepName.TRAIN: "tpt_runtime.train",
    StepName.EVALUATE: "tpt_runtime.sample",
    StepName.GRADE: "tpt_runtime.prune",
    StepName.FINALIZE: "tpt_runtime.finalize",
}


def learning_rate(training: Training) -> float:
    """Return the peak learning rate: as set, or by method."""
    if training.learning_rate is not None:
        return training.learning_rate
    return 1e-4 if training.method == "LoRA" else 1e-6


def _seconds(status: RunStatus) -> dict[int, dict[str, float]]:
    """Return wall time by round and step, of the steps that have ended."""
    times: dict[int, dict[str, float]] = {}
    for entry in status.rounds:
        for step in entry.steps:
            if step.start_time and step.completion_time:
                duration = (step.completion_time - step.start_time).total_seconds()
                times.setdefault(entry.round, {})[step.name.value] = duration
    return times


class Commands:
    """Builds the configuration of every step of one run."""

    def __init__(self, run: Run, storage: str, root: str) -> None:
        """Build for `run`, whose artifacts are at home at `root`; relative URIs count from `storage`. Folders, or s3:// URIs."""
        self.run = run
        self.spec = run.spec
        self.paths = Paths(run.spec)
        self._where = {"run": run.metadata.name, "namespace": run.metadata.namespace, "storage": storage, "root": root}
        if root.startswith("s3://") and run.spec.storage.secret_ref is not None:
            self._where["storage_secret"] = run.spec.storage.secret_ref.name

    def config(self, start: StartStep) -> StepConfig:  # noqa: PLR0911 - one return for each step
        """Return the configuration of the step that the planner wants started."""
        number, attempt = start.round, start.attempt
        match start.step:
            case StepName.SAMPLE:
                return self.sample(number, attempt, evaluate=start.evaluate)
            case StepName.PRUNE:
                return self.prune(number, attempt, evaluate=start.evaluate, compare=start.compare)
            case StepName.TRAIN:
                return self.train(number, attempt)
            case StepName.EVALUATE:
                return self.evaluate(number, attempt)
            case StepName.GRADE:
                return self.grade(number, attempt, compare=start.compare)
            case StepName.FINALIZE:
                return self.finalize(number, attempt, best_round=start.best_round, status=self.run.status or {})
            case StepName.PREPARE:
                return self.prepare(attempt)

    def prepare(self, attempt: int) -> PrepareConfig:
        """Return the configuration of prepare."""
        spec, digest = self.spec, self.paths.prepare
        return PrepareConfig(
            **self._step(StepName.PREPARE, 0, attempt),
            digest=digest,
            path=layout.prepare_dir(digest),
            model=spec.model,
            dataset=spec.dataset,
            verifier=spec.pruning.verifier,
            seed=spec.sampling.seed,
            max_tokens=spec.sampling.max_tokens,
            min_examples=spec.pruning.min_examples,
            examples_per_prompt=examples_per_prompt(spec),
            rationalization=spec.sampling.rationalization,
        )

    def sample(self, number: int, attempt: int, *, evaluate: bool) -> SampleConfig:
        """Return the configuration of round `number`'s sample step; `evaluate` also measures model `number` - 1, first."""
        parts = [self._evaluate_part(number - 1)] if evaluate else []
        return self._sample(StepName.SAMPLE, number, attempt, number - 1, [*parts, self._train_part(number)])

    def evaluate(self, number: int, attempt: int) -> SampleConfig:
        """Return the configuration of the closing evaluation of model `number`."""
        return self._sample(StepName.EVALUATE, number, attempt, number, [self._evaluate_part(number)])

    def prune(self, number: int, attempt: int, *, evaluate: bool, compare: int | None) -> PruneConfig:
        """Return the configuration of round `number`'s prune step; `compare` is the best round before the evaluated model."""
        return PruneConfig(
            **self._step(StepName.PRUNE, number, attempt),
            verifier=self.spec.pruning.verifier,
            metric=self.spec.objective.metric,
            grade=self._grade_part(number - 1, compare) if evaluate else None,
            select=self._select_part(number, evaluated=evaluate),
        )

    def grade(self, number: int, attempt: int, *, compare: int | None) -> PruneConfig:
        """Return the configuration of the closing evaluation's grading of model `number`."""
        return PruneConfig(
            **self._step(StepName.GRADE, number, attempt),
            verifier=self.spec.pruning.verifier,
            metric=self.spec.objective.metric,
            grade=self._grade_part(number, compare),
        )

    def train(self, number: int, attempt: int) -> TrainConfig:
        """Return the configuration of round `number`'s training."""
        paths, training = self.paths, self.spec.training
        start = paths.trained_from(number)
        return TrainConfig(
            **self._step(StepName.TRAIN, number, attempt),
            digest=paths.train(number),
            path=paths.train_dir(number),
            model=paths.model_dir(start),
            tokenizer=f"{layout.prepare_dir(paths.prepare)}/tokenizer",
            examples=[paths.prune_dir(n) for n in paths.trained_on(number)],
            training=training,
            learning_rate=learning_rate(training),
            seed=self.spec.sampling.seed,
            parent_digest=paths.model(start),
            settings_note=fixed_settings(self.spec),
        )

    def finalize(self, last_round: int, attempt: int, *, best_round: int | None, status: dict[str, Any]) -> FinalizeConfig:
        """Return the configuration of finalize after `last_round`, the last round that made a model."""
        rounds = [self.paths.artifacts(number) for number in range(last_round + 2)]
        retention, publish = self.spec.retention.checkpoints, self.spec.publish
        published = [] if publish is None else [publish.uri]
        digest = digest_of("finalize", rounds, best_round, last_round, retention.value, *published)
        return FinalizeConfig(
            **self._step(StepName.FINALIZE, last_round, attempt),
            digest=digest,
            path=layout.REPORT_DIR,
            rounds=rounds,
            best_round=best_round,
            last_round=last_round,
            retention=retention,
            publish=publish,
            spec=self.spec.full_wire(),
            seconds=_seconds(RunStatus.from_wire(status)),
        )

    def _step(self, step: StepName, number: int, attempt: int) -> dict[str, Any]:
        return {**self._where, "step": step, "round": number, "attempt": attempt}

    def _sample(self, step: StepName, number: int, attempt: int, model: int, parts: list[SamplePart]) -> SampleConfig:
        sampling = self.spec.sampling
        return SampleConfig(
            **self._step(step, number, attempt),
            model=self.paths.model_dir(model),
            engine=sampling.engine,
            shards=sampling.shards,
            tensor_parallel_size=sampling.tensor_parallel_size,
            parts=parts,
        )

    def _train_part(self, number: int) -> SamplePart:
        sampling = self.spec.sampling
        return SamplePart(
            digest=self.paths.sample(number),
            path=self.paths.sample_dir(number),
            purpose="train",
            round=number,
            prompts=self.paths.prompts("train"),
            samples_per_prompt=sampling.samples_per_prompt,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            max_tokens=sampling.max_tokens,
            stop=sampling.stop,
            seed=sampling.seed,
            strategy=sampling.strategy,
            hinted_samples=sampling.rationalization.samples_per_prompt if sampling.rationalization else 0,
            pruning=self.spec.pruning if self.paths.sample_is_graded else None,
        )

    def _evaluate_part(self, number: int) -> SamplePart:
        evaluation: Evaluation = self.spec.evaluation
        sampling: Sampling = self.spec.sampling
        return SamplePart(
            digest=self.paths.evaluate(number),
            path=self.paths.evaluate_dir(number),
            purpose="evaluate",
            round=number,
            prompts=self.paths.prompts("validation", "eval"),
            samples_per_prompt=evaluation.samples_per_prompt,
            temperature=evaluation.temperature,
            top_p=evaluation.top_p,
            max_tokens=sampling.max_tokens,
            stop=sampling.stop,
            seed=sampling.seed,
        )

    def _grade_part(self, number: int, compare: int | None) -> GradePart:
        return GradePart(
            digest=self.paths.grade(number),
            path=self.paths.grade_dir(number),
            samples=self.paths.evaluate_dir(number),
            samples_digest=self.paths.evaluate(number),
            round=number,
            prompts=self.paths.prompts("validation", "eval"),
            k=sorted(self.spec.evaluation.k),
            compare_path=None if compare is None else self.paths.grade_dir(compare),
            compare_round=compare,
        )

    def _select_part(self, number: int, *, evaluated: bool) -> SelectPart:
        return SelectPart(
            digest=self.paths.prune(number),
            path=self.paths.prune_dir(number),
            samples=self.paths.sample_dir(number),
            samples_digest=self.paths.sample(number),
            round=number,
            prompts=self.paths.prompts("train"),
            k=sorted(k for k in self.spec.evaluation.k if k <= self.spec.sampling.samples_per_prompt),
            stopped_early=self.spec.sampling.strategy is not Strategy.FIXED,
            pruning=self.spec.pruning,
            seed=self.spec.sampling.seed,
            held_out=self.paths.grade_dir(number - 1) if evaluated else None,
        )
