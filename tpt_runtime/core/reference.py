"""The resource as a page for people: every field with type, default and bounds, and the rules that span fields.

It is made from the same schema as the CustomResourceDefinition, so it cannot say anything else. `python -m
tpt_runtime.core.reference` prints it.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tpt_runtime.core.crd import COLUMNS, Json, resource_schema, schema_at
from tpt_runtime.core.rules import RULES
from tpt_runtime.core.spec import API_VERSION, KIND
from tpt_runtime.core.transitions import transitions

_FIRST: Final = "spec.worker"
"""Objects that stand at several places are told at the first one; this one here, wherever it stands."""
_BOUNDS: Final[Mapping[str, str]] = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "maxProperties": "at most {} entries",
}
_PREFACE: Final = f"""# Reference: {KIND}

Generated from the models in `tpt_runtime/core`; `kubectl explain sir.spec --recursive` says the same of a cluster that has the
definition. `apiVersion: {API_VERSION}`, `kind: {KIND}`, short name `sir`, namespaced. Unknown fields are refused.

**Fixed** fields decide what comes of a run and cannot change once it exists. All others may change at any time and hold from the
next attempt of a step: a failed run goes on when one of them does.

"""


def reference() -> str:
    """Return the page, in Markdown."""
    schema = resource_schema()
    lines = [_PREFACE.rstrip(), "", *_columns()]
    told = {_key(schema_at(schema, _FIRST)): _FIRST}
    for name in ("spec", "status"):
        for path, node in _below(name, schema["properties"][name]):
            first = told.setdefault(_key(node), path)
            same = f"The same fields as [`{first}`](#{_anchor(first)})."
            lines += [*_heading(path, node), *(_fields(path, node) if first == path else [same]), "", *_rules(path)]
    return "\n".join(lines).rstrip() + "\n"


def _key(node: Json) -> str:
    """Return what two objects with the same fields have in common."""
    return json.dumps(node["properties"], sort_keys=True)


def _anchor(path: str) -> str:
    """Return the anchor that GitHub and MkDocs make of a heading."""
    return "".join(letter for letter in path.lower() if letter.isalnum())


def _columns() -> Iterator[str]:
    yield "`kubectl get sir` shows:"
    yield ""
    for name, _, path, description in COLUMNS:
        yield f"- **{name}** (`{path}`){': ' + description if description else ''}"
    yield ""


def _below(path: str, node: Json) -> Iterator[tuple[str, Json]]:
    """Yield an object and, in the order of their fields, all objects below it."""
    yield path, node
    for name, field in node["properties"].items():
        inner, mark = (field["items"], "[]") if field.get("type") == "array" else (field, "")
        if "properties" in inner:
            yield from _below(f"{path}.{name}{mark}", inner)


def _heading(path: str, node: Json) -> Iterator[str]:
    yield f"{'##' if path in ('spec', 'status') else '###'} `{path}`"
    yield ""
    if node.get("description"):
        yield _text(node["description"])
        yield ""


def _fields(path: str, node: Json) -> Iterator[str]:
    fixed = {f"{rule.path}{rule.field_path}" for rule in transitions() if "oldSelf" in rule.cel and rule.path}
    yield "| field | type | default | meaning |"
    yield "|---|---|---|---|"
    for name, field in node["properties"].items():
        marks = ["**Required.**"] if name in node.get("required", ()) else []
        marks += ["**Fixed.**"] if f"{path}.{name}" in fixed else []
        described = " ".join([_text(field.get("description", "")), *marks]).strip()
        yield f"| `{name}` | {_type(field)} | {_default(field)} | {described} |"


def _rules(path: str) -> list[str]:
    """Return what must hold between the fields of an object."""
    found = [f"- `{rule.where}`: {_text(rule.message)}" for rule in RULES if (rule.path or "spec") == path]
    return [*found, ""] if found else []


def _type(field: Json) -> str:
    kind = "time" if field.get("format") == "date-time" else field.get("type", "any")
    if kind == "array":
        kind = f"list of {_type(field['items'])}"
    elif "additionalProperties" in field:
        kind = "map"
    elif field.get("x-kubernetes-preserve-unknown-fields"):
        kind = f"{kind}, as Kubernetes has it"
    said = [" \\| ".join(f"`{value}`" for value in field["enum"])] if "enum" in field else [kind]
    said += [words.format(_number(field[key])) for key, words in _BOUNDS.items() if key in field]
    if field.get("exclusiveMinimum"):
        said = [words.replace("at least", "above") for words in said]
    if field.get("exclusiveMaximum"):
        said = [words.replace("at most", "below") for words in said]
    return ", ".join(said)


def _default(field: Json) -> str:
    value = field.get("default")
    if value in (None, "", []) or isinstance(value, dict):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _text(text: str) -> str:
    """Return a description as the cell of a table takes it."""
    return " ".join(text.replace("|", "\\|").split())


if __name__ == "__main__":
    sys.stdout.write(reference())
