"""The SelfImprovementRun that a user writes: the one schema, from which the CRD is generated.

Field docstrings are the descriptions that `kubectl explain` shows. Rules that span fields stand in `rules.py`, as data.
Marked `MUTABLE` is what may change during a run (see `model.py`). Nothing here reads files or fills in what only a step can know.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from tpt_runtime.core.choices import (
    Batching,
    Choose,
    Deduplicate,
    Keep,
    KeepCheckpoints,
    Method,
    Precision,
    PromptMode,
    Scheduler,
    TrainData,
    TrainFrom,
    TrainingEngine,
    Weighting,
)
from tpt_runtime.core.difficulty import DifficultyCap
from tpt_runtime.core.model import MUTABLE, Fraction, LongText, Model, ShortText, Uri
from tpt_runtime.core.sampling import Evaluation, Sampling
from tpt_runtime.core.verifier import Verifier
from tpt_runtime.core.worker import Queue, Worker

API_VERSION = "tpt.dev/v1alpha1"
KIND = "SelfImprovementRun"


class SecretRef(Model):
    """A Secret in the run's namespace."""

    name: ShortText
    """Name of the Secret. On a laptop the same values come from the environment (HF_TOKEN, AWS_ACCESS_KEY_ID and so on)."""


class ModelSource(Model):
    """The base model."""

    uri: Uri
    """hf://ORG/NAME, s3://BUCKET/PREFIX, file:///PATH, or a path relative to the root of the storage."""
    revision: ShortText | None = None
    """Branch, tag or commit of an hf:// model; resolved once to a commit. Default: main."""
    secret_ref: Annotated[SecretRef | None, MUTABLE] = None
    """Secret with the token (key HF_TOKEN) or the S3 keys. Without it, ambient credentials are used."""


class DataSource(Model):
    """A data set: JSONL, JSON or Parquet, one question a row."""

    uri: Uri
    """hf://ORG/NAME, s3://BUCKET/KEY, file:///PATH, or a path relative to the root of the storage."""
    revision: ShortText | None = None
    """Branch, tag or commit of an hf:// data set. Default: main."""
    config: ShortText | None = None
    """Configuration (subset) of an hf:// data set."""
    split: ShortText | None = None
    """Split of an hf:// data set. Default: train for train, test for eval, validation for validation."""
    prompt_field: ShortText = "question"
    """Name of the field that holds the question."""
    answer_field: ShortText = "answer"
    """Name of the field with the reference answer, bare or as a solution that ends in `#### ANSWER`; with Code: the tests."""
    secret_ref: Annotated[SecretRef | None, MUTABLE] = None
    """Secret with the token (key HF_TOKEN) or the S3 keys."""


class Validation(Model):
    """What decides: the goal, early stopping and the best round are measured on it. Default: 5 % of the training set."""

    fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the training set that is held out, chosen by the seed. Default: 0.05 unless `uri` is set."""
    uri: Uri | None = None
    """A data set of its own, instead of a share of the training set."""
    revision: ShortText | None = None
    """Branch, tag or commit of an hf:// data set. Default: main."""
    config: ShortText | None = None
    """Configuration (subset) of an hf:// data set."""
    split: ShortText | None = None
    """Split of an hf:// data set. Default: validation."""
    prompt_field: ShortText | None = None
    """Name of the field that holds the question. Default: the same as for train."""
    answer_field: ShortText | None = None
    """Name of the field that holds the reference answer. Default: the same as for train."""
    secret_ref: Annotated[SecretRef | None, MUTABLE] = None
    """Secret with the token (key HF_TOKEN) or the S3 keys."""


class Prompt(Model):
    """How a row becomes the text that the model sees."""

    mode: PromptMode = PromptMode.CHAT
    """Chat: the rendered text is the user's turn of the model's chat template. Completion: it is given as it is."""
    system: LongText | None = None
    """System message; Chat only."""
    template: LongText | None = None
    """Jinja template over the row's fields, such as `Q: {{ question }} A:`. Default: the prompt field as it is."""


