"""A cluster in memory that goes wrong on purpose, and an operator in it that does what the planner says.

The world is told what to do by a tape of bytes, so that Hypothesis can shrink what happened: a 0 is always the quiet choice, and
past its end the tape is all zeros. Jobs run, crash, hang, are evicted, lose their summaries and are deleted by hand. What the
operator sees may be old, seen before, or of different times. It may stop between any two calls, its status may be lost, its spec
may change.

Artifacts outlive all of it, as on a real storage: a step that finds its artifact ends at once. `Violation` is raised as soon as
something happens that must never happen. The world knows nothing of how the planner comes to its decisions, only of what it asked
for, and of the status that it wrote.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.core.simulated_operator import Operator, View
from tests.core.simulated_work import Job, Key, Scenario, Storage, outcome
from tests.core.simulation_rules import Violation, record_of, records_of
from tpt_runtime.core.actions import Plan
from tpt_runtime.core.observed import Failure, FailureKind, JobState, Observed
from tpt_runtime.core.spec import Run
from tpt_runtime.core.status import StepName

START = datetime(2026, 1, 1, tzinfo=UTC)
PAUSES = (0, 1, 5, 15, 60, 400)
"""Seconds that may pass between two looks."""


class Tape:
    """Decides everything that is left open."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def take(self, choices: int) -> int:
        """Return the next decision, from 0 to `choices` - 1."""
        self._at += 1
        return self._content[self._at - 1] % choices if self._at <= len(self._content) else 0

    @property
    def over(self) -> bool:
        """Whether all is quiet from now on."""
        return self._at >= len(self._content)


