"""What must hold at every moment of a simulated run, whatever goes wrong around the planner."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.core.simulated_work import Job, Key
from tpt_runtime.core.actions import StartStep
from tpt_runtime.core.observed import FailureKind, JobState
from tpt_runtime.core.status import StepName

if TYPE_CHECKING:
    from tests.core.simulation import World


class Violation(AssertionError):
    """Something that must never happen."""


def check_start(world: "World", start: StartStep, *, fresh: bool) -> None:
    """Check a Job before it is created; `fresh` says that the plan was made from what is."""
    key = (start.step, start.round)
    record = world.record(key)
    going = [job.start.job for job in world.jobs.values() if job.live and job.deleting_since is not None]
    if fresh and going:
        raise Violation(f"{start.job} starts while {going} is terminating")
    if world.run.spec.suspend:
        raise Violation(f"{start.job} starts although the run is suspended")
    if missing := world.storage.missing(start):
        raise Violation(f"{start.job} starts before {missing}")
    if start.step is StepName.TRAIN and not world.scenario.trainable(start.round):
        raise Violation(f"{start.job} trains on nothing")
    if start.attempt <= int(record.get("ended", 0)) or start.attempt > int(record.get("attempts", 0)):
        raise Violation(f"{start.job} is not the attempt that the status has under way: {record}")
    if world.done_in_status(key):
        raise Violation(f"{start.job} repeats what the status has as done")
    if world.storage.artifacts.issuperset(world.storage.outputs(start)) and not _excused(world, key):
        raise Violation(f"{start.job} repeats finished work")
    _check_failures(world, start, world.ends.get((key, int(record["generation"])), []))


def _check_failures(world: "World", start: StartStep, ends: list[Job]) -> None:
    failures = [job.failure for job in ends if job.failure is not None]
    if len(failures) >= world.most_attempts:
        raise Violation(f"{start.job} starts after {len(failures)} failures")
    if len(ends) - len(failures) > 1:
        raise Violation(f"{start.job} starts after {len(ends) - len(failures)} lost summaries")
    if any(failure.kind is FailureKind.CONFIGURATION for failure in failures):
        raise Violation(f"{start.job} starts although the step's configuration is wrong")
    if failures and any(job.failure and job.finished and world.now < job.finished + timedelta(seconds=10) for job in ends):
        raise Violation(f"{start.job} starts without a back-off")


def _excused(world: "World", key: Key) -> bool:
    # A report is made anew when the metric, and with it the best round, has changed.
    anew = key[0] is StepName.FINALIZE and world.happened["objective"] > 0
    return anew or key in world.excused or world.happened["status lost"] > 0


def check_deletion(world: "World", job: Job, *, fresh: bool) -> None:
    """A Job that runs well is deleted for a reason only."""
    policy = world.run.spec.failure_policy
    deadlines = policy.step_deadline_seconds, policy.pending_deadline_seconds, policy.run_deadline_seconds
    reasons = (
        not fresh,
        world.run.spec.suspend,
        world.over,
        any(limit is not None for limit in deadlines),
        world.done_in_status(job.key),
        job.start.attempt <= int(record_of(world.operator.planned_from, job.key).get("ended", 0)),
        world.happened["objective"],
        world.happened["rounds raised"],
    )
    if job.live and job.deleting_since is None and not any(reasons):
        raise Violation(f"{job.start.job} is deleted although it runs well")


def check_jobs(world: "World") -> None:
    """Check what still runs after a plan that was made from what is and carried out whole."""
    policy = world.run.spec.failure_policy
    running = [job for job in world.jobs.values() if job.live and job.deleting_since is None]
    if running and (world.run.spec.suspend or world.over):
        raise Violation(f"{running[0].start.job} runs although the run is suspended or over")
    for job in running:
        pending = job.state is JobState.PENDING
        limit = policy.pending_deadline_seconds if pending else policy.step_deadline_seconds
        since = job.created if pending else job.started or job.created
        known = job.start.attempt <= int(world.record(job.key).get("attempts", 0))
        if known and limit is not None and world.now >= since + timedelta(seconds=limit):
            raise Violation(f"{job.start.job} runs past its deadline")
    limit, since_start = policy.run_deadline_seconds, (world.run.status or {}).get("startTime")
    if limit is None or since_start is None or world.over:
        return
    if world.now >= datetime.fromisoformat(since_start) + timedelta(seconds=limit):
        raise Violation("the run goes on past its deadline")


def check_status(world: "World", old: dict[str, Any], new: dict[str, Any]) -> None:
    """Check a status before it is stored: it only grows."""
    if new.get("currentRound", 0) < old.get("currentRound", 0):
        raise Violation("currentRound falls")
    records = dict(records_of(new))
    for key, record in records.items():
        if not record["ended"] <= record["attempts"] <= record["ended"] + 1:
            raise Violation(f"{key}: more than one attempt under way: {record}")
        if record["failures"] > world.most_attempts:
            raise Violation(f"{key}: more failures than allowed: {record}")
    for key, before in records_of(old):
        after = records.get(key)
        if after is None or after["attempts"] < before["attempts"] or after["ended"] < before["ended"]:
            raise Violation(f"{key}: the status forgets attempts: {before} became {after}")
        if "completionTime" in before and "completionTime" not in after and key[0] is not StepName.FINALIZE:
            raise Violation(f"{key}: the status forgets that it is done")
    for entry in old.get("rounds", []):
        known = {metric["name"] for metric in entry["metrics"]}
        if not known <= {metric["name"] for metric in new["rounds"][entry["round"]]["metrics"]}:
            raise Violation(f"round {entry['round']}: the status forgets figures")


def check_second_plan(world: "World") -> None:
    """Planned again once all is done and seen, there is nothing to do."""
    again = world.operator.make_plan(world.run, world.seen())
    if again.actions or again.status.full_wire() != world.run.status:
        raise Violation(
            f"a second plan differs: {again.actions}, {_difference(world.run.status or {}, again.status.full_wire())}"
        )


def records_of(status: Mapping[str, Any]) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """Yield what a status says of each step."""
    for entry in status.get("rounds", []):
        for record in entry["steps"]:
            yield (StepName(record["name"]), entry["round"]), record


def record_of(status: Mapping[str, Any], key: Key) -> Mapping[str, Any]:
    """Return what a status says of one step."""
    return next((record for other, record in records_of(status) if other == key), {})


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    return {name: (old.get(name), new.get(name)) for name in {*old, *new} if old.get(name) != new.get(name)}
