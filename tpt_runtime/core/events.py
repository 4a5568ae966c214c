"""What people are told, once, when something changes. Nothing reads these again: what matters is in the status."""

from collections.abc import Iterable

from tpt_runtime.core.actions import Event, EventReason
from tpt_runtime.core.attempts import End, EndKind, shortened
from tpt_runtime.core.conditions import Standing, is_true
from tpt_runtime.core.observed import ObservedJob
from tpt_runtime.core.rounds import StepKey
from tpt_runtime.core.status import Condition, ConditionType

STATUS_UNREADABLE = Event(
    EventReason.STATUS_UNREADABLE,
    "the stored status cannot be read; it is made anew from what the steps find on the storage",
    warning=True,
)
_SUSPENDED = Event(EventReason.SUSPENDED, "the run is suspended")
_RESUMED = Event(EventReason.RESUMED, "the run is no longer suspended")

_ENDS = {
    EndKind.FAILURE: (EventReason.STEP_FAILED, "failed"),
    EndKind.DISRUPTION: (EventReason.STEP_DISRUPTED, "was interrupted, which costs nothing"),
    EndKind.NO_SUMMARY: (EventReason.SUMMARY_MISSING, "ended well, but its summary cannot be read"),
}


def started(key: StepKey, attempt: int) -> Event:
    """Return that an attempt begins."""
    return Event(EventReason.STEP_STARTED, f"{key} started" + (f" again (attempt {attempt})" if attempt > 1 else ""))


def done(told: str) -> Event:
    """Return that a step is done, in its own words."""
    return Event(EventReason.STEP_DONE, shortened(told))


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
        return _SUSPENDED if holds else _RESUMED
    if condition.type not in (ConditionType.COMPLETE, ConditionType.FAILED):
        return None
    if holds:
        failed = condition.type is ConditionType.FAILED
        return Event(EventReason.FAILED if failed else EventReason.COMPLETE, condition.message, warning=failed)
    if standing.over is not None:
        return None
    return Event(EventReason.GOES_ON, f"the spec has changed: the run goes on with {standing.key}")
