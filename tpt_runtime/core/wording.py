"""The words in which problems of a resource are told: what is allowed at a place, what was found, what was probably meant.

What is allowed comes from the same schema as the CRD, so messages cannot drift from it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from tpt_runtime.core.crd import resource_schema
from tpt_runtime.core.errors import Problem
from tpt_runtime.core.rules import NAME
from tpt_runtime.core.spec import API_VERSION, KIND, PUBLISHED_URI

Location = tuple[str | int, ...]
"""A place in a resource, as pydantic gives it: names as written, and list indexes."""

NOTHING: Final = object()
"""Where no value was given."""

_PATTERNS: Final = {
    NAME: "a DNS label: at most 63 lower-case letters, digits and hyphens, first and last not a hyphen",
    r"^pass@[1-9][0-9]{0,3}$": "pass@K, such as pass@1",
    r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?$": "s3://BUCKET or s3://BUCKET/PREFIX",
    PUBLISHED_URI: "hf://ORG/NAME or s3://BUCKET/PREFIX",
}
"""What the schema's patterns mean."""

_LONGEST_VALUE: Final = 60


def path_of(location: Location) -> str:
    """Return a location as a user writes it: `spec.evaluation.k[0]`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".") or "the resource"


def shown(value: Any) -> str:
    """Return a value found, as YAML would have it, shortened."""
    if value is NOTHING:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False, default=lambda other: getattr(other, "value", str(other)))
    if len(text) <= _LONGEST_VALUE:
        return text
    size = (
        f"{len(value)} characters"
        if isinstance(value, str)
        else f"{len(value)} entries"
        if isinstance(value, list | dict)
        else ""
    )
    return f"{text[: _LONGEST_VALUE - 1]}…" + (f" ({size})" if size else "")


def allowed(schema: Mapping[str, Any]) -> str:
    """Return what a schema allows, in words: `a whole number from 1 to 1024`."""
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}" if len(schema["enum"]) > 1 else str(schema["enum"][0])
    if "pattern" in schema:
        return _PATTERNS.get(schema["pattern"], f"text like {schema['pattern']}")
    fields = f" with the fields {', '.join(schema['properties'])}" if "properties" in schema else ""
    kinds = {
        "boolean": "true or false",
        "integer": f"a whole number{_range(schema)}",
        "number": f"a number{_range(schema)}",
        "string": f"text{_size(schema, 'Length', 'characters')}",
        "array": f"a list{_size(schema, 'Items', 'items')}",
        "object": f"a mapping{fields}",
    }
    return kinds[schema["type"]]


def _range(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None and not above and not below:
        return f" from {low} to {high}"
    parts = []
    if low is not None:
        parts.append(f"above {low}" if above else f"at least {low}")
    if high is not None:
        parts.append(f"below {high}" if below else f"at most {high}")
    return f" {' and '.join(parts)}" if parts else ""


def _size(schema: Mapping[str, Any], what: str, unit: str) -> str:
    low, high = schema.get(f"min{what}", 0), schema.get(f"max{what}")
    if high is None:
        return ""
    return f" of {low} to {high} {unit}" if low else f" of at most {high} {unit}"


def explain(details: Mapping[str, Any], document: Mapping[str, Any]) -> tuple[Problem, Location | None]:
    """Return one of pydantic's errors in our words and, for an unknown field, the field that was probably meant."""
    location: Location = tuple(details["loc"])
    path, found = path_of(location), _value(document, location)
    if details["type"] == "extra_forbidden":
        hint, meant = _meant(location)
        return Problem(path, f"is not a field of {path_of(location[:-1])}", hint), meant
    schema = schema_of(location) or {"type": "string"}  # what has no schema are labels and their like
    if details["type"] == "missing":
        description = schema.get("description", "").removesuffix(".")
        return Problem(path, f"is required: {allowed(schema)}", description or None), None
    return Problem(path, f"must be {allowed(schema)}, found {shown(found)}", _mistake(found, schema)), None


def schema_of(location: Location) -> dict[str, Any] | None:
    """Return the schema at a location, if there is such a field."""
    schema = _schema()
    for part in location:
        below = schema.get("items") if isinstance(part, int) else schema.get("properties", {}).get(part)
        if below is None:
            return None
        schema = below
    return schema


