"""What may not change during a run: rules over the old and the new version of a resource, generated from the mark `MUTABLE`.

The CRD gets one CEL rule for every fixed field, at the object that holds the field (at the field itself, removing it would go
unseen), with `has()` on both sides where it may be left out. Such a rule is evaluated only where old and new both have the
object; whether an optional object is there at all is a rule of its parent. `changed_fixed_fields` says the same in Python.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType
from typing import Any, get_args, get_origin

from tpt_runtime.core.model import Model, is_mutable
from tpt_runtime.core.spec import Spec


@dataclass(frozen=True)
class Transition:
    """One CEL rule with `oldSelf`; it lies at the object `path`, and an error is shown at `field_path` below it."""

    path: str
    cel: str
    message: str
    field_path: str


MAX_ROUNDS = Transition(
    path="",
    # It must pass while maxRounds stays as it is, whatever status says: else it would reject writes of the status and
    # so wedge the run.
    cel=(
        "self.spec.maxRounds == oldSelf.spec.maxRounds || !has(self.status) || !has(self.status.currentRound)"
        " || self.spec.maxRounds >= self.status.currentRound"
    ),
    message="must not fall below status.currentRound: that round has begun",
    field_path=".spec.maxRounds",
)


def max_rounds_too_low(old: Spec, new: Spec, current_round: int) -> bool:
    """Return whether a change of the spec breaks `MAX_ROUNDS`."""
    return new.max_rounds != old.max_rounds and new.max_rounds < current_round


def changed_fixed_fields(old: Spec, new: Spec) -> list[str]:
    """Return the paths of the fixed fields that differ, defaults filled in; what may change during a run is passed over.

    A field that was left out and is now given counts as changed even where the value is what would have been chosen for it.
    """
    return list(_changed(old, new, "spec"))


def _changed(old: Model, new: Model, path: str) -> Iterator[str]:
    for name, alias, inner in _fixed_fields(type(old)):
        before, after = getattr(old, name), getattr(new, name)
        if inner is not None and before is not None and after is not None:
            yield from _changed(before, after, f"{path}.{alias}")
        elif before != after:
            yield f"{path}.{alias}"


def transitions() -> tuple[Transition, ...]:
    """Return every rule over two versions of a resource."""
    return (MAX_ROUNDS, *_fixed(Spec, "spec"))


def _fixed(model: type[Model], path: str) -> Iterator[Transition]:
    for name, alias, inner in _fixed_fields(model):
        new, old = f"self.{alias}", f"oldSelf.{alias}"
        given = f"has({new}) == has({old})"
        optional = model.model_fields[name].default is None
        if inner is None:
            cel = f"{given} && (!has({new}) || {new} == {old})" if optional else f"{new} == {old}"
            yield _transition(path, alias, cel)
            continue
        if optional:
            yield _transition(path, alias, given)
        yield from _fixed(inner, f"{path}.{alias}")


def _transition(path: str, alias: str, cel: str) -> Transition:
    message = f"{alias} cannot change during a run: it decides what comes of it; make another run"
    return Transition(path=path, cel=cel, message=message, field_path=f".{alias}")


def _fixed_fields(model: type[Model]) -> Iterator[tuple[str, str, type[Model] | None]]:
    """Yield name, alias and, where the field is an object, the model of each field without the mark `MUTABLE`."""
    for name, info in model.model_fields.items():
        if not is_mutable(model, name):
            yield name, info.alias or name, _object(info.annotation)


def _object(annotation: Any) -> type[Model] | None:
    """Return the model of an object that is or may be there; None for anything else, a list of objects too."""
    if get_origin(annotation) is list:
        return None
    kinds = [kind for kind in get_args(annotation) or (annotation,) if kind is not NoneType]
    only = kinds[0] if len(kinds) == 1 else None
    return only if isinstance(only, type) and issubclass(only, Model) else None
