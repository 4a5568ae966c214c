"""What every step program is told: one model for each, handed over as one JSON argument.

They are built in `commands.py`; nothing here computes anything.
"""

from typing import Any

from tpt_runtime.core.choices import KeepCheckpoints, SamplingEngine, Strategy
from tpt_runtime.core.model import Model
from tpt_runtime.core.sampling import Rationalization
from tpt_runtime.core.spec import Dataset, ModelSource, Pruning, Publish, Training
from tpt_runtime.core.status import StepName
from tpt_runtime.core.verifier import Verifier


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
    """What relative URIs of the spec count from: the claim's mount, `tpt run`'s work folder, or an s3:// URI."""
    root: str
    """Home of the run's artifacts, from which every path in a configuration counts: a folder, or an s3:// URI.

    To a step's own code it is a folder in any case: the frame puts a cache in the place of an object store.
    """
    storage_secret: str | None = None
    """Name of the Secret with the object store's keys, for messages."""


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
    min_examples: int
    """Examples that a round must keep, for the check that there are questions enough."""
    examples_per_prompt: int
    """Examples that a round can keep of one question."""
    rationalization: Rationalization | None = None
    """How training prompts are rendered once more, with the answer in them."""


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
    strategy: Strategy = Strategy.FIXED
    hinted_samples: int = 0
    """Samples of a second try, with the answer as a hint, where none of the others can be kept."""
    pruning: Pruning | None = None
    """What decides whether a prompt has enough samples, where that is asked while sampling."""


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
    k: list[int]
    """pass@k of the training set that are reported, those up to the samples of a prompt."""
    stopped_early: bool = False
    """Whether prompts were sampled until they had enough: such samples are biased, and no pass@k is reported of them."""
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
    best_round: int | None = None
    last_round: int
    retention: KeepCheckpoints
    publish: Publish | None = None
    spec: dict[str, Any]
    seconds: dict[int, dict[str, float]]
    """Wall time by round and step; the whole status of many rounds is longer than an argument may be (128 KiB on Linux)."""
