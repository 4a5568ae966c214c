"""What an attempt has used by its end: the time that it waited for its processes to start, and the GPUs that they held."""

from datetime import datetime

from tpt_runtime.core.observed import ObservedJob
from tpt_runtime.core.rounds import Rounds
from tpt_runtime.core.status import StepStatus


def waited(record: StepStatus, job: ObservedJob, at: datetime) -> StepStatus:
    """Return the record of a step with the time that an attempt waited which ended at `at`; to be added once for each."""
    return record.model_copy(update={"queue_seconds": record.queue_seconds + queue_seconds(job, at)})


def held(rounds: Rounds, number: int, job: ObservedJob, at: datetime) -> None:
    """Add to a round the GPUs that an attempt held which ended at `at`; to be added once for each."""
    rounds.update(number, gpu_seconds=rounds[number].gpu_seconds + gpu_seconds(job, at))


def queue_seconds(job: ObservedJob, at: datetime) -> int:
    """Return how long an attempt waited until its first process started, or until it ended without one."""
    return _seconds(job.created, job.started or at)


def gpu_seconds(job: ObservedJob, at: datetime) -> int:
    """Return the GPUs of an attempt times the seconds that its processes ran; one that still ends is counted up to `at`."""
    return job.gpus * sum(_seconds(span.began, span.ended or at) for span in job.ran)


def _seconds(since: datetime, until: datetime) -> int:
    """Return whole seconds; clocks of two machines may differ, so none are negative."""
    return max(0, round((until - since).total_seconds()))
