"""Every object that the operator would create for a run that is not there yet, for people who review it. Asks no cluster.

The planner itself is asked, in a world where every step ends well at its first attempt and every model is better than the one
before, and where neither goal nor patience ends the run before its last round. What is made of the answers are the manifests that
the operator makes too.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from tpt_operator import checks, manifests, pods
from tpt_operator.pods import Json
from tpt_operator.settings import ROLES, Images
from tpt_runtime.core.actions import StartStep
from tpt_runtime.core.errors import InvalidResource, Problem
from tpt_runtime.core.observed import JobState, Observed, ObservedJob
from tpt_runtime.core.plan import plan
from tpt_runtime.core.spec import Run
from tpt_runtime.core.status import StepName

UID: Final = "UID"
"""Stands where the API server's UID of the run will be, which is also in the names of what is created."""
NOW: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""No object tells a time."""


def objects(run: Run, images: Mapping[str, str]) -> list[Json]:
    """Return what would be created for a run, in order.

    Args:
        run: The run, without a status.
        images: The operator's images by role; a placeholder stands for those that are left out.

    Raises:
        InvalidResource: this operator cannot, or is told not to, carry the run out.
    """
    wrong = checks.problems(run)
    if run.spec.managed_by != manifests.MANAGER:
        own = f"leave it out, or set {manifests.MANAGER}, to see what this operator would create"
        wrong.append(Problem("spec.managedBy", f"found {run.spec.managed_by}: the operator leaves such a run alone", own))
    if wrong:
        raise InvalidResource(run.metadata.name, tuple(wrong))
    metadata = run.metadata.model_copy(update={"uid": run.metadata.uid or UID})
    return list(_created(run.model_copy(update={"metadata": metadata}), _settings(images)))


def _settings(images: Mapping[str, str]) -> Images:
    sampler, pruner, trainer = (images.get(role) or f"{role.upper()}-IMAGE" for role in ROLES)
    return Images(sampler, pruner, trainer)


def _created(run: Run, images: Images) -> Iterator[Json]:
    yield from manifests.network_policies(run)
    met = False
    for start in starts(run):
        if pods.meets(start) and not met:
            yield manifests.service(run)
            met = True
        yield manifests.job(run, start, images)


def starts(run: Run) -> Iterator[StartStep]:
    """Yield what the planner starts if all goes well, to the last round."""
    objective = run.spec.objective.model_copy(update={"goal": None, "early_stopping": None})
    spec = run.spec.model_copy(update={"objective": objective, "suspend": False})
    planned = run.model_copy(update={"spec": spec, "status": None})
    jobs: list[ObservedJob] = []
    while True:
        made = plan(planned, Observed(tuple(jobs)), NOW)
        started = [action for action in made.actions if isinstance(action, StartStep)]
        if not started:
            return
        yield from started
        planned = planned.model_copy(update={"status": made.status.full_wire()})
        jobs = [_ended_well(start, spec.objective.metric) for start in started]


def _ended_well(start: StartStep, metric: str) -> ObservedJob:
    said = tuple(_summary(start, index, metric) for index in range(start.indexes))
    return ObservedJob(
        name=start.job,
        step=start.step,
        round=start.round,
        attempt=start.attempt,
        state=JobState.SUCCEEDED,
        created=NOW,
        started=NOW,
        finished=NOW,
        summaries=said,
    )


def _summary(start: StartStep, index: int, metric: str) -> dict[str, Any]:
    said: dict[str, Any] = {"step": start.step.value, "digest": "0"}
    match start.step:
        case StepName.PREPARE:
            return {**said, "resolved": {}}
        case StepName.SAMPLE | StepName.EVALUATE:
            return {**said, "shard": index, "prompts": 1, "samples": 1, "tokens": 1}
        case StepName.PRUNE:
            measured = _measured(start.round - 1, metric) if start.evaluate else []
            return {**said, "outcome": "Trainable", "samples": {"total": 1, "correct": 1}, "examples": 1, "metrics": measured}
        case StepName.GRADE:
            return {**said, "outcome": "GradedOnly", "metrics": _measured(start.round, metric)}
        case _:
            return said


def _measured(model: int, metric: str) -> list[dict[str, Any]]:
    return [{"name": f"validation/{metric}", "value": model / 100}]
