"""The planner: from a run, its status and its Jobs to what is to be done now. Pure: no I/O, no clock, no chance, no memory.

Every call reads the whole present state and moves it one step, so a lost, repeated or reordered observation changes nothing, and
whoever carries plans out may stop between any two actions. A plan is made in this order:

1. What has ended is taken in (`intake.py`), and from rounds and spec follows what comes next (`sequence.py`).
2. It is judged whether the run is over: complete (`completion.py`), out of time, or failed for good (`attempts.py`).
3. Jobs that nobody wants any more are deleted.
4. If nothing of it is in the way, the next step is started. Jobs whose end is in the status are released after that.
5. The status is written anew from all that (`conditions.py`).

A live Job of a step that the status does not know of, and whose turn has not come, is left alone: the status was lost, or it is
older than the Job. The steps before find their artifacts and end at once; then the Job is taken over as it is.

What a step does is in `commands.py`, how a Job is made in the backends. Nothing here looks at artifacts.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from tpt_runtime.core import attempts, events, sequence, usage
from tpt_runtime.core.actions import Action, DeleteJob, Event, Plan, ReleaseJob
from tpt_runtime.core.attempts import End, EndKind, live, under_way, whole_second
from tpt_runtime.core.completion import Ending, best_round, ending, measured
from tpt_runtime.core.conditions import HAND_OVER, Standing, columns, conditions, failed_by_spec, is_true
from tpt_runtime.core.errors import Problem
from tpt_runtime.core.intake import Intake
from tpt_runtime.core.names import job_name
from tpt_runtime.core.observed import JobState, Observed, ObservedJob
from tpt_runtime.core.rounds import Rounds, StepKey
from tpt_runtime.core.spec import Metadata, Run
from tpt_runtime.core.status import ConditionType, Reason, Resolved, RunStatus, StepStatus

TERMINATING_NOTICE = timedelta(minutes=10)
"""A Job that was deleted and is still there after this long is a case for a person."""


def plan(run: Run, observed: Observed, now: datetime) -> Plan:
    """Return what is to be done now.

    Args:
        run: The run with its stored status, which may be older than what was observed, or lost.
        observed: Its Jobs, as far as they were seen.
        now: The present moment, with a time zone.

    Returns:
        The status to write first, the actions to carry out after that, when to plan again if nothing is observed before, and what
        to tell people. Planned again once all that is done and seen, there are no actions and the status is equal.
    """
    stored = _read(run.status)
    if run.metadata.deletion_timestamp is not None:
        return Plan(status=stored or RunStatus())
    return _Planning(run, stored, observed, now).result()


def invalid(metadata: Metadata, status: Mapping[str, Any] | None, problems: Iterable[Problem], now: datetime) -> RunStatus:
    """Return the status of a run whose spec is not usable: failed, with every problem, and otherwise as it was."""
    before = _read(status) or RunStatus()
    message = "; ".join(map(str, problems))
    made = failed_by_spec(before.conditions, message, metadata.generation, whole_second(now))
    failed = next(condition for condition in made if condition.type is ConditionType.FAILED)
    said = {"phase": "Failed", "observed_generation": metadata.generation, "conditions": made}
    return before.model_copy(update={**said, "completion_time": failed.last_transition_time, "step": None, "progress": None})


def _read(status: Mapping[str, Any] | None) -> RunStatus | None:
    """Return the stored status; None when there is none that this release can read, which is as good as lost."""
    if not status:
        return None
    try:
        return RunStatus.from_wire(status)
    except ValidationError:
        return None


class _Planning:
    """One plan in the making."""

    def __init__(self, run: Run, stored: RunStatus | None, observed: Observed, now: datetime) -> None:
        self._run, self._spec, self._generation = run, run.spec, run.metadata.generation
        self._now, self._stamp = now, whole_second(now)
        self._before = stored or RunStatus()
        self._started = self._before.start_time or self._stamp
        self._rounds = Rounds(self._before.rounds)
        jobs = {job.name: job for job in observed.jobs}.values()
        self._jobs = sorted(jobs, key=lambda job: (job.round, job.step.value, job.attempt))
        self._intake = Intake(self._rounds, self._spec, self._jobs_of, now)
        self._events = self._intake.events
        if run.status and stored is None:
            self._events.append(events.STATUS_UNREADABLE)
        self._key: StepKey | None = None
        self._over: Ending | None = None
        self._waiting: tuple[Reason, str] | None = None
        self._actions: list[Action] = []
        self._moments: list[datetime] = []

    def result(self) -> Plan:
        """Make the plan."""
        self._intake.reopen_finalize(self._before.best_round)
        self._key = self._intake.everything()
        self._over = self._judged()
        self._delete_unwanted()
        if self._over is None and not self._spec.suspend:
            self._start()
        self._release()
        status, told = self._status()
        wake_at = None if self._over else min((moment for moment in self._moments if moment > self._now), default=None)
        return Plan(status, tuple(self._actions), wake_at, (*self._events, *told))

    def _judged(self) -> Ending | None:
        """Return why the run is over, if it is."""
        if self._key is None:
            return ending(self._rounds, self._spec)
        policy = self._spec.failure_policy
        if policy.run_deadline_seconds is not None:
            due = self._started + timedelta(seconds=policy.run_deadline_seconds)
            self._moments.append(due)
            if self._now >= due:
                limit = f"failurePolicy.runDeadlineSeconds={policy.run_deadline_seconds}"
                return Ending(Reason.RUN_DEADLINE_EXCEEDED, f"{self._key} was not done within {limit}", failed=True)
        self._enforce_deadline(self._key)
        verdict = attempts.given_up(self._rounds.step(self._key), policy, self._generation)
        return Ending(verdict.reason, f"{self._key}: {verdict.message}", failed=True) if verdict is not None else None

    def _enforce_deadline(self, key: StepKey) -> None:
        """End the attempt under way if it is past its deadline. Time suspended does not count: there is no Job then."""
        job = self._current_job()
        if job is None or self._spec.suspend:
            return
        policy = self._spec.failure_policy
        end = attempts.overdue(job, policy, self._now)
        if end is not None:
            self._put_ended(key, job, end)
            self._events.append(events.ended(key, job, end))
        elif (due := attempts.deadline(job, policy)) is not None:
            self._moments.append(due)

    def _delete_unwanted(self) -> None:
        for job in self._jobs:
            why = self._unwanted(job) if live(job) and not job.deleting else None
            if why is None:
                continue
            self._actions.append(DeleteJob(job.name, why))
            key = _key_of(job)
            record = self._rounds.step(key)
            if under_way(record) and job.attempt == record.attempts:
                self._put_ended(key, job, End(EndKind.DISRUPTION, why, self._stamp))

    def _put_ended(self, key: StepKey, job: ObservedJob, end: End) -> None:
        record = attempts.ended(self._rounds.step(key), end)
        self._rounds.put(key, usage.waited(record, job, end.at))
        usage.held(self._rounds, key.round, job, end.at)

    def _unwanted(self, job: ObservedJob) -> str | None:
        """Return why a live Job is to go, None if it is to stay."""
        key = _key_of(job)
        record = self._rounds.step(key)
        if self._over is not None:
            return "the run has failed" if self._over.failed else "the run is complete"
        if self._spec.suspend:
            return "the run is suspended"
        if self._rounds.done(key):
            return f"{key} is done"
        if job.attempt <= record.ended:
            return f"attempt {job.attempt} is over"
        if key != self._key and job.attempt <= record.attempts:
            return f"the run goes on with {self._key}"
        return attempts.misplaced(job, record, self._spec.queue, self._generation)

    def _release(self) -> None:
        for job in self._jobs:
            key = _key_of(job)
            taken_in = self._rounds.done(key) or job.attempt <= self._rounds.step(key).ended
            if not live(job) and not job.released and not job.deleting and taken_in:
                self._actions.append(ReleaseJob(job.name))

    def _start(self) -> None:
        """Start the next attempt of the step in progress, or the one under way if its Job is not seen."""
        if self._key is None or self._current_job() is not None:
            return
        record = self._rounds.step(self._key)
        self._waiting = self._obstacle(self._key, record)
        if self._waiting is not None:
            return
        if not under_way(record):
            record = attempts.begun(record, self._generation, self._job_name(self._key, record.attempts + 1), self._stamp)
            self._rounds.put(self._key, record)
            self._events.append(events.started(self._key, record.attempts))
        name = self._job_name(self._key, record.attempts)
        self._actions.append(sequence.start(self._key, record.attempts, name, self._rounds, self._spec))

    def _obstacle(self, key: StepKey, record: StepStatus) -> tuple[Reason, str] | None:
        """Return what keeps the next attempt from starting, if anything does."""
        going = [action.job for action in self._actions if isinstance(action, DeleteJob)]
        gone_soon = [job for job in self._jobs if job.deleting and (live(job) or _key_of(job) == key)]
        if going or gone_soon:
            names = ", ".join(sorted([*going, *(job.name for job in gone_soon)]))
            return Reason.STEP_TERMINATING, f"{key} waits until {names} has ended{self._notice(gone_soon)}"
        until = None if under_way(record) else attempts.back_off_end(record, self._generation)
        if until is None or self._now >= until:
            return None
        self._moments.append(until)
        again = f"attempt {record.attempts + 1} begins at {until:%H:%M:%S} UTC"
        return Reason.BACKING_OFF, f"{key}: {again}; the last one said: {record.last_failure}"

    def _notice(self, terminating: list[ObservedJob]) -> str:
        """Return what to do about Jobs that do not go away; nothing is started beside them however long it takes."""
        since = min((job.deleting_since for job in terminating if job.deleting_since is not None), default=None)
        if since is None:
            return ""
        self._moments.append(since + TERMINATING_NOTICE)
        if self._now < since + TERMINATING_NOTICE:
            return ""
        return (
            f". It was deleted at {since:%Y-%m-%d %H:%M:%S} UTC, so its node may be unreachable. If that node is gone for good,"
            " delete it, or its pods: kubectl delete pod --force --selector batch.kubernetes.io/job-name=JOB"
        )

    def _status(self) -> tuple[RunStatus, list[Event]]:
        """Return the status, and what its changes mean to people."""
        values = measured(self._rounds, self._spec.objective)
        best = best_round(values)
        standing = self._standing()
        reached = self._key.round if self._key else self._rounds.trained
        current_round = max(self._before.current_round, reached)
        made = conditions(self._before.conditions, standing, self._generation, self._stamp)
        status = self._before.model_copy(
            update={
                **columns(standing, current_round, None if best is None else values[best], self._spec),
                "observed_generation": self._generation,
                "conditions": made,
                "start_time": self._started,
                "completion_time": (self._before.completion_time or self._stamp) if self._over else None,
                "current_round": current_round,
                "step": standing.key.step if standing.key else None,
                "progress": standing.job.progress if standing.job else None,
                "resolved": self._resolved(),
                "rounds": self._rounds.compacted(best),
                "best_round": best,
                "best_model": None if best is None else self._rounds[best].model,
            }
        )
        return status, events.changes(self._before.conditions, made, standing)

    def _resolved(self) -> Resolved | None:
        """Return what is resolved; what prepare knows nothing of, such as images pinned before it, stays."""
        known, said = self._before.resolved, self._intake.resolved
        if known is None or said is None:
            return said or known
        return known.model_copy(update={name: value for name, value in said if value})

    def _standing(self) -> Standing:
        if self._over is not None or self._key is None:
            return Standing(over=self._over, suspended=self._spec.suspend)
        record = self._rounds.step(self._key)
        return Standing(
            key=self._key,
            attempt=record.attempts + (0 if under_way(record) else 1),
            job=self._current_job(),
            waiting=self._waiting,
            suspended=self._spec.suspend,
            taking_over=self._takes_over(record),
        )

    def _takes_over(self, record: StepStatus) -> bool:
        """Return whether a step has just taken over from one that ran: one write of the status less than if the run paused."""
        job = self._current_job()
        in_the_way = self._waiting or self._spec.suspend or (job is not None and job.blocked)
        if in_the_way or record.attempts != 1 or not under_way(record) or record.start_time is None:
            return False
        until = record.start_time + HAND_OVER
        if self._now >= until or not is_true(self._before.conditions, ConditionType.RUNNING):
            return False
        if job is None or job.state is JobState.PENDING:
            self._moments.append(until)
        return True

    def _current_job(self) -> ObservedJob | None:
        """Return the live Job of the attempt under way, if it is seen."""
        if self._key is None:
            return None
        record = self._rounds.step(self._key)
        jobs = (job for job in self._jobs_of(self._key) if live(job) and not job.deleting)
        return next((job for job in jobs if under_way(record) and job.attempt == record.attempts), None)

    def _jobs_of(self, key: StepKey) -> list[ObservedJob]:
        """Return a step's Jobs in the order of their attempts."""
        return [job for job in self._jobs if _key_of(job) == key]

    def _job_name(self, key: StepKey, attempt: int) -> str:
        metadata = self._run.metadata
        return job_name(metadata.name, metadata.uid, key.round, key.step, attempt)


def _key_of(job: ObservedJob) -> StepKey:
    return StepKey(job.round, job.step)
