"""`tpt run`: observe, plan, write the status, carry out, wait; until there is nothing left to do.

What happens next is decided by `core.plan` alone, the very planner of the cluster. Ctrl-C suspends: the planner is asked with
`suspend`, so the step in progress is stopped, and the same command goes on where it was.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tpt_runtime.core.actions import Action, DeleteJob, Event, EventReason, Plan, ReleaseJob, StartStep
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.errors import StepFailed
from tpt_runtime.core.observed import FailureKind, JobState, Observed, ObservedJob
from tpt_runtime.core.plan import plan
from tpt_runtime.core.spec import Run
from tpt_runtime.core.status import Condition, ConditionType, Progress, RunStatus
from tpt_runtime.local.devices import check_gpus, places
from tpt_runtime.local.jobs import Jobs, Starting
from tpt_runtime.local.processes import GRACE_SECONDS
from tpt_runtime.local.screen import Screen, View
from tpt_runtime.local.tail import Tail, last_lines
from tpt_runtime.local.wakeups import Clock
from tpt_runtime.local.workdir import Busy, Workdir

TICK_SECONDS = 0.25
"""How often logs are looked at while processes run."""
PROGRESS_SECONDS = 5.0
"""How often progress goes into the status."""
SURVIVOR_SECONDS = GRACE_SECONDS + 15.0
"""How long processes of a `tpt run` that was killed may take to end."""
LAST_LINES = 15
UNTOLD = (EventReason.COMPLETE, EventReason.FAILED, EventReason.SUSPENDED, EventReason.GOES_ON)
"""Events that whoever called for the run tells at the end, with the figures, or has brought about."""


@dataclass(frozen=True)
class Machine:
    """What a run is carried out with."""

    folder: Workdir
    jobs: Jobs
    screen: Screen
    clock: Clock
    gpus: tuple[str, ...] = ()


@dataclass
class _Watched:
    """One process that is shown."""

    label: str
    tail: Tail


@dataclass
class _Moments:
    """When the next plan is due."""

    wake_at: datetime | None = None
    progress_at: datetime | None = None
    planned: bool = False

    def due(self, now: datetime, progress: bool) -> bool:
        """Return whether it is time to plan even if nothing has ended."""
        if not self.planned or (self.wake_at is not None and now >= self.wake_at):
            return True
        return progress and self.progress_at is not None and now >= self.progress_at


def on_one_machine(run: Run) -> Run:
    """Return `run` as one machine carries it out: training on one node. The number of nodes never changes results."""
    training = run.spec.training.model_copy(update={"nodes": 1})
    return run.model_copy(update={"spec": run.spec.model_copy(update={"training": training})})


class Runner:
    """Carries out one run in a locked work folder."""

    def __init__(self, run: Run, machine: Machine) -> None:
        """Carry out `run`, whose status is what the work folder kept."""
        self._run = on_one_machine(run)
        self._nodes = run.spec.training.nodes
        self._machine = machine
        self._status = RunStatus.from_wire(run.status or {})
        self._watched: dict[str, _Watched] = {}
        self._labels: dict[str, str] = {}
        self._indexes: dict[str, int] = {}
        self._told: set[str] = set()
        self._stops_heard = 0
        self._shown_progress: dict[str, Progress] = {}

    def carry_out(self) -> RunStatus:
        """Go on until the run is complete, failed or suspended; return its status.

        Raises:
            ConfigurationError: the spec asks for GPUs that this machine does not have.
            Busy: processes of an earlier `tpt run` do not end.
            StepFailed: the work folder cannot be written, or no process can be started.
        """
        check_gpus(self._run.spec, self._machine.gpus)
        if self._nodes > 1:
            instead = f"instead of {self._nodes} nodes; batchSize stays as it is"
            self._machine.screen.say(f"training runs on this one machine {instead}")
        try:
            self._end_survivors()
            self._go_on()
        finally:
            self._machine.jobs.close()
            self._machine.screen.close()
        return self._status

    def _go_on(self) -> None:
        machine, moments = self._machine, _Moments()
        while True:
            changed = self._hear_stops()
            changed |= machine.jobs.tend(machine.clock.now())
            self._look()
            now = machine.clock.now()
            if changed or moments.due(now, self._progress() != self._shown_progress):
                made = self._plan(now)
                moments = _Moments(made.wake_at, now + timedelta(seconds=PROGRESS_SECONDS), planned=not made.actions)
                if made.actions:
                    continue
                if self._over():
                    return
            machine.clock.wait(self._pause(moments, machine.clock.now()))

    def _plan(self, now: datetime) -> Plan:
        """Plan once: the status is written first, then the actions are carried out in their order."""
        self._shown_progress = self._progress()
        jobs = self._machine.jobs.observe(self._shown_progress)
        self._tell_failures(jobs)
        made = plan(self._run, Observed(jobs), now)
        if made.status != self._status:
            self._machine.folder.write_status(made.status)
            self._status = made.status
            self._run = self._run.model_copy(update={"status": made.status.full_wire()})
        for event in made.events:
            self._tell(event)
        for action in made.actions:
            self._apply(action, now)
        return made

    def _apply(self, action: Action, now: datetime) -> None:
        jobs = self._machine.jobs
        match action:
            case StartStep():
                self._start(action, now)
            case DeleteJob():
                jobs.delete(action.job, now)
            case ReleaseJob():
                jobs.release(action.job)

    def _start(self, start: StartStep, now: datetime) -> None:
        folder = self._machine.folder
        config = Commands(self._run, str(folder.path), str(folder.artifacts)).config(start)
        around = places(start.step, self._run.spec, self._machine.gpus)
        self._labels[start.job] = f"round {start.round} {start.step}" if start.round else str(start.step)
        self._indexes[start.job] = start.indexes
        try:
            self._machine.jobs.start(Starting(start, config, around), now)
        except OSError as error:
            raise StepFailed(f"{start.step}: no process can be started: {error.strerror or error}") from error

    def _hear_stops(self) -> bool:
        """Take note of requests to stop: the first suspends, the second ends everything at once."""
        stops = self._machine.clock.stops
        if len(stops) == self._stops_heard:
            return False
        if self._stops_heard == 0:
            self._run = self._run.model_copy(update={"spec": self._run.spec.model_copy(update={"suspend": True})})
            self._machine.screen.say("stopping: the step in progress saves its work (once more to end it at once)")
        if len(stops) > 1:
            self._machine.jobs.kill()
        self._stops_heard = len(stops)
        return True

    def _over(self) -> bool:
        if self._machine.jobs.busy:
            return False
        ended = (ConditionType.COMPLETE, ConditionType.FAILED, ConditionType.SUSPENDED)
        return any(is_true(self._status, kind) for kind in ended)

    def _pause(self, moments: _Moments, now: datetime) -> float:
        """Return the seconds until something is to be done even if nothing happens."""
        if self._machine.jobs.busy:
            return TICK_SECONDS
        if moments.wake_at is None:
            raise RuntimeError("the planner waits for nothing: no job, no moment, no end")
        return (moments.wake_at - now).total_seconds()

    def _end_survivors(self) -> None:
        """Wait until the processes of a `tpt run` that was killed have ended, then close their records."""
        jobs, clock = self._machine.jobs, self._machine.clock
        deadline = clock.now() + timedelta(seconds=SURVIVOR_SECONDS)
        survivors = jobs.survivors()
        if survivors:
            self._machine.screen.say(f"waiting for {len(survivors)} processes of a `tpt run` that was killed to end")
        while survivors:
            if clock.now() >= deadline:
                records = ", ".join(str(path / "process.json") for path in survivors)
                raise Busy(f"processes of an earlier `tpt run` do not end (see {records}): end them and try again")
            clock.wait(TICK_SECONDS)
            survivors = jobs.survivors()
        jobs.recover(clock.now())

    def _look(self) -> None:
        """Take in what the processes have said, and show it."""
        live: set[str] = set()
        for job, index, log in self._machine.jobs.running:
            key = f"{job}-{index}"
            live.add(key)
            if key not in self._watched:
                shard = f" {index + 1} of {self._indexes[job]}" if self._indexes[job] > 1 else ""
                self._watched[key] = _Watched(f"{self._labels[job]}{shard}", Tail(log))
            self._show(key)
        for key in self._watched.keys() - live:
            self._show(key)
            self._machine.screen.forget(key)
            del self._watched[key]

    def _show(self, key: str) -> None:
        watched, screen = self._watched[key], self._machine.screen
        for event in watched.tail.read():
            if event["event"] in ("note", "warning"):
                warning = "warning: " if event["event"] == "warning" else ""
                screen.say(f"{watched.label}: {warning}{event.get('message', '')}")
        tail = watched.tail
        screen.show(key, View(watched.label, tail.phase, tail.progress, tuple(tail.figures.items())))

    def _progress(self) -> dict[str, Progress]:
        """Return how far each Job is: the sum over its processes that have said so."""
        sums: dict[str, Progress] = {}
        for job, index, _ in self._machine.jobs.running:
            watched = self._watched.get(f"{job}-{index}")
            said = watched.tail.progress if watched else None
            if said is not None:
                before = sums.get(job, Progress(completed=0, total=0))
                sums[job] = Progress(completed=before.completed + said.completed, total=before.total + said.total)
        return sums

    def _tell(self, event: Event) -> None:
        if event.reason in UNTOLD:
            return
        self._machine.screen.say(f"{'warning: ' if event.warning else ''}{event.message}")

    def _tell_failures(self, jobs: tuple[ObservedJob, ...]) -> None:
        """Show the last words of a Job of ours that crashed, once, and where to read the rest.

        What the user can mend is told in words already, by the planner's event.
        """
        for job in jobs:
            if job.state is not JobState.FAILED or job.name in self._told or job.name not in self._labels:
                continue
            self._told.add(job.name)
            if job.failure is not None and job.failure.kind is FailureKind.CRASH:
                self._tell_failure(job)

    def _tell_failure(self, job: ObservedJob) -> None:
        screen, jobs = self._machine.screen, self._machine.jobs
        for log in jobs.failed_logs(job.name):
            lines = last_lines(log, LAST_LINES)
            screen.say("\n".join([f"{self._labels[job.name]}: the last lines of {log}", *(f"  | {line}" for line in lines)]))


def condition(status: RunStatus, kind: ConditionType) -> Condition | None:
    """Return the condition `kind` of `status`, None if it is not there."""
    return next((item for item in status.conditions if item.type is kind), None)


def is_true(status: RunStatus, kind: ConditionType) -> bool:
    """Return whether the condition `kind` holds."""
    found = condition(status, kind)
    return found is not None and found.status == "True"
