"""What came of a run: its status, and the summaries that the steps hand in.

The status is the only memory of whoever reconciles a run, and small: lists are capped, no sample text, no NaN. A summary is the
one JSON object (at most 4,096 bytes) that a step prints when it ends. Durations are in seconds, times RFC 3339 in UTC.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from tpt_runtime.core.model import Model

SUMMARY_BYTES = 4096
"""Longest summary: what Kubernetes keeps of a termination message."""

Message = Annotated[str, Field(max_length=1024)]
Count = Annotated[int, Field(ge=0)]


class StepName(StrEnum):
    """The steps of a run. `EVALUATE` and `GRADE` are the sample and prune programs of the closing evaluation."""

    PREPARE = "prepare"
    SAMPLE = "sample"
    PRUNE = "prune"
    TRAIN = "train"
    EVALUATE = "evaluate"
    GRADE = "grade"
    FINALIZE = "finalize"


class ConditionType(StrEnum):
    """What can be waited for."""

    RUNNING = "Running"
    SUSPENDED = "Suspended"
    RESOURCES_AVAILABLE = "ResourcesAvailable"
    COMPLETE = "Complete"
    FAILED = "Failed"


class Reason(StrEnum):
    """Why a condition is as it is."""

    # the run is complete
    MAX_ROUNDS_REACHED = "MaxRoundsReached"
    GOAL_REACHED = "GoalReached"
    EARLY_STOPPED = "EarlyStopped"
    NO_CORRECT_SAMPLES = "NoCorrectSamples"
    TOO_FEW_EXAMPLES = "TooFewExamples"
    # the run has failed
    INVALID_SPEC = "InvalidSpec"
    CONFIGURATION_ERROR = "ConfigurationError"
    ATTEMPTS_EXHAUSTED = "AttemptsExhausted"
    SUMMARY_UNAVAILABLE = "SummaryUnavailable"
    STEP_DEADLINE_EXCEEDED = "StepDeadlineExceeded"
    RUN_DEADLINE_EXCEEDED = "RunDeadlineExceeded"
    PENDING_DEADLINE_EXCEEDED = "PendingDeadlineExceeded"
    # in between
    STEP_RUNNING = "StepRunning"
    BACKING_OFF = "BackingOff"
    WAITING_FOR_RESOURCES = "WaitingForResources"
    STEP_TERMINATING = "StepTerminating"
    RESOURCES_FOUND = "ResourcesFound"
    SUSPENDED = "SuspendRequested"
    NOT_SUSPENDED = "NotSuspended"
    FINISHED = "Finished"
    IN_PROGRESS = "InProgress"


class Metric(Model):
    """One figure of one model."""

    name: Annotated[str, Field(max_length=64)]
    """Such as validation/pass@1, eval/pass@10, eval/strict/pass@1, eval/formatRate, train/pass@1, train/loss."""
    value: float
    """The figure; rates are fractions of 1."""
    low: float | None = None
    """Lower end of the 95 % confidence interval by question."""
    high: float | None = None
    """Upper end of the 95 % confidence interval by question."""


class SampleCounts(Model):
    """Samples of the training set by verdict."""

    total: Count = 0
    """All samples."""
    correct: Count = 0
    """Right final answer."""
    wrong: Count = 0
    """Another final answer."""
    unparseable: Count = 0
    """No final answer found."""
    truncated: Count = 0
    """Reached maxTokens."""
    timed_out: Count = 0
    """Grading reached its time limit."""


class Comparison(Model):
    """Difference of this model's objective to the best earlier model's, paired by question."""

    round: Count
    """The round compared with."""
    difference: float
    """Mean over the questions of this model's pass@k less the other's."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end of the 95 % interval."""


class StepStatus(Model):
    """One step of one round."""

    name: StepName
    """The step."""
    job_name: Annotated[str, Field(max_length=63)] | None = None
    """The latest attempt's Job."""
    attempts: Count = 0
    """Attempts begun."""
    ended: Count = 0
    """Attempts that have ended, in whatever way: one less than `attempts` while one is under way."""
    generation: Count = 0
    """Generation of the spec that the latest attempt was begun with."""
    failures: Count = 0
    """Attempts that failed since the spec last changed; disruptions do not count."""
    disruptions: Count = 0
    """Attempts ended by eviction, preemption, suspension or deletion."""
    missing_summaries: Count = 0
    """Attempts that succeeded without a readable summary since the spec last changed."""
    last_failure_time: datetime | None = None
    """When the latest attempt failed."""
    last_failure_reason: Reason | None = None
    """Why it failed, where that decides what follows: a configuration error, a deadline, no summary."""
    last_failure: Message | None = None
    """What the latest failure said."""
    queue_seconds: Count = 0
    """How long attempts that have ended waited for their first pod to start, all together."""
    start_time: datetime | None = None
    """When the first attempt was begun."""
    completion_time: datetime | None = None
    """When its summary was stored."""


class PruneOutcome(StrEnum):
    """Whether there is something to train on."""

    TRAINABLE = "Trainable"
    NO_CORRECT_SAMPLES = "NoCorrectSamples"
    TOO_FEW_EXAMPLES = "TooFewExamples"
    GRADED_ONLY = "GradedOnly"


