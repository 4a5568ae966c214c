"""The attempts of one step: what is remembered of them, when one has failed for good, when the next may begin.

`attempts` counts those begun and `ended` those that are over, so the number of the one under way is never in doubt. Every attempt
is counted once, however often it is seen: by its number. Numbers are not used again, save in one case: a Job that is not seen
although its attempt has not ended was not created yet, or not seen yet, or deleted unnoticed. All three are answered alike: it is
started again under the same name. The name is what keeps two of them from running at once. A Job that is seen being deleted has
ended, by a disruption; the next attempt gets the next number, once the old one is gone.

Failures count against `maxAttempts` while the spec is the one that the latest attempt was begun with. Once it has changed, the
next attempt begins at once and failures count from nought. This is read from `generation` in the record, not from an event, so
neither a lost update nor a change made while an attempt was failing is missed.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from tpt_runtime.core.observed import JobState, ObservedJob
from tpt_runtime.core.spec import FailurePolicy
from tpt_runtime.core.status import Reason, StepStatus
from tpt_runtime.core.worker import Queue

FIRST_BACK_OFF = timedelta(seconds=10)
LONGEST_BACK_OFF = timedelta(minutes=5)
SUMMARY_ATTEMPTS = 2
"""A step that ends well without a readable summary is run once more; it finds its work done."""
MESSAGE_BYTES = 1024
"""Longest message in the status; its schema counts characters, its size counts bytes."""


UNKNOWN = 0
"""The generation of an attempt that this status has not begun; those of a spec count from 1."""

_AFRESH = {"failures": 0, "missing_summaries": 0, "last_failure_reason": None}


class EndKind(Enum):
    """How an attempt ended that did not succeed."""

    FAILURE = "failure"
    DISRUPTION = "disruption"
    NO_SUMMARY = "no summary"


@dataclass(frozen=True)
class End:
    """The end of an attempt that did not succeed."""

    kind: EndKind
    message: str
    at: datetime
    reason: Reason | None = None
    """Where it decides what follows."""


@dataclass(frozen=True)
class Verdict:
    """Why no further attempt is made."""

    reason: Reason
    message: str


def live(job: ObservedJob) -> bool:
    """Return whether a Job has not finished yet."""
    return job.state in (JobState.PENDING, JobState.RUNNING)


def under_way(record: StepStatus) -> bool:
    """Return whether the latest attempt has not ended."""
    return record.attempts > record.ended


def misplaced(job: ObservedJob, record: StepStatus, queue: Queue | None, generation: int) -> str | None:
    """Return why a Job that waits in a queue is to go: since it was made the spec has come to name another queue, or priority.

    Whoever else labels Jobs is not fought with: one that was made under the present spec waits where it was put.
    """
    if job.queue is None or queue is None or job.attempt != record.attempts or record.generation == generation:
        return None
    name, priority = job.queue
    if (queue.name, queue.priority_class or priority) == (name, priority):
        return None
    return f"it waits in the queue {name}, and spec.queue has changed"


def adopted(record: StepStatus, attempt: int) -> StepStatus:
    """Return the record with `attempt` under way, which was seen but may not be in the status: that was lost, or is older.

    Attempts before it that nobody saw end count as disrupted. With what spec an unknown attempt was begun is not known either,
    so how it ends does not count against the present one.
    """
    unseen = attempt - record.ended - 1
    if attempt > record.attempts:
        record = record.model_copy(update={"attempts": attempt, "generation": UNKNOWN, **_AFRESH})
    if unseen > 0:
        record = record.model_copy(update={"ended": attempt - 1, "disruptions": record.disruptions + unseen})
    return record


def ended(record: StepStatus, end: End) -> StepStatus:
    """Return the record with the end of the attempt after the last one that ended."""
    over = {"ended": record.ended + 1}
    if end.kind is EndKind.DISRUPTION:
        return record.model_copy(update={**over, "disruptions": record.disruptions + 1})
    failure = end.kind is EndKind.FAILURE
    counted = {"failures": record.failures + 1} if failure else {"missing_summaries": record.missing_summaries + 1}
    said = {"last_failure_time": end.at, "last_failure_reason": end.reason, "last_failure": shortened(end.message)}
    return record.model_copy(update={**over, **counted, **said})


def begun(record: StepStatus, generation: int, job: str, now: datetime) -> StepStatus:
    """Return the record with the next attempt under way, as `job`."""
    start = {
        "attempts": record.attempts + 1,
        "generation": generation,
        "job_name": job,
        "start_time": record.start_time or now,
    }
    afresh = {} if record.generation == generation else _AFRESH
    return record.model_copy(update={**start, **afresh})


def reopened(record: StepStatus) -> StepStatus:
    """Return the record of a step that has to be done anew, whether it is done or under way."""
    interrupted = 1 if under_way(record) else 0
    counts = {"ended": record.attempts, "disruptions": record.disruptions + interrupted}
    return record.model_copy(update={**counts, "completion_time": None})


def completed(record: StepStatus, at: datetime) -> StepStatus:
    """Return the record of a step whose summary is stored. What was of use only until then is dropped."""
    dropped = {"job_name": None, "last_failure_time": None, "last_failure_reason": None, "last_failure": None}
    return record.model_copy(update={**dropped, "ended": record.attempts, "completion_time": at})


def given_up(record: StepStatus, policy: FailurePolicy, generation: int) -> Verdict | None:
    """Return why no further attempt is made under this spec, None if there may be one."""
    if under_way(record) or record.generation != generation:
        return None
    reason, said = record.last_failure_reason, record.last_failure or ""
    if reason in (Reason.CONFIGURATION_ERROR, Reason.PENDING_DEADLINE_EXCEEDED):
        return Verdict(reason, said)
    if record.missing_summaries >= SUMMARY_ATTEMPTS:
        return Verdict(Reason.SUMMARY_UNAVAILABLE, f"it ended well {record.missing_summaries} times without a summary: {said}")
    if record.failures < policy.max_attempts:
        return None
    times = "once" if record.failures == 1 else f"{record.failures} times"
    allowed = f"failurePolicy.maxAttempts is {policy.max_attempts}"
    exhausted = Reason.STEP_DEADLINE_EXCEEDED if reason is Reason.STEP_DEADLINE_EXCEEDED else Reason.ATTEMPTS_EXHAUSTED
    return Verdict(exhausted, f"failed {times} ({allowed}): {said}")


def back_off_end(record: StepStatus, generation: int) -> datetime | None:
    """Return when the next attempt may begin: 10 s after the first failure, then twice as long each time, up to 5 minutes."""
    if not record.failures or record.generation != generation or record.last_failure_time is None:
        return None
    # The exponent is bounded so that the product stays within what a timedelta can hold.
    delay: timedelta = FIRST_BACK_OFF * 2 ** min(record.failures - 1, 10)
    return record.last_failure_time + min(delay, LONGEST_BACK_OFF)


def deadline(job: ObservedJob, policy: FailurePolicy) -> datetime | None:
    """Return when a live Job has run, or has waited for resources, for too long."""
    if job.state is JobState.PENDING:
        since, seconds = job.waiting_since or job.created, policy.pending_deadline_seconds
    else:
        since, seconds = job.started or job.created, policy.step_deadline_seconds
    return None if seconds is None else since + timedelta(seconds=seconds)


def overdue(job: ObservedJob, policy: FailurePolicy, now: datetime) -> End | None:
    """Return the end of a live Job that is past its deadline."""
    due = deadline(job, policy)
    if due is None or now < due:
        return None
    if job.state is JobState.PENDING:
        words = f": {job.blocked}" if job.blocked else ""
        limit = f"failurePolicy.pendingDeadlineSeconds={policy.pending_deadline_seconds}"
        message = f"waited for resources longer than {limit}{words}"
        return End(EndKind.FAILURE, message, whole_second(now), Reason.PENDING_DEADLINE_EXCEEDED)
    message = f"ran longer than failurePolicy.stepDeadlineSeconds={policy.step_deadline_seconds}"
    return End(EndKind.FAILURE, message, whole_second(now), Reason.STEP_DEADLINE_EXCEEDED)


def shortened(message: str) -> str:
    """Return a message that fits into the status."""
    encoded = message.encode()
    return message if len(encoded) <= MESSAGE_BYTES else encoded[: MESSAGE_BYTES - 3].decode(errors="ignore") + "…"


def whole_second(moment: datetime) -> datetime:
    """Return a moment as the status keeps it."""
    return moment.replace(microsecond=0)
