"""The operator of the simulation: looks, plans, writes the status, carries out; with old eyes, or stopped half-way, if told."""

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from tests.core import simulation_rules as rules
from tests.core.simulated_work import Job
from tpt_runtime.core.actions import DeleteJob, Plan, ReleaseJob, StartStep
from tpt_runtime.core.observed import JobState, Observed
from tpt_runtime.core.plan import plan
from tpt_runtime.core.spec import Run

if TYPE_CHECKING:
    from tests.core.simulation import World


class View(Enum):
    """What the operator sees."""

    NOW = "now"
    OLD_JOBS = "old jobs"
    OLD_RUN = "old run"
    OLD_BOTH = "old both"
    NO_SUMMARIES = "no summaries"
    """The pods' cache lags behind the Jobs'."""


class Operator:
    """Does what the planner says."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._history: list[tuple[Run, int, Observed]] = []
        self.plans = 0
        self.settled = -1
        """The run's version at the latest plan that was made from what is and carried out whole."""
        self.planned_from: Mapping[str, Any] = {}
        """The status that the latest plan was made from."""

    def reconcile(self, view: View = View.NOW, stop_after: int | None = None) -> Plan:
        """Look, plan, write the status, carry out; stop after so many calls if told so."""
        run, version, observed = self._look(view)
        self.planned_from = run.status or {}
        made = self.make_plan(run, observed)
        calls = 0
        written = made.status.full_wire()
        if written != (run.status or {}):
            if stop_after == calls:
                return made
            if version != self._world.version:
                return made  # a conflict: the plan is dropped
            self._write(written, observed)
            version = self._world.version
            calls += 1
        for action in made.actions:
            if stop_after == calls:
                return made
            self._carry_out(action, version, fresh=view is View.NOW)
            calls += 1
        if view is View.NOW:
            self.settled = self._world.version
            rules.check_jobs(self._world)
            if calls:
                rules.check_second_plan(self._world)
        return made

    def _look(self, view: View) -> tuple[Run, int, Observed]:
        now = (self._world.run, self._world.version, self._world.seen())
        self._history.append(now)
        if view is View.NOW:
            return now
        self._world.happened[view.value] += 1
        old = self._history[-1 - self._world.tape.take(min(len(self._history), 24))]
        match view:
            case View.OLD_JOBS:
                return self._world.run, self._world.version, old[2]
            case View.OLD_RUN:
                return old[0], old[1], now[2]
            case View.OLD_BOTH:
                return old
            case View.NO_SUMMARIES:
                return self._world.run, self._world.version, self._without_summaries(now[2])

    def _without_summaries(self, observed: Observed) -> Observed:
        self._world.excused.update(job.key for job in self._world.jobs.values() if job.state is JobState.SUCCEEDED)
        return Observed(tuple(replace(job, summaries=tuple(None for _ in job.summaries)) for job in observed.jobs))

    def make_plan(self, run: Run, observed: Observed) -> Plan:
        """Ask the planner."""
        self.plans += 1
        return plan(run, observed, self._world.now)

    def _write(self, status: dict[str, Any], observed: Observed) -> None:
        rules.check_status(self._world, self._world.run.status or {}, status)
        self._world.store(status)
        self._world.forget_unseen(observed)

    def _carry_out(self, action: StartStep | DeleteJob | ReleaseJob, version: int, *, fresh: bool) -> None:
        match action:
            case StartStep():
                self._start(action, version, fresh=fresh)
            case DeleteJob():
                if action.job in self._world.jobs:
                    job = self._world.jobs[action.job]
                    rules.check_deletion(self._world, job, fresh=fresh)
                    self._world.delete(job)
            case ReleaseJob():
                if action.job in self._world.jobs:
                    self._release(self._world.jobs[action.job], fresh=fresh)

    def _start(self, start: StartStep, version: int, *, fresh: bool) -> None:
        others = [job for job in self._world.jobs.values() if job.key == (start.step, start.round) and job.start.job != start.job]
        beside = [job.start.job for job in others if job.live or job.deleting_since is not None]
        if not fresh and (version != self._world.version or beside):
            return  # what the backend sees when it looks once more, live
        if beside:
            raise rules.Violation(f"{start.job} starts beside {beside}")
        if start.job in self._world.jobs:
            if fresh:
                raise rules.Violation(f"{start.job} is started although it is seen")
            return
        rules.check_start(self._world, start, fresh=fresh)
        self._world.jobs[start.job] = Job(
            start, self._world.now, int(self._world.record((start.step, start.round))["generation"])
        )

    def _release(self, job: Job, *, fresh: bool) -> None:
        if job.live and not fresh:
            return  # what was seen is an earlier Job of that name
        record = self._world.record(job.key)
        known = self._world.done_in_status(job.key) or job.start.attempt <= int(record.get("ended", 0))
        if job.live or not (known or self._world.happened["status lost"]):
            raise rules.Violation(f"{job.start.job} is released before its end is stored")
        job.released = True
        if self._world.scenario.release_removes:
            self._world.remove(job)