class Decontaminate(Model):
    """Leaves out training questions that share a long run of words with a question of validation or eval."""

    ngram: Annotated[int, Field(ge=2, le=100)] = 13
    """How many words in a row make two questions too much alike; case and punctuation aside."""


class Dataset(Model):
    """The questions."""

    train: DataSource
    """What the model samples solutions for, and is trained on."""
    validation: Validation = Validation()
    """What decides about goal, early stopping and the best round."""
    eval: DataSource | None = None
    """Reported for every evaluated model, never used to decide."""
    decontaminate: Decontaminate | None = None
    """Leave out training questions that nearly stand in validation or eval. Default: only those that do, word for word."""
    prompt: Prompt = Prompt()
    """How a row becomes a prompt."""


class Pruning(Model):
    """Prune: which samples become training examples."""

    verifier: Verifier = Verifier()
    """How a solution is graded."""
    keep: Keep = Keep.CORRECT
    """Correct, or a control of the same size drawn from all: Parseable (whatever has an answer), Random (whatever ended)."""
    max_correct_per_prompt: Annotated[int, Field(ge=1, le=1024)] = 1
    """Examples kept of one question."""
    deduplicate: Deduplicate = Deduplicate.TEXT
    """Text: equal after white space is normalised. Equations: the same list of equations, as in RFT. None: keep repetitions."""
    check_arithmetic: bool = False
    """Keep no right solution that states a false equation, such as 14 - 7 = 5 (with keep Correct); they are counted anyway."""
    max_examples: Annotated[int, Field(ge=1, le=100000000)] = 2000
    """Cap of a round's training set, chosen by a seeded shuffle."""
    choose: Choose = Choose.FIRST
    """Which correct samples of a question are kept: First drawn, Shortest, MostLikely (log-probability a token), or Random."""
    weighting: Weighting = Weighting.NONE
    """Uniform: maxExamples takes equally many of every question. Prop2Diff: the harder a question, the more of it (DART)."""
    difficulty_caps: Annotated[list[DifficultyCap], Field(max_length=8)] = []
    """Most examples from easy or hard questions: each entry caps those above the entry before it, in order of solvedUpTo."""
    min_examples: Annotated[int, Field(ge=1, le=100000000)] = 32
    """A round with fewer examples ends the run with TooFewExamples instead of training on next to nothing."""
    worker: Annotated[Worker, MUTABLE] = Worker()
    """The pods that need no GPU: those of prepare, prune and finalize."""


class Lora(Model):
    """Low-rank adaptation; the adapter is merged in fp32 after each round."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 16
    """Rank of the update matrices."""
    alpha: Annotated[float, Field(gt=0, le=4096)] = 32.0
    """Scale of the update, divided by the rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout on the adapter's input."""
    target_modules: Annotated[list[ShortText], Field(max_length=64)] = []
    """Names of the modules to adapt. Default: every linear layer but the head."""


class DeepSpeed(Model):
    """How DeepSpeed shards the model over the training processes."""

    zero_stage: Annotated[int, Field(ge=0, le=3)] = 2
    """0 replicates everything; 1 shards optimizer states, 2 gradients too, 3 weights too."""
    offload_optimizer: bool = False
    """Keep optimizer states in host memory."""


