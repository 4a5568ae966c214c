"""One definition of every step's configuration: what the local runner and Kubernetes hand to `python -m tpt_runtime.STEP`.

Every digest is computed here, from the spec alone: settings that determine results, chained through what a step builds on (as in
a Merkle tree). So where an artifact lies is known before it exists, and again after the status was lost. What is mutable (shards,
nodes, micro batches, secrets) travels beside the digest, never in it.
"""

import hashlib
import json
from typing import Any

from tpt_runtime.core import layout
from tpt_runtime.core.actions import StartStep
from tpt_runtime.core.model import Model, fixed_settings
from tpt_runtime.core.spec import (
    Dataset,
    Evaluation,
    KeepCheckpoints,
    ModelSource,
    Pruning,
    Run,
    Sampling,
    SamplingEngine,
    Spec,
    TrainData,
    TrainFrom,
    Training,
    Verifier,
)
from tpt_runtime.core.status import StepName

PROGRAMS = {
    StepName.PREPARE: "tpt_runtime.prepare",
    StepName.SAMPLE: "tpt_runtime.sample",
    StepName.PRUNE: "tpt_runtime.prune",
    StepName.TRAIN: "tpt_runtime.train",
    StepName.EVALUATE: "tpt_runtime.sample",
    StepName.GRADE: "tpt_runtime.prune",
    StepName.FINALIZE: "tpt_runtime.finalize",
}


class StepConfig(Model):
    """What every step is told."""

    run: str
    """Name of the run."""
    namespace: str
    """Its namespace."""
    step: StepName
    """Which step this is; sample also serves evaluate, prune also grade."""
    round: int
    """The round: 0 for prepare; for evaluate and grade the round of the model that is evaluated."""
    attempt: int
    """Which attempt, from 1."""
    storage: str
    """Folder that relative URIs of the spec count from: the claim's mount, or `tpt run`'s work folder."""
    root: str
    """Folder of the run's artifacts; every path in a configuration counts from it unless it says otherwise."""


class PrepareConfig(StepConfig):
    """Of prepare."""

    digest: str
    path: str
    """Folder to write."""
    model: ModelSource
    dataset: Dataset
    verifier: Verifier
    seed: int
    max_tokens: int
    """Longest sample, for the check that prompts leave room in the model's context."""


class SamplePart(Model):
    """One purpose of a sample step: to evaluate a model, or to draw training samples."""

    digest: str
    path: str
    """Folder of the samples."""
    purpose: str
    """evaluate or train; it goes into every prompt's seed."""
    round: int
    """The round whose number goes into every prompt's seed: of the model evaluated, or the one that will train on the samples."""
    prompts: dict[str, str]
    """Prepared prompts to sample, file by data set."""
    samples_per_prompt: int
    temperature: float
    top_p: float
    top_k: int | None = None
    max_tokens: int
    stop: list[str] = []
    seed: int


class SampleConfig(StepConfig):
    """Of sample and of evaluate."""

    model: str
    """Folder of the model, below `root`."""
    engine: SamplingEngine
    shards: int
    tensor_parallel_size: int
    parts: list[SamplePart]
    """What to sample, in this order, in one engine start; a part whose manifest matches is not repeated."""


class GradePart(Model):
    """Grade the samples of an evaluation: the figures of one model."""

    digest: str
    path: str
    """Folder to write."""
    samples: str
    """Folder of the samples to grade."""
    samples_digest: str
    round: int
    """The round whose model is measured."""
    prompts: dict[str, str]
    k: list[int]
    compare_path: str | None = None
    """Folder of the best earlier model's grades, for the paired comparison; not in the digest."""
    compare_round: int | None = None


class SelectPart(Model):
    """Grade the samples of the training set and keep what is to be trained on."""

    digest: str
    path: str
    samples: str
    samples_digest: str
    round: int
    prompts: dict[str, str]
    samples_per_prompt: int
    k: list[int]
    """pass@k of the training set that are reported, those up to the samples of a prompt."""
    pruning: Pruning
    seed: int
    held_out: str | None = None
    """Folder of the grades whose correct validation traces serve for the held-out loss."""


class PruneConfig(StepConfig):
    """Of prune and of grade."""

    verifier: Verifier
    metric: str
    """The objective's metric, which the comparison is made in."""
    grade: GradePart | None = None
    select: SelectPart | None = None


class TrainConfig(StepConfig):
    """Of train."""

    digest: str
    path: str
    """Folder to write; the model is its `model/`."""
    model: str
    """Folder of the model to start from."""
    tokenizer: str
    """Folder of the tokenizer."""
    examples: list[str]
    """Folders of the prune steps whose training sets are trained on, the latest last."""
    training: Training
    learning_rate: float
    seed: int
    parent_digest: str
    """Digest of the model started from, for the lineage."""
    settings_note: dict[str, Any] = {}
    """Fixed settings of the whole run, for the model card."""


class FinalizeConfig(StepConfig):
    """Of finalize."""

    digest: str
    path: str
    """Folder of the report."""
    rounds: list[dict[str, str]]
    """Artifacts of each round from 0, made or not: folders by kind (sample, prune, train, model, evaluate, grade)."""
    best_round: int | None
    last_round: int
    retention: KeepCheckpoints
    spec: dict[str, Any]
    status: dict[str, Any]
    """The status at the time, for the report."""