class World:
    """The cluster, the stored run, and the operator."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.tape = Tape(scenario.tape)
        self.now = START
        self.jobs: dict[str, Job] = {}
        self.storage = Storage(scenario)
        self.run = Run.model_validate(
            {
                "apiVersion": "tpt.dev/v1alpha1",
                "kind": "SelfImprovementRun",
                "metadata": {"name": "sim", "uid": "u1", "generation": 1},
                "spec": scenario.spec(),
            }
        )
        self.version = 0
        """Counts writes to the run; a status is stored only over the version that it was made from."""
        self.happened: Counter[str] = Counter()
        """What went wrong, by kind."""
        self.excused: set[Key] = set()
        """Steps that may find their work done: their Job was deleted, or failed after its work, or its summary was lost."""
        self.ends: dict[tuple[Key, int], list[Job]] = {}
        """Jobs that failed or lost their summary, by step and by the generation under which the status has them."""
        self.most_attempts = scenario.max_attempts
        self.operator = Operator(self)

    # the world

    def disturb(self) -> None:
        """Let something happen, or nothing, then look and act once."""
        view = View.NOW
        stop_after: int | None = None
        match self.tape.take(64 * self.scenario.calm):
            case 40 | 41 | 42:
                self.change("suspend", suspend=not self.run.spec.suspend)
            case 43 | 44 | 45 | 46:
                self._delete_by_hand()
            case 47 | 48:
                self._change_spec()
            case 49:
                self.lose_status()
            case 50 | 51 | 52:
                view = View.OLD_JOBS
            case 53:
                view = View.OLD_RUN
            case 54:
                view = View.OLD_BOTH
            case 55 | 56:
                view = View.NO_SUMMARIES
            case 57 | 58 | 59 | 60 | 61:
                stop_after = self.tape.take(4)
                self.happened["operator stopped"] += 1
        self._go_on(view, stop_after)

    def _go_on(self, view: View, stop_after: int | None) -> None:
        self.now += timedelta(seconds=PAUSES[self.tape.take(len(PAUSES))])
        self._advance_jobs()
        # A run that is over and has not changed since is not looked at again: that would take half of the time.
        if not (self.over and not self.jobs and self.operator.settled == self.version):
            self.operator.reconcile(view, stop_after)

    def _delete_by_hand(self) -> None:
        if self.jobs:
            job = list(self.jobs.values())[self.tape.take(len(self.jobs))]
            self.happened["deleted by hand"] += 1
            self.delete(job)

    def change(self, kind: str, **fields: Any) -> None:
        """Change fields of the spec, as `kubectl apply` would; `kind` is for the record."""
        self.happened[kind] += 1
        spec = self.run.spec.model_copy(update=fields)
        metadata = self.run.metadata.model_copy(update={"generation": self.run.metadata.generation + 1})
        self.run = self.run.model_copy(update={"spec": spec, "metadata": metadata})
        self.version += 1
        self.most_attempts = max(self.most_attempts, spec.failure_policy.max_attempts)

    def _change_spec(self) -> None:
        spec = self.run.spec
        match self.tape.take(6):
            case 0:
                self.change("spec touched", sampling=spec.sampling.model_copy(update={"tensor_parallel_size": 2}))
            case 1:
                self.change("rounds raised", max_rounds=min(spec.max_rounds + 1, 6))
            case 2:
                goal = (None, 0.3, 0.5, 0.7)[self.tape.take(4)]
                self.change("objective", objective=spec.objective.model_copy(update={"goal": goal}))
            case 3:
                self.change("objective", objective=spec.objective.model_copy(update={"early_stopping": None}))
            case 4:
                metric = "pass@4" if spec.objective.metric == "pass@1" else "pass@1"
                self.change("objective", objective=spec.objective.model_copy(update={"metric": metric}))
            case 5:
                attempts = 1 + self.tape.take(4)
                policy = spec.failure_policy.model_copy(update={"max_attempts": attempts})
                self.change("attempts", failure_policy=policy)

    def lose_status(self) -> None:
        """Lose the status, as when a backup is restored."""
        self.happened["status lost"] += 1
        self.run = self.run.model_copy(update={"status": None})
        self.version += 1
        self.ends.clear()
        for job in self.jobs.values():
            job.generation = 0  # nobody knows it any more

    def _advance_jobs(self) -> None:
        for job in list(self.jobs.values()):
            if job.deleting_since is not None:
                if self.tape.take(4) != 3:
                    self.remove(job)
            elif job.live and not job.hung:
                self._advance(job)
            elif job.released and self.tape.take(4) != 3:
                self.remove(job)

    def _advance(self, job: Job) -> None:
        if job.state is JobState.PENDING and not self._begins(job):
            return
        if job.start.step is self.scenario.stubborn:
            self._fail(job, FailureKind.CRASH)
            return
        match self.tape.take(32):
            case 20 | 21 | 22:
                pass
            case 23:
                job.hung = self.scenario.step_deadline is not None
            case 24 | 25:
                self._fail(job, FailureKind.CRASH)
            case 26:
                self._work(job)
                self._fail(job, FailureKind.CRASH)
            case 27:
                self._fail(job, FailureKind.CONFIGURATION)
            case 28 | 29:
                self._fail(job, FailureKind.DISRUPTION)
            case fate:
                self._succeed(job, handed_in=fate != 30)

    def _begins(self, job: Job) -> bool:
        """Start a Job's pods, if there is room for them; return whether it comes further in the same moment."""
        pace = self.tape.take(8)
        job.blocked = pace >= 6
        job.hung = pace == 7 and self.scenario.pending_deadline is not None
        if not job.blocked:
            job.state, job.started = JobState.RUNNING, self.now
        return pace in (0, 2, 4)

    def _fail(self, job: Job, kind: FailureKind) -> None:
        self.happened[kind.value] += 1
        self.excused.add(job.key)
        if kind is not FailureKind.DISRUPTION:
            self._note_end(job)
        job.state, job.finished, job.failure = JobState.FAILED, self.now, Failure(kind, f"exit after {kind.value}", 1)

    def _succeed(self, job: Job, *, handed_in: bool) -> None:
        self._work(job)
        job.state, job.finished = JobState.SUCCEEDED, self.now
        said = self.storage.summaries(job.start)
        job.summaries = said if handed_in else (*said[:-1], None)
        if not handed_in:
            self.happened["no summary"] += 1
            self.excused.add(job.key)
            self._note_end(job)

    def _note_end(self, job: Job) -> None:
        """Expect this end to be counted, unless the operator has given up on the attempt already."""
        if job.start.attempt > int(self.record(job.key).get("ended", 0)):
            self.ends.setdefault((job.key, job.generation), []).append(job)

    def _work(self, job: Job) -> None:
        missing = self.storage.missing(job.start)
        if missing:
            raise Violation(f"{job.start.job} runs without {missing}")
        self.storage.artifacts.update(self.storage.outputs(job.start))
        if job.start.evaluate:
            other = StepName.EVALUATE if job.start.step is StepName.SAMPLE else StepName.GRADE
            self.excused.add((other, job.start.round - 1))

    def delete(self, job: Job) -> None:
        """Begin to delete a Job."""
        self.excused.add(job.key)
        if job.deleting_since is None:
            job.deleting_since = self.now

    def remove(self, job: Job) -> None:
        """Remove a Job and its pods for good."""
        del self.jobs[job.start.job]
        if job.start.attempt > int(self.record(job.key).get("ended", 0)):
            known = self.ends.get((job.key, job.generation), [])
            known[:] = [other for other in known if other is not job]  # nobody will ever hear of it

    def seen(self) -> Observed:
        """Return the Jobs as they are."""
        return Observed(tuple(job.seen() for job in self.jobs.values()))

    def store(self, status: dict[str, Any]) -> None:
        """Store a status."""
        self.run = self.run.model_copy(update={"status": status})
        self.version += 1
        # What the operator has given up on is not waited for, even if it ends well before it is gone.
        ended = {key: record["ended"] for key, record in records_of(status)}
        self.excused.update(job.key for job in self.jobs.values() if job.live and job.start.attempt <= ended.get(job.key, 0))

    def forget_unseen(self, observed: Observed) -> None:
        """Expect no end to count that was not seen before its attempt was taken for ended: an earlier Job of that name was."""
        seen = {outcome(job) for job in observed.jobs}
        for (key, _), ends in self.ends.items():
            ended = int(self.record(key).get("ended", 0))
            ends[:] = [job for job in ends if job.start.attempt > ended or outcome(job.seen()) in seen]

    def record(self, key: Key) -> Mapping[str, Any]:
        """Return what the stored status says of a step."""
        return record_of(self.run.status or {}, key)

    def done_in_status(self, key: Key) -> bool:
        """Return whether the stored status has a step as done."""
        return "completionTime" in self.record(key)

    # the end

    def quiet_down(self) -> Plan:
        """Let nothing go wrong any more, and wait until the run is over; return its last plan."""
        if self.run.spec.suspend:
            self.change("suspend", suspend=False)
        for _ in range(200):
            self._advance_jobs()
            made = self.operator.reconcile()
            busy = made.actions or any(job.moves for job in self.jobs.values())
            if self.over and not busy:
                return made
            if not busy:
                if made.wake_at is None:
                    raise Violation("the planner waits for nothing")
                self.now = max(self.now, made.wake_at)
        raise Violation(f"it does not end: {self.run.status}")

    @property
    def over(self) -> str | None:
        """The reason why the run is complete or has failed."""
        return next((item["reason"] for item in self._ends() if item["status"] == "True"), None)

    @property
    def failed(self) -> bool:
        """Whether the run has failed."""
        return any(item["type"] == "Failed" and item["status"] == "True" for item in self._ends())

    def _ends(self) -> Iterator[Mapping[str, Any]]:
        conditions = (self.run.status or {}).get("conditions", [])
        return (item for item in conditions if item["type"] in ("Complete", "Failed"))