def placeholder(location: Location) -> Any:
    """Return a value for a required field that was left out: an empty section, or some text."""
    schema = schema_of(location) or {"type": "string"}
    return {} if schema["type"] == "object" else schema.get("enum", ["placeholder"])[0]


def closest(name: str, names: Iterable[str], likeness: float = 0.62) -> str | None:
    """Return the one of `names` that was probably meant by `name`: another spelling, one that ends in it, or a near one."""
    plain = {_plain(known): known for known in names}
    if _plain(name) in plain:
        return plain[_plain(name)]
    if len(name) < 3:
        return None
    longer = [known for known in plain if known.endswith(_plain(name)) and len(name) >= 4]
    near = longer or get_close_matches(_plain(name), plain, n=1, cutoff=likeness)
    return plain[near[0]] if near else None


def _meant(location: Location) -> tuple[str | None, Location | None]:
    """Return a hint for an unknown field, and the field that was probably meant."""
    name, parent = str(location[-1]), location[:-1]
    siblings = (schema_of(parent) or {}).get("properties", {})
    places = sorted(_places(), key=lambda place: -_common(place, location))  # the nearest first
    sibling = closest(name, siblings)
    if sibling is not None and _plain(sibling).endswith(_plain(name)):
        return f"did you mean {sibling}?", (*parent, sibling)
    elsewhere = [place for place in places if _plain(str(place[-1])) == _plain(name)]
    if elsewhere:
        sections = list(dict.fromkeys(path_of(place[:-1]) for place in elsewhere))[:3]
        return f"{elsewhere[0][-1]} belongs under {' or '.join(sections)}", elsewhere[0]
    if sibling is not None:
        return f"did you mean {sibling}?", (*parent, sibling)
    known = {str(place[-1]): place for place in reversed(places)}
    near = closest(name, known, likeness=0.75)
    if near is not None:
        return f"did you mean {path_of(known[near])}?", known[near]
    return (f"its fields are {', '.join(siblings)}" if siblings else None), None


@cache
def _schema() -> dict[str, Any]:
    schema = resource_schema()
    text = {"type": "string", "maxLength": 63, "pattern": NAME}
    metadata = {"type": "object", "properties": {"name": text, "namespace": text}, "description": "Name, namespace, labels."}
    identity = {"apiVersion": {"type": "string", "enum": [API_VERSION]}, "kind": {"type": "string", "enum": [KIND]}}
    return {**schema, "properties": {**schema["properties"], **identity, "metadata": metadata}}


@cache
def _places() -> tuple[Location, ...]:
    """Return the location of every field of the spec, outermost first."""
    return ("spec",), *sorted(_below(_schema()["properties"]["spec"], ("spec",)), key=len)


def _below(schema: Mapping[str, Any], location: Location) -> Iterator[Location]:
    for name, field in schema.get("properties", {}).items():
        yield (*location, name)
        yield from _below(field, (*location, name))


def _common(one: Location, other: Location) -> int:
    """Return how many names two locations have in common from the root."""
    return next((depth for depth, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _value(document: Any, location: Location) -> Any:
    for part in location:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return NOTHING
    return document


def _mistake(found: Any, schema: Mapping[str, Any]) -> str | None:
    """Return what was probably done wrong, if it can be told."""
    if "enum" in schema and isinstance(found, str):
        near = closest(found, schema["enum"])
        return f"did you mean {near}?" if near and len(schema["enum"]) > 1 else None
    if schema["type"] == "string" and isinstance(found, int | float):
        return f'put it in quotes: "{shown(found)}"'
    if schema["type"] in ("integer", "number", "boolean") and isinstance(found, str):
        return _unquoted(found, schema["type"])
    if schema["type"] == "array" and not isinstance(found, list | dict):
        return f"write [{shown(found)}]"
    return None


def _unquoted(found: str, kind: str) -> str | None:
    if kind == "boolean":
        truth = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}
        meant = truth.get(found.lower())
        return meant and f"write {meant} without quotes"
    try:
        float(found)
    except ValueError:
        return None
    return "write it without quotes"
