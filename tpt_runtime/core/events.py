"""What people are told, once, when something changes. Nothing reads these again: what matters is in the status."""

from collections.abc import Iterable

from tpt_runtime.core.actions import Event
from tpt_runtime.core.attempts import End, EndKind, shortened
from tpt_runtime.core.conditions import Standing, is_true
from tpt_runtime.core.observed import ObservedJob
from tpt_runtime.core.rounds import StepKey
from tpt_runtime.core.status import Condition, ConditionType

STATUS_UNREADABLE = Event(
    "StatusUnreadable",
    "the stored status cannot be read; it is made anew from what the steps find on the storage",
    warning=True,
)

_ENDS = {
    EndKind.FAILURE: ("StepFailed", "failed"),
    EndKind.DISRUPTION: ("StepDisrupted", "was interrupted, which costs nothing"),
    EndKind.NO_SUMMARY: ("SummaryMissing", "ended well, but its summary cannot be read"),
}


def started(key: StepKey, attempt: int) -> Event:
    """Return that an attempt begins."""
    return Event("StepStarted", f"{key} started" + (f" again (attempt {attempt})" if attempt > 1 else ""))


def done(told: str) -> Event:
    """Return that a step is done, in its own words."""
    return Event("StepDone", shortened(told))


def ended(key: StepKey, job: ObservedJob, end: End) -> Event:
    """Return that an attempt ended without success."""
    reason, what = _ENDS[end.kind]
    message = f"{key}: attempt {job.attempt} {what}: {end.message}"
    return Event(reason, shortened(message), warning=end.kind is not EndKind.DISRUPTION)


def changes(before: Iterable[Condition], after: Iterable[Condition], standing: Standing) -> list[Event]:
    """Return what the change of conditions means: complete, failed, gone on, suspended, resumed."""
    known = list(before)
    found = (_change(condition, was=is_true(known, condition.type), standing=standing) for condition in after)
    return [event for event in found if event is not None]


def _change(condition: Condition, *, was: bool, standing: Standing) -> Event | None:
    holds = condition.status == "True"
    if holds == was:
        return None
    if condition.type is ConditionType.SUSPENDED:
        return Event("Suspended", "the run is suspended") if holds else Event("Resumed", "the run is no longer suspended")
    if condition.type not in (ConditionType.COMPLETE, ConditionType.FAILED):
        return None
    if holds:
        message = shortened(f"{condition.type}: {condition.message}")
        return Event(condition.type.value, message, warning=condition.type is ConditionType.FAILED)
    return Event("GoesOn", f"the spec has changed: the run goes on with {standing.key}") if standing.over is None else None
