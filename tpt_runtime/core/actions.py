"""What the planner can ask for, and what it returns. A backend (Kubernetes, or subprocesses) carries it out in the order given.

The order makes a crash between any two calls safe: first `Plan.status` is written, then `Plan.actions` one by one. There is
deliberately no action that edits a Job's work: a Job is started, deleted or released, nothing else.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tpt_runtime.core.status import RunStatus, StepName


@dataclass(frozen=True)
class StartStep:
    """Start one attempt of a step. `Commands.config` turns it into the step's configuration.

    It is asked for again, under the same name, as long as the Job is not seen. A backend that looks through a cache reads the run
    and its Jobs live first, and drops the plan if the status is not the one just written or if another unfinished Job of the step
    is there: the planner cannot know of what the cache has not seen yet.
    """

    job: str
    """Name of the Job, deterministic (see `names.py`). "Already exists" is success if it is ours."""
    step: StepName
    round: int
    attempt: int
    indexes: int = 1
    """Shards of a sampling or nodes of a training; each is one process (pod) with its index in JOB_COMPLETION_INDEX."""
    evaluate: bool = False
    """sample, prune: whether the model that the round begins with is evaluated too."""
    compare: int | None = None
    """prune, grade: the best round so far, to compare the evaluated model with."""
    best_round: int | None = None
    """finalize: the best round."""


@dataclass(frozen=True)
class DeleteJob:
    """Delete a Job with its pods, in the foreground."""

    job: str
    why: str


@dataclass(frozen=True)
class ReleaseJob:
    """Let a finished Job be cleaned up: its summary is in the status that was written before this."""

    job: str


Action = StartStep | DeleteJob | ReleaseJob


class EventReason(StrEnum):
    """What an event is about."""

    STEP_STARTED = "StepStarted"
    STEP_DONE = "StepDone"
    STEP_FAILED = "StepFailed"
    STEP_DISRUPTED = "StepDisrupted"
    SUMMARY_MISSING = "SummaryMissing"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    COMPLETE = "Complete"
    FAILED = "Failed"
    GOES_ON = "GoesOn"
    INVALID_SPEC = "InvalidSpec"
    NOT_ALLOWED = "NotAllowed"
    STATUS_UNREADABLE = "StatusUnreadable"


@dataclass(frozen=True)
class Event:
    """Something worth telling a person, once: it belongs to the change of status of its plan."""

    reason: EventReason
    message: str
    warning: bool = False


@dataclass(frozen=True)
class Plan:
    """What is to be done now."""

    status: RunStatus
    """To be written first, if it differs from the present one."""
    actions: tuple[Action, ...] = ()
    wake_at: datetime | None = None
    """When to plan again even if nothing was observed: the end of a back-off, or the nearest deadline."""
    events: tuple[Event, ...] = ()
