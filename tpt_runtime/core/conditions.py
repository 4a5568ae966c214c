"""What a run says of itself: conditions to wait for, and the columns that people read. All derived from where the run stands.

Every type of condition is always there, True, False or Unknown. Its time is that of the last change between these, so the
reason and the message may change without it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from tpt_runtime.core.attempts import shortened
from tpt_runtime.core.completion import Ending, percent
from tpt_runtime.core.observed import JobState, ObservedJob
from tpt_runtime.core.rounds import StepKey
from tpt_runtime.core.spec import Spec
from tpt_runtime.core.status import Condition, ConditionType, Reason

Truth = Literal["True", "False", "Unknown"]

HAND_OVER = timedelta(seconds=5)
"""A step that takes over from one that ran has so long to get a process going before the run is said not to be running."""


@dataclass(frozen=True)
class Standing:
    """Where a run stands after a plan."""

    over: Ending | None = None
    """Why it is complete or has failed; None while something is left to do."""
    key: StepKey | None = None
    """The step in progress."""
    attempt: int = 0
    """Its attempt: under way, about to begin, or the last one."""
    job: ObservedJob | None = None
    """The live Job of that attempt, if it is seen."""
    waiting: tuple[Reason, str] | None = None
    """What keeps the step from starting."""
    suspended: bool = False
    """Whether the spec asks for a pause."""
    taking_over: bool = False
    """Whether the step in progress has just taken over from one that ran, and nothing is known to be in its way."""

    @property
    def complete(self) -> bool:
        """Whether the run is complete."""
        return self.over is not None and not self.over.failed

    @property
    def failed(self) -> bool:
        """Whether the run has failed."""
        return self.over is not None and self.over.failed

    @property
    def running(self) -> bool:
        """Whether a process of the step in progress runs, or is about to."""
        return self.taking_over or (self.job is not None and self.job.state is JobState.RUNNING and not self.job.deleting)

    @property
    def what(self) -> str:
        """The step in progress, in words."""
        return f"{self.key}, attempt {self.attempt}"


State = tuple[Truth, Reason, str]


def conditions(before: Iterable[Condition], standing: Standing, generation: int, now: datetime) -> list[Condition]:
    """Return all conditions; those whose status is what it was `before` keep their time."""
    states: dict[ConditionType, State] = {
        ConditionType.RUNNING: _running(standing),
        ConditionType.SUSPENDED: _suspended(standing),
        ConditionType.RESOURCES_AVAILABLE: _resources_available(standing),
        ConditionType.COMPLETE: _over(standing, standing.complete),
        ConditionType.FAILED: _over(standing, standing.failed),
    }
    return _dated(before, states, generation, now)


def _dated(before: Iterable[Condition], states: dict[ConditionType, State], generation: int, now: datetime) -> list[Condition]:
    """Return `states` as conditions."""
    known = {condition.type: condition for condition in before}
    return [_dated_one(known.get(kind), kind, state, generation, now) for kind, state in states.items()]


def _dated_one(old: Condition | None, kind: ConditionType, state: State, generation: int, now: datetime) -> Condition:
    status, reason, message = state[0], state[1].value, shortened(state[2])
    if old is not None and (old.status, old.reason, old.message, old.observed_generation) == (
        status,
        reason,
        message,
        generation,
    ):
        return old
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        observed_generation=generation,
        last_transition_time=old.last_transition_time if old is not None and old.status == status else now,
    )


def failed_by_spec(before: Iterable[Condition], message: str, generation: int, now: datetime) -> list[Condition]:
    """Return the conditions of a run whose spec cannot be read, and so cannot be planned; `message` says why."""
    known = list(before)
    suspended: State = ("False", Reason.NOT_SUSPENDED, "")
    if is_true(known, ConditionType.SUSPENDED):
        suspended = ("True", Reason.SUSPENDED, "it was suspended when the spec was last valid")
    states: dict[ConditionType, State] = {
        ConditionType.RUNNING: ("False", Reason.FINISHED, "the spec is not valid"),
        ConditionType.SUSPENDED: suspended,
        ConditionType.RESOURCES_AVAILABLE: ("Unknown", Reason.FINISHED, "the spec is not valid"),
        ConditionType.COMPLETE: ("False", Reason.FINISHED, "the spec is not valid"),
        ConditionType.FAILED: ("True", Reason.INVALID_SPEC, message),
    }
    return _dated(known, states, generation, now)


def is_true(known: Iterable[Condition], kind: ConditionType) -> bool:
    """Return whether the condition `kind` is True."""
    return any(condition.type is kind and condition.status == "True" for condition in known)


def _running(standing: Standing) -> State:
    if standing.over is not None:
        return "False", Reason.FINISHED, "the run is over"
    if standing.suspended:
        return "False", Reason.SUSPENDED, "spec.suspend is true"
    if standing.running:
        return "True", Reason.STEP_RUNNING, standing.what
    if standing.waiting is not None:
        return "False", *standing.waiting
    if standing.job is not None and standing.job.blocked:
        return "False", Reason.WAITING_FOR_RESOURCES, f"{standing.what}: {standing.job.blocked}"
    return "False", Reason.IN_PROGRESS, f"{standing.what} is starting"


def _suspended(standing: Standing) -> State:
    if not standing.suspended:
        return "False", Reason.NOT_SUSPENDED, "spec.suspend is false"
    if standing.over is not None:
        return "True", Reason.SUSPENDED, "spec.suspend is true; the run is over anyway"
    return "True", Reason.SUSPENDED, f"spec.suspend is true; once it is false, the run goes on with {standing.key}"


def _resources_available(standing: Standing) -> State:
    if standing.over is not None:
        return "Unknown", Reason.FINISHED, "the run is over"
    if standing.running:
        return "True", Reason.RESOURCES_FOUND, f"{standing.what} is running"
    if standing.job is not None and standing.job.blocked:
        return "False", Reason.WAITING_FOR_RESOURCES, f"{standing.what}: {standing.job.blocked}"
    return "Unknown", Reason.SUSPENDED if standing.suspended else Reason.IN_PROGRESS, "no step is running"


def _over(standing: Standing, holds: bool) -> State:
    if standing.over is None:
        return "False", Reason.IN_PROGRESS, f"in progress: {standing.key}"
    if holds:
        return "True", standing.over.reason, standing.over.message
    return "False", Reason.FINISHED, "the run has failed" if standing.failed else "the run is complete"


def phase(standing: Standing) -> str:
    """Return one word for people: Pending, Running, Suspended, Complete or Failed."""
    if standing.over is not None:
        return "Failed" if standing.failed else "Complete"
    if standing.suspended:
        return "Suspended"
    return "Running" if standing.running else "Pending"


def columns(standing: Standing, current_round: int, best_value: float | None, spec: Spec) -> dict[str, Any]:
    """Return the status fields that are for display only."""
    best = None if best_value is None else f"{spec.objective.metric} {percent(best_value)}"
    return {"phase": phase(standing), "round": f"{current_round}/{spec.max_rounds}", "best_metric": best}