def digest_of(*parts: Any) -> str:
    """Return the first 16 hex digits of the SHA-256 of the canonical JSON of `parts`."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def learning_rate(training: Training) -> float:
    """Return the peak learning rate: as set, or by method."""
    if training.learning_rate is not None:
        return training.learning_rate
    return 1e-4 if training.method == "LoRA" else 1e-6


class Paths:
    """Digests and folders of everything that a run will make, from its spec alone."""

    def __init__(self, spec: Spec) -> None:
        """Chain from `spec`."""
        self.spec = spec
        verifier = fixed_settings(spec.pruning.verifier)
        self.prepare = digest_of(
            "prepare",
            fixed_settings(spec.model),
            fixed_settings(spec.dataset),
            verifier.get("type"),
            spec.sampling.seed,
            spec.sampling.max_tokens,
        )
        self._verifier = verifier
        self._models = {0: self.prepare}

    def model(self, number: int) -> str:
        """Return the digest of model `number`; 0 is the base model."""
        for n in range(len(self._models), number + 1):
            self._models[n] = self.train(n)
        return self._models[number]

    def sample(self, number: int) -> str:
        """Return the digest of round `number`'s training samples."""
        return digest_of("sample", self.model(number - 1), self.prepare, number, fixed_settings(self.spec.sampling))

    def evaluate(self, number: int) -> str:
        """Return the digest of the evaluation samples of model `number`."""
        evaluation = fixed_settings(self.spec.evaluation)
        drawn = {key: value for key, value in evaluation.items() if key not in ("k", "everyRounds")}
        sampling = self.spec.sampling
        shared = [sampling.engine.value, sampling.max_tokens, sampling.stop, sampling.seed]
        return digest_of("evaluate", self.model(number), self.prepare, drawn, shared)

    def grade(self, number: int) -> str:
        """Return the digest of the grades of model `number`."""
        return digest_of("grade", self.evaluate(number), self._verifier, sorted(self.spec.evaluation.k))

    def prune(self, number: int) -> str:
        """Return the digest of round `number`'s training set."""
        return digest_of("prune", self.sample(number), fixed_settings(self.spec.pruning))

    def train(self, number: int) -> str:
        """Return the digest of the training that makes model `number`."""
        training = self.spec.training
        data = [self.prune(n) for n in self.trained_on(number)]
        return digest_of("train", self.model(self.trained_from(number)), data, fixed_settings(training))

    def trained_from(self, number: int) -> int:
        """Return the number of the model that round `number` starts its training from."""
        return 0 if self.spec.training.from_ is TrainFrom.BASE else number - 1

    def trained_on(self, number: int) -> range:
        """Return the rounds whose examples round `number` trains on."""
        return range(1 if self.spec.training.data is TrainData.ACCUMULATED else number, number + 1)

    def sample_dir(self, number: int) -> str:
        """Return the folder of round `number`'s training samples."""
        return layout.step_dir(number, "sample", self.sample(number))

    def evaluate_dir(self, number: int) -> str:
        """Return the folder of the evaluation samples of model `number`."""
        return layout.step_dir(number, "evaluate", self.evaluate(number))

    def grade_dir(self, number: int) -> str:
        """Return the folder of the grades of model `number`."""
        return layout.step_dir(number, "grade", self.grade(number))

    def prune_dir(self, number: int) -> str:
        """Return the folder of round `number`'s training set."""
        return layout.step_dir(number, "prune", self.prune(number))

    def train_dir(self, number: int) -> str:
        """Return the folder of the training that makes model `number`."""
        return layout.step_dir(number, "train", self.train(number))

    def model_dir(self, number: int) -> str:
        """Return the folder of model `number`, below the run's root.

        Of a local base model it is `prepare-DIGEST/model`, a link that prepare puts there, so that nobody else resolves URIs.
        """
        return f"{layout.prepare_dir(self.prepare)}/model" if number == 0 else layout.model_dir(self.train_dir(number))

    def prompts(self, *sets: str) -> dict[str, str]:
        """Return the prepared prompt files of `sets`, those that the spec has."""
        present = [name for name in sets if name != "eval" or self.spec.dataset.eval is not None]
        return {name: layout.prompts_file(self.prepare, name) for name in present}

    def artifacts(self, number: int) -> dict[str, str]:
        """Return the folders of round `number` by kind."""
        folders = {"evaluate": self.evaluate_dir(number), "grade": self.grade_dir(number), "model": self.model_dir(number)}
        if number:
            folders |= {
                "sample": self.sample_dir(number),
                "prune": self.prune_dir(number),
                "train": self.train_dir(number),
            }
        return folders


class Commands:
    """Builds the configuration of every step of one run."""

    def __init__(self, run: Run, storage: str, root: str) -> None:
        """Build for `run`, whose artifacts lie in the folder `root`; relative URIs count from `storage`."""
        self.run = run
        self.spec = run.spec
        self.paths = Paths(run.spec)
        self._where = {"run": run.metadata.name, "namespace": run.metadata.namespace, "storage": storage, "root": root}

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
        retention = self.spec.retention.checkpoints
        digest = digest_of("finalize", rounds, best_round, last_round, retention.value)
        return FinalizeConfig(
            **self._step(StepName.FINALIZE, last_round, attempt),
            digest=digest,
            path=layout.REPORT_DIR,
            rounds=rounds,
            best_round=best_round,
            last_round=last_round,
            retention=retention,
            spec=self.spec.full_wire(),
            status=status,
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
            samples_per_prompt=self.spec.sampling.samples_per_prompt,
            k=sorted(k for k in self.spec.evaluation.k if k <= self.spec.sampling.samples_per_prompt),
            pruning=self.spec.pruning,
            seed=self.spec.sampling.seed,
            held_out=self.paths.grade_dir(number - 1) if evaluated else None,
        )
