"""From parsed YAML or JSON to a `Run`: every problem at once, each with its path, the value found, what is allowed and a hint.

It is exactly as strict as the API server (seen on Kubernetes 1.37): nothing is coerced, but 4.0 is a whole number, a whole number
is a number, and a field that is null counts as left out; null in a list is an error. Reading files is `artifacts.yaml`'s
business, and the words of the messages stand in `wording.py`.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from tpt_runtime.core.errors import InvalidResource, Problem
from tpt_runtime.core.model import Model
from tpt_runtime.core.rule import Rule
from tpt_runtime.core.rules import RULES
from tpt_runtime.core.spec import API_VERSION, KIND, Run
from tpt_runtime.core.wording import NOTHING, Location, closest, explain, path_of, placeholder, schema_of, shown

LARGEST_INTEGER = 2**63
DEEPEST = 64
"""Levels; the schema has far fewer."""
METADATA_FIELDS = frozenset(
    (
        *("name", "generateName", "namespace", "labels", "annotations", "ownerReferences", "finalizers", "managedFields"),
        *("uid", "resourceVersion", "generation", "selfLink"),
        *("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"),
    )
)
"""The fields of Kubernetes' ObjectMeta."""


def parse_run(data: Mapping[str, Any], source: str) -> Run:
    """Return the run that `data` describes; `source` names it in errors: a file, or namespace and name.

    Raises:
        InvalidResource: with every problem found. A rule over several fields is checked where all of them could be read.
    """
    problems: list[Problem] = []
    document = _as_json(data, (), problems)
    if problems:
        raise InvalidResource(source, tuple(problems))
    if document.get("kind") != KIND and document.get("apiVersion") != API_VERSION:
        raise InvalidResource(source, (_another_kind(document),))
    run, errors = _validate(document)
    problems += [error.problem for error in errors]
    problems += _unknown_metadata(document)
    readable = run or _readable(document, errors)
    if readable is not None:
        unread = [location for error in errors for location in error.touches]
        problems += _broken_rules(readable, document, unread)
    if problems or run is None:
        raise InvalidResource(source, tuple(problems))
    return run


def _as_json(value: Any, location: Location, problems: list[Problem]) -> Any:
    """Return `value` as the API server sees it: known fields that are null left out, 4.0 as 4; what is not JSON is a problem."""
    if len(location) > DEEPEST:
        problems.append(Problem(path_of(location[:8]), f"is nested more than {DEEPEST} levels deep"))
        return None
    if isinstance(value, Mapping):
        return dict(_fields(value, location, problems))
    if isinstance(value, list):
        return [_as_json(item, (*location, index), problems) for index, item in enumerate(value)]
    if not _is_json(value):
        allowed = "text, a finite number, true, false, a list or a mapping"
        problems.append(Problem(path_of(location), f"must be {allowed}, found {value!r}"))
    elif isinstance(value, float) and value.is_integer() and abs(value) < LARGEST_INTEGER:
        return int(value)
    return value


def _is_json(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    return value is None or isinstance(value, bool | int)


def _fields(value: Mapping[Any, Any], location: Location, problems: list[Problem]) -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        below = (*location, str(name))
        if not isinstance(name, str):
            problems.append(Problem(path_of(below), f"the key {name!r} must be text", f'write "{name}"'))
        elif item is not None or (schema_of(below) is None and location[:1] != ("metadata",)):
            yield name, _as_json(item, below, problems)


def _another_kind(document: Mapping[str, Any]) -> Problem:
    found = f"{shown(document.get('apiVersion', NOTHING))} and {shown(document.get('kind', NOTHING))}"
    expected = f"apiVersion: {API_VERSION} and kind: {KIND}"
    return Problem("apiVersion and kind", f"found {found}", f"a run begins with {expected}")


@dataclass(frozen=True)
class _Error:
    """One error of pydantic, in our words."""

    problem: Problem
    location: Location
    touches: tuple[Location, ...]
    """Fields whose value is not known: the one at fault and, for an unknown field, the one that was probably meant."""


def _validate(document: Mapping[str, Any]) -> tuple[Run | None, list[_Error]]:
    try:
        # JSON in strict mode: text for an enum or a time is read, "4" for 4 is not.
        text = json.dumps(document)
        return Run.model_validate_json(text, strict=True, by_alias=True, by_name=False), []
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        return None, [_in_words(dict(details), document) for details in found]


def _in_words(details: Mapping[str, Any], document: Mapping[str, Any]) -> _Error:
    problem, meant = explain(details, document)
    location: Location = tuple(details["loc"])
    return _Error(problem, location, (location,) if meant is None else (location, meant))


def _unknown_metadata(document: Mapping[str, Any]) -> Iterator[Problem]:
    metadata = document.get("metadata")
    for name in metadata if isinstance(metadata, dict) else ():
        if name not in METADATA_FIELDS:
            hint = closest(name, METADATA_FIELDS)
            yield Problem(f"metadata.{name}", "is not a field of metadata", hint and f"did you mean {hint}?")


def _readable(document: Mapping[str, Any], errors: list[_Error]) -> Run | None:
    """Return the run without what is at fault, so that rules over the rest can be checked.

    What is required and missing is filled in; no rule that reads it is checked.
    """
    rest: dict[str, Any] = json.loads(json.dumps(document))
    for _ in range(8):  # filling in a section shows what is missing in it; the schema is not deeper
        for error in errors:
            _mend(rest, error.location)
        run, errors = _validate(rest)
        if run is not None:
            return run
    return None


def _mend(document: dict[str, Any], location: Location) -> None:
    """Take the value at `location` away, with the list that it stands in; where nothing stands, fill something in."""
    parent, names = document, list(location)
    while len(names) > 1 and isinstance(parent.get(str(names[0])), dict):
        parent = parent[str(names.pop(0))]
    name = str(names[0])
    if name in parent:
        del parent[name]
    elif len(names) == 1:
        parent[name] = placeholder(location)


def _broken_rules(run: Run, document: Mapping[str, Any], unread: list[Location]) -> Iterator[Problem]:
    for rule in RULES:
        model = _model_at(run, rule.path)
        if model is None or any(_overlaps(read, location) for read in _reads(rule) for location in unread):
            continue
        if not rule.check(model):
            yield Problem(rule.where, f"{rule.message}; found {_found(rule, model, document)}", rule.hint)


def _model_at(run: Run, path: str) -> Any:
    model: Any = run
    for alias in filter(None, path.split(".")):
        model = _attribute(model, alias)
    return model


def _attribute(model: Any, alias: str) -> Any:
    if not isinstance(model, Model):
        return None
    names = {info.alias or name: name for name, info in type(model).model_fields.items()}
    return getattr(model, names[alias])


def _reads(rule: Rule) -> Iterator[Location]:
    for path in rule.reads:
        yield tuple(filter(None, (*rule.path.split("."), *path.split("."))))


def _overlaps(one: Location, other: Location) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _found(rule: Rule, model: Any, document: Mapping[str, Any]) -> str:
    """Return what the rule's fields hold, such as `microBatchSize 3, batchSize 8 by default`."""
    return ", ".join(_one_found(path, location, model, document) for path, location in zip(rule.reads, _reads(rule), strict=True))


def _one_found(path: str, location: Location, model: Any, document: Mapping[str, Any]) -> str:
    given: Any = document
    for name in location:
        given = given.get(name, NOTHING) if isinstance(given, dict) else NOTHING
    if given is not NOTHING:
        return f"{path} {shown(given)}"
    for alias in path.split("."):
        model = _attribute(model, alias)
    return f"no {path}" if model is None else f"{path} {shown(model)} by default"
