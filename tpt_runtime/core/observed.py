"""What a backend saw: the Jobs of one run, in words that hold for Kubernetes and for subprocesses alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from tpt_runtime.core.status import Progress, StepName


class JobState(StrEnum):
    """How far a Job is."""

    PENDING = "pending"
    """No pod of it has started yet."""
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class FailureKind(StrEnum):
    """Why a Job failed."""

    CONFIGURATION = "configuration"
    """Exit code 64 to 78: another attempt cannot help."""
    CRASH = "crash"
    """Anything else that the step is to blame for; costs one attempt."""
    DISRUPTION = "disruption"
    """Eviction, preemption, drain, or a stop on request; costs nothing."""


@dataclass(frozen=True)
class Failure:
    """How a Job ended badly."""

    kind: FailureKind
    message: str
    """The step's own last words, or the container's reason in words (`out of memory (OOMKilled)`)."""
    exit_code: int | None = None


class Span(NamedTuple):
    """When a process ran."""

    began: datetime
    ended: datetime | None
    """None while it runs."""


@dataclass(frozen=True)
class ObservedJob:
    """One attempt of one step, as it was seen."""

    name: str
    step: StepName
    round: int
    attempt: int
    state: JobState
    created: datetime
    started: datetime | None = None
    """When its first pod began to run; None while pending."""
    waiting_since: datetime | None = None
    """Since when it has been pending, where that is known: it may have run before a queue took its place away."""
    finished: datetime | None = None
    deleting: bool = False
    """It was deleted, but it or a pod of it still exists: no other attempt of the step may start."""
    deleting_since: datetime | None = None
    """When it was deleted, where that is known: a Job that does not go away is reported after a while."""
    failure: Failure | None = None
    """Set when it failed."""
    summaries: tuple[Mapping[str, Any] | None, ...] = ()
    """When it succeeded: what each index wrote to its termination log, parsed; None where that is missing or no JSON object."""
    blocked: str | None = None
    """Why it cannot start, in the scheduler's words; None when nothing is known to stand in the way."""
    queue: tuple[str, str | None] | None = None
    """The queue in which it waits for admission, and its priority class there; None where it does not wait."""
    progress: Progress | None = None
    gpus: int = 0
    """GPUs that each of its processes holds, where that is known."""
    ran: tuple[Span, ...] = ()
    """When its processes ran, as far as they were seen."""
    released: bool = False
    """`ReleaseJob` was already carried out."""


@dataclass(frozen=True)
class Observed:
    """Everything seen of one run: its Jobs, live and finished, whatever their order."""

    jobs: tuple[ObservedJob, ...] = ()