class Training(Model):
    """Train: supervised fine-tuning on what survived."""

    engine: TrainingEngine = TrainingEngine.DEEPSPEED
    """DeepSpeed, or Torch (plain training in one process, where DeepSpeed cannot run)."""
    from_: Annotated[TrainFrom, Field(alias="from")] = TrainFrom.LAST
    """Last: go on from the previous round's model. Base: start every round from the base model (STaR, ReST-EM)."""
    data: TrainData = TrainData.LATEST
    """Latest: this round's examples. Accumulated: those of all rounds so far, without repetitions."""
    method: Method = Method.FULL
    """Full fine-tuning, or LoRA."""
    lora: Lora | None = None
    """Settings of LoRA; only with method LoRA."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    """Peak learning rate. Default: 1e-6 for Full, 1e-4 for LoRA."""
    epochs: Annotated[int, Field(ge=1, le=1000)] = 1
    """Passes over a round's examples."""
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 8
    """Examples per optimizer step, over all processes."""
    micro_batch_size: Annotated[int, Field(ge=1, le=65536), MUTABLE] = 1
    """Examples that one process takes at once; times all processes it must divide batchSize."""
    max_length: Annotated[int, Field(ge=2, le=1048576)] = 2048
    """Longest example in tokens, prompt included; longer ones are dropped and counted, never cut."""
    batching: Batching = Batching.LENGTH_GROUPED
    """LengthGrouped: batches of like lengths in random order. Packed: several examples a row (needs FlashAttention). Padded."""
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps in which the learning rate rises."""
    scheduler: Scheduler = Scheduler.COSINE
    """How the learning rate falls after warm-up."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """AdamW's decoupled weight decay."""
    max_grad_norm: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Gradients are clipped to this norm."""
    precision: Precision = Precision.BF16
    """BF16 means autocast: weights, optimizer states and what is saved stay fp32. On a CPU without AMX choose FP32."""
    checkpoint_every_seconds: Annotated[int, Field(ge=1, le=86400), MUTABLE] = 600
    """A resumable checkpoint is written when this much time has passed since the last one."""
    deepspeed: Annotated[DeepSpeed, MUTABLE] = DeepSpeed()
    """How DeepSpeed shards the model."""
    nodes: Annotated[int, Field(ge=1, le=256), MUTABLE] = 1
    """Machines to train on. `tpt run` has one."""
    processes_per_node: Annotated[int, Field(ge=1, le=64), MUTABLE] = 1
    """Training processes on a machine, one a GPU."""
    report_to: Annotated[list[ShortText], Field(max_length=8), MUTABLE] = []
    """Experiment trackers that TRL supports, such as wandb, mlflow or tensorboard."""
    worker: Annotated[Worker, MUTABLE] = Worker()
    """The pods that train."""


class EarlyStopping(Model):
    """When further rounds are not worth it."""

    patience_rounds: Annotated[int, Field(ge=1, le=64)] = 1
    """Stop after this many evaluated rounds in a row without improvement over the best."""
    min_delta: Fraction = 0.0
    """Gain over the best round, paired by question, that counts as an improvement if it is exceeded."""


class Objective(Model):
    """What the run is after, measured on validation."""

    metric: Annotated[str, Field(pattern=r"^pass@[1-9][0-9]{0,3}$", max_length=9)] = "pass@1"
    """The pass@k that decides; its k must be among evaluation.k."""
    goal: Annotated[float, Field(gt=0, le=1)] | None = None
    """The run is complete once a model reaches this."""
    early_stopping: EarlyStopping | None = None
    """Stop when rounds no longer improve. Default: never."""


class PersistentVolumeClaim(Model):
    """A claim in the run's namespace."""

    claim_name: ShortText
    """Name of the claim."""


class Storage(Model):
    """Where artifacts live and what relative URIs count from. `tpt run` uses its work folder instead."""

    persistent_volume_claim: PersistentVolumeClaim | None = None
    """A claim; ReadWriteMany when steps run on several nodes."""
    uri: Annotated[str, Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?$", max_length=1024)] | None = None
    """An object store: s3://BUCKET/PREFIX. Below it artifacts lie under NAMESPACE/NAME, as on a claim."""
    secret_ref: Annotated[SecretRef | None, MUTABLE] = None
    """Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (AWS_ENDPOINT_URL, AWS_REGION). Without it, ambient identity."""


class FailurePolicy(Model):
    """How much may go wrong."""

    max_attempts: Annotated[int, Field(ge=1, le=32)] = 3
    """Failures of one step after which the run fails; evictions and preemptions do not count."""
    step_deadline_seconds: Annotated[int, Field(ge=1, le=31536000)] | None = None
    """Longest time that one attempt of a step may run."""
    run_deadline_seconds: Annotated[int, Field(ge=1, le=31536000)] | None = None
    """Longest time that the run may take from its start; time suspended counts."""
    pending_deadline_seconds: Annotated[int, Field(ge=1, le=31536000)] | None = None
    """Longest time that a step may wait for resources."""


class Retention(Model):
    """What stays on the storage."""

    checkpoints: KeepCheckpoints = KeepCheckpoints.BEST
    """Best keeps the models of the best and the last round. All keeps every round's."""
    job_ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31536000, alias="jobTTLSecondsAfterFinished")] = 600
    """How long a finished Job and its logs stay after its outcome was stored."""