class RoundStatus(Model):
    """One round; its metrics are those of the model that it made. Round 0 is the base model."""

    round: Annotated[int, Field(ge=0, le=64)]
    """0 for the base model, then 1, 2 and so on."""
    model: Annotated[str, Field(max_length=512)] | None = None
    """Where this round's model lies, relative to the run's folder on the storage (round 0: the base model)."""
    metrics: Annotated[list[Metric], Field(max_length=40)] = []
    """Figures of this round's model."""
    samples: SampleCounts | None = None
    """Samples of the training set that this round drew, by verdict."""
    examples: Count | None = None
    """Training examples kept."""
    outcome: PruneOutcome | None = None
    """Whether this round found something to train on."""
    comparison: Comparison | None = None
    """This model against the best one before it."""
    gpu_seconds: Count = 0
    """GPUs times the seconds that attempts which have ended held them."""
    steps: Annotated[list[StepStatus], Field(max_length=7)] = []
    """Steps begun in this round."""


class Reported(Model):
    """How far a process says that it is."""

    completed: Count
    """Done so far, in the step's own unit (samples, optimizer steps)."""
    total: Count
    """Of so many."""


class Progress(Model):
    """How far the step in progress is."""

    completed: Count
    """Done so far, in the step's own unit (samples, optimizer steps); on a cluster, of a sampling in several shards: shards."""
    total: Count
    """Of so many."""
    first_shard: Reported | None = None
    """On a cluster, of a sampling in several shards: how far the first of them is, in samples."""


class Resolved(Model):
    """What was resolved once and holds for the whole run."""

    model_revision: Annotated[str, Field(max_length=128)] | None = None
    """Commit of an hf:// model."""
    data_revisions: Annotated[dict[str, Annotated[str, Field(max_length=128)]], Field(max_length=3)] = {}
    """Commit of each hf:// data set, by train, validation and eval."""
    counts: Annotated[dict[str, Count], Field(max_length=16)] = {}
    """Prompts by data set, and how many were left out for what reason."""
    images: Annotated[dict[str, Annotated[str, Field(max_length=1024)]], Field(max_length=3)] = {}
    """The operator's images of sampler, pruner and trainer, pinned when the run started."""


class Condition(Model):
    """One thing that is true, false or unknown of the run."""

    type: ConditionType
    """What."""
    status: Literal["True", "False", "Unknown"]
    """Whether."""
    reason: Annotated[str, Field(min_length=1, max_length=128)]
    """Why, in one word."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """Why, in a sentence."""
    observed_generation: Count = 0
    """Generation of the spec that this was said of."""
    last_transition_time: datetime
    """Since when."""


class RunStatus(Model):
    """The status of a SelfImprovementRun."""

    phase: Annotated[str, Field(max_length=32)] | None = None
    """For display only: Pending, Running, Suspended, Complete or Failed."""
    round: Annotated[str, Field(max_length=16)] | None = None
    """For display only: `2/4`."""
    best_metric: Annotated[str, Field(max_length=64)] | None = None
    """For display only: the objective's value of the best model."""
    observed_generation: Count = 0
    """Generation of the spec that this status speaks of."""
    conditions: Annotated[list[Condition], Field(max_length=8)] = []
    """What can be waited for."""
    start_time: datetime | None = None
    """When the run was first planned."""
    completion_time: datetime | None = None
    """When it was complete or failed."""
    current_round: Annotated[int, Field(ge=0, le=64)] = 0
    """The round in progress, or the last one; never falls."""
    step: StepName | None = None
    """The step in progress."""
    progress: Progress | None = None
    """How far the step in progress is."""
    resolved: Resolved | None = None
    """What was resolved once."""
    rounds: Annotated[list[RoundStatus], Field(max_length=65)] = []
    """Every round so far, the base model first."""
    best_round: Annotated[int, Field(ge=0, le=64)] | None = None
    """The round whose model is best on validation."""
    best_model: Annotated[str, Field(max_length=512)] | None = None
    """Where that model lies."""


class Summary(Model):
    """What every step says when it has ended well."""

    step: StepName
    """Which step."""
    digest: str
    """Digest of the configuration that it carried out."""
    seconds: dict[str, float] = {}
    """Wall time by phase."""


class PrepareSummary(Summary):
    """Of prepare."""

    step: StepName = StepName.PREPARE
    resolved: Resolved
    """Revisions and prompt counts."""


class SampleSummary(Summary):
    """Of one shard of sample or evaluate."""

    step: StepName = StepName.SAMPLE
    shard: Count
    """Which shard."""
    prompts: Count
    """Prompts of this shard, all purposes together."""
    samples: Count
    """Samples of this shard."""
    tokens: Count
    """Generated tokens of this shard."""


class PruneSummary(Summary):
    """Of prune or grade. `metrics` and `comparison` are of the evaluated model, the rest of the new training set."""

    step: StepName = StepName.PRUNE
    outcome: PruneOutcome
    """Whether there is something to train on."""
    metrics: list[Metric] = []
    """Figures of the model that was sampled."""
    comparison: Comparison | None = None
    """That model against the best earlier one."""
    samples: SampleCounts | None = None
    """Training samples by verdict."""
    examples: Count | None = None
    """Examples kept."""


class TrainSummary(Summary):
    """Of train."""

    step: StepName = StepName.TRAIN
    metrics: list[Metric] = []
    """train/loss, validation/loss, train/tokens, train/changedShare and the like."""


class FinalizeSummary(Summary):
    """Of finalize."""

    step: StepName = StepName.FINALIZE
    kept: list[str] = []
    """Folders of the models that stay."""
    removed: Count = 0
    """Models removed by retention."""
    published: Annotated[str, Field(max_length=1280)] | None = None
    """Where the best model was published: a commit of the hub, or a folder of an object store."""
