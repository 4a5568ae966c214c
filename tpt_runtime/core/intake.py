"""Takes in what has ended: summaries go into the rounds, other ends into the records of the attempts, each exactly once.

An attempt is told apart by its number: what is at most `ended` in its step's record has been taken in, however often it is seen.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from tpt_runtime.core import attempts, events, sequence, summaries, usage
from tpt_runtime.core.actions import Event
from tpt_runtime.core.attempts import End, EndKind, whole_second
from tpt_runtime.core.completion import best_round, measured
from tpt_runtime.core.observed import FailureKind, JobState, ObservedJob
from tpt_runtime.core.rounds import Rounds, StepKey
from tpt_runtime.core.spec import Spec
from tpt_runtime.core.status import Reason, Resolved, StepName, StepStatus, Summary


class Intake:
    """Takes in the ends of Jobs, in the order of the steps."""

    def __init__(self, rounds: Rounds, spec: Spec, jobs: Callable[[StepKey], Sequence[ObservedJob]], now: datetime) -> None:
        """Take in what `jobs` returns of a step, in the order of attempts."""
        self._rounds, self._spec, self._jobs, self._now = rounds, spec, jobs, now
        self.resolved: Resolved | None = None
        """What prepare resolved, if it was taken in just now."""
        self.events: list[Event] = []

    def everything(self) -> StepKey | None:
        """Take in all that has ended and return the next step, None if none is left.

        First come the steps that were begun, even those that a changed spec has no use for by now: their work is done. Then come
        those whose turn it is because of that; there are several if the status was lost and finished Jobs are still there.
        """
        for begun, _ in list(self._rounds.records()):
            if not self._rounds.done(begun):
                self._settle(begun)
        key = sequence.next_step(self._rounds, self._spec)
        while key is not None and self._settle(key):
            key = sequence.next_step(self._rounds, self._spec)
        return key

    def reopen_finalize(self, said: int | None) -> None:
        """Have the report made anew if it calls round `said` the best and by now, by a changed metric, it is another."""
        key = StepKey(self._rounds.trained, StepName.FINALIZE)
        record = self._rounds.step(key)
        if record.attempts and best_round(measured(self._rounds, self._spec.objective)) != said:
            self._rounds.put(key, attempts.reopened(record))

    def _settle(self, key: StepKey) -> bool:
        """Take in the ends of a step's attempts; return whether the step is done."""
        before = record = self._rounds.step(key)
        for job in self._jobs(key):
            if job.attempt <= record.ended:
                continue
            record = attempts.adopted(record, job.attempt)
            found = self._end(key, job)
            if found is None:
                continue
            at = found.at if isinstance(found, End) else self._when(job)
            record = usage.waited(record, job, at)
            usage.held(self._rounds, key.round, job, at)
            if not isinstance(found, End):
                self._complete(key, attempts.completed(record, at), found)
                return True
            record = attempts.ended(record, found)
            self.events.append(events.ended(key, job, found))
        if record != before:
            self._rounds.put(key, record)
        return False

    def _complete(self, key: StepKey, record: StepStatus, read: Sequence[Summary]) -> None:
        self._rounds.put(key, record)
        folded = summaries.fold(key, read, self._rounds, self._spec)
        self.resolved = folded.resolved or self.resolved
        self.events.append(events.done(folded.told))

    def _end(self, key: StepKey, job: ObservedJob) -> End | Sequence[Summary] | None:
        """Return what a Job handed in, or how else it has ended; None while it lives."""
        at = self._when(job)
        if job.state is JobState.SUCCEEDED:
            read = summaries.read(key, job.summaries, self._needed(key))
            if isinstance(read, summaries.Unreadable):
                return End(EndKind.NO_SUMMARY, read.why, at, Reason.SUMMARY_UNAVAILABLE)
            return read
        if job.state is JobState.FAILED:
            return _failed(job, at)
        return End(EndKind.DISRUPTION, "its Job was deleted", at) if job.deleting else None

    def _needed(self, key: StepKey) -> str | None:
        """Return the metric without which a summary is of no use: goal and best round could not be judged."""
        measures = key.step is StepName.PRUNE and sequence.evaluates(key, self._rounds, self._spec)
        return f"validation/{self._spec.objective.metric}" if measures or key.step is StepName.GRADE else None

    def _when(self, job: ObservedJob) -> datetime:
        """Return when a Job ended, as the status keeps it."""
        return whole_second(min(job.finished or self._now, self._now))


def _failed(job: ObservedJob, at: datetime) -> End:
    failure = job.failure
    if failure is None:
        return End(EndKind.FAILURE, "it failed without a word", at)
    if failure.kind is FailureKind.DISRUPTION:
        return End(EndKind.DISRUPTION, failure.message, at)
    configuration = failure.kind is FailureKind.CONFIGURATION
    return End(EndKind.FAILURE, failure.message, at, Reason.CONFIGURATION_ERROR if configuration else None)