PUBLISHED_URI = r"^(hf://[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^/].*)$"


class Publish(Model):
    """Where the best model goes, with its model card, when the run ends. A base model is never published."""

    uri: Annotated[str, Field(pattern=PUBLISHED_URI, max_length=1024)]
    """hf://ORG/NAME: one commit; a repository that is not there is made, private. s3://BUCKET/PREFIX: a new folder below it."""
    secret_ref: SecretRef | None = None
    """Secret with the token (key HF_TOKEN) or the S3 keys. Without it, ambient credentials are used."""


class Spec(Model):
    """What the user wants."""

    suspend: Annotated[bool, MUTABLE] = False
    """Pause: the step in progress is stopped, and goes on where it was once this is false again."""
    managed_by: Annotated[str, Field(min_length=1, max_length=63)] = "tpt.dev/operator"
    """Who carries the run out. The operator leaves alone what is not its own."""
    max_rounds: Annotated[int, Field(ge=1, le=64), MUTABLE] = 4
    """Rounds of think, prune and train. It may be raised at any time, even after completion; never below the current round."""
    objective: Annotated[Objective, MUTABLE] = Objective()
    """What the run is after."""
    model: ModelSource
    """The base model."""
    dataset: Dataset
    """The questions."""
    sampling: Sampling = Sampling()
    """Think."""
    pruning: Pruning = Pruning()
    """Prune."""
    training: Training = Training()
    """Train."""
    evaluation: Evaluation = Evaluation()
    """How models are measured."""
    storage: Storage
    """Where artifacts live: a claim or an object store."""
    worker: Annotated[Worker, MUTABLE] = Worker()
    """The pods of every step, where the step's own worker does not say otherwise."""
    queue: Annotated[Queue | None, MUTABLE] = None
    """Admission by Kueue. Default: none."""
    failure_policy: Annotated[FailurePolicy, MUTABLE] = FailurePolicy()
    """How much may go wrong."""
    retention: Annotated[Retention, MUTABLE] = Retention()
    """What stays on the storage."""
    publish: Annotated[Publish | None, MUTABLE] = None
    """Where the best model goes when the run ends; a change counts the next time that it ends. Default: nowhere."""


class Metadata(Model):
    """The part of Kubernetes' object metadata that is read here; the rest is passed over."""

    model_config = ConfigDict(extra="ignore")

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
    """A DNS label of at most 63 characters."""
    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)] = "default"
    """The namespace; `tpt run` needs none."""
    uid: str = ""
    """Set by the API server."""
    generation: int = 1
    """Counted up by the API server with every change of the spec."""
    resource_version: str | None = None
    """Set by the API server."""
    deletion_timestamp: str | None = None
    """Set once the resource is being deleted."""
    labels: dict[str, str] = {}
    """Labels."""
    annotations: dict[str, str] = {}
    """Annotations."""


class Run(Model):
    """One SelfImprovementRun, without its status (see `status.py`)."""

    api_version: Literal["tpt.dev/v1alpha1"]
    """tpt.dev/v1alpha1."""
    kind: Literal["SelfImprovementRun"]
    """SelfImprovementRun."""
    metadata: Metadata
    """Name and namespace."""
    spec: Spec
    """What the user wants."""
    status: dict[str, Any] | None = None
    """What came of it; read with `RunStatus`."""
