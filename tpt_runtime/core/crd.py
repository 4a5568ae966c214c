"""The CustomResourceDefinition, generated from the models of spec and status.

pydantic's JSON schema of a model is turned into a structural schema (OpenAPI 3.0 as Kubernetes restricts it). Every keyword is
either translated or refused with its path, and so is what has no bound: a list, map or string without one would make the API
server's estimate of CEL's cost refuse the whole CRD. It does not talk to an API server and writes no file.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tpt_runtime.core.model import Model
from tpt_runtime.core.rule import Rule
from tpt_runtime.core.rules import RULES
from tpt_runtime.core.spec import API_VERSION, KIND, Run, Spec
from tpt_runtime.core.status import RunStatus
from tpt_runtime.core.transitions import Transition, transitions

Json = dict[str, Any]

PLURAL = "selfimprovementruns"
GROUP, VERSION = API_VERSION.split("/")
FILE = f"{GROUP}_{PLURAL}.yaml"
"""Name of the generated file in crds/."""

KEPT: Mapping[str, str] = {
    "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
    "helm.sh/resource-policy": "keep",
}
"""With the definition would go everybody's runs: so neither Argo CD nor Helm removes it along with the operator."""

LIST_KEYS: Mapping[str, str] = {
    "status.conditions": "type",
    "status.rounds": "round",
    "status.rounds[].metrics": "name",
    "status.rounds[].steps": "name",
}
"""Lists of objects that are merged by a key (server-side apply), and kept free of doubles by the API server."""

COLUMNS = (
    ("Phase", "string", ".status.phase", "What the run is doing."),
    ("Round", "string", ".status.round", "The round in progress or the last one, of how many."),
    ("Best", "string", ".status.bestMetric", "The objective's metric of the best model."),
    ("Suspended", "boolean", ".spec.suspend", "Whether the run is paused."),
    ("Age", "date", ".metadata.creationTimestamp", ""),
)

_COPIED = {"description", "enum", "pattern", "minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum"}
_OPAQUE = "x-kubernetes-preserve-unknown-fields"
"""Marks an object whose fields are Kubernetes' own business (see `worker.Opaque`)."""
_COPIED |= {"maxProperties", "minProperties", _OPAQUE}
_TRANSLATED = {"type", "format", "default", "const", "properties", "required", "items", "additionalProperties"}
_TRANSLATED |= {"exclusiveMinimum", "exclusiveMaximum"}
_PASSED_OVER = {"title"}


class Inexpressible(Exception):
    """A model holds something that a CRD cannot express, or that has no bound."""

    def __init__(self, path: str, what: str) -> None:
        """Say `what` is wrong with the field at `path`."""
        super().__init__(f"{path}: {what}")


def crd() -> Json:
    """Return the CustomResourceDefinition of SelfImprovementRun (apiextensions.k8s.io/v1)."""
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(*column) for column in COLUMNS],
        "schema": {"openAPIV3Schema": resource_schema()},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}", "annotations": dict(KEPT)},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            # No category: `kubectl delete all --all` must not reach a run.
            "names": {
                "plural": PLURAL,
                "singular": KIND.lower(),
                "kind": KIND,
                "listKind": f"{KIND}List",
                "shortNames": ["sir"],
            },
            "versions": [version],
        },
    }


def resource_schema() -> Json:
    """Return the structural schema of the whole resource, with its CEL rules."""
    described = {name: info.description for name, info in Run.model_fields.items()}
    schema: Json = {
        "type": "object",
        "description": (Run.__doc__ or "").partition(",")[0] + ".",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 63}}},
            "spec": {**structural(Spec, "spec"), "description": described["spec"]},
            "status": {**structural(RunStatus, "status"), "description": "What came of it."},
        },
    }
    for path, key in LIST_KEYS.items():
        schema_at(schema, path).update({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]})
    rules: tuple[Rule | Transition, ...] = (*RULES, *transitions())
    for rule in rules:
        node = schema_at(schema, rule.path)
        validation = {"rule": rule.cel, "message": rule.message}
        if rule.field_path:
            schema_at(node, rule.field_path.removeprefix("."))
            validation["fieldPath"] = rule.field_path
        node.setdefault("x-kubernetes-validations", []).append(validation)
    return schema


def schema_at(schema: Json, path: str) -> Json:
    """Return the part of `schema` at `path`, such as `status.rounds[].metrics`; empty for all of it.

    Raises:
        KeyError: there is no such field.
    """
    for name in re.findall(r"[^.\[\]]+|\[\]", path):
        schema = schema["items"] if name == "[]" else schema["properties"][name]
    return schema


def structural(model: type[Model], path: str) -> Json:
    """Return the structural schema of `model`, which stands at `path` of the resource.

    Raises:
        Inexpressible: something in it has no counterpart in a CRD, or no bound.
    """
    document = model.model_json_schema(by_alias=True, mode="validation")
    definitions = document.pop("$defs", {})
    return _Structural(definitions).node(document, path)


class _Structural:
    """Turns JSON schema into a structural schema, looking up `$ref` in `definitions`."""

    def __init__(self, definitions: Json) -> None:
        self.definitions = definitions
        self.open: list[str] = []

    def node(self, source: Json, path: str) -> Json:
        """Return the structural schema of one JSON schema node."""
        if "anyOf" in source:
            return self.node(_without_null(source, path), path)
        if "$ref" in source:
            return self.reference(source, path)
        unknown = sorted(set(source) - _COPIED - _TRANSLATED - _PASSED_OVER)
        if unknown:
            raise Inexpressible(path, f"a CRD has no counterpart of {', '.join(unknown)} = {source[unknown[0]]!r}")
        if "type" not in source or not isinstance(source["type"], str):
            raise Inexpressible(path, "has no single type")
        node: Json = {"type": source["type"], **{key: source[key] for key in sorted(_COPIED & set(source))}}
        node |= dict(self.translated(source, path))
        _refuse_unbounded(node, path)
        if source.get("default") is not None:
            node["default"] = _given(source["default"])
        return node

    def reference(self, source: Json, path: str) -> Json:
        """Return the schema that `$ref` names, under the description and default that stand beside it."""
        name = source["$ref"].rpartition("/")[2]
        if name in self.open:
            raise Inexpressible(path, f"{name} holds itself")
        self.open.append(name)
        beside = {key: value for key, value in source.items() if key != "$ref"}
        node = self.node({**self.definitions[name], **beside}, path)
        self.open.pop()
        return node

    def translated(self, source: Json, path: str) -> Iterator[tuple[str, Any]]:
        """Yield the keywords that a CRD spells differently, and the nodes below."""
        kind = source["type"]
        if kind == "integer":
            yield "format", "int64"
        elif "format" in source:
            if source["format"] != "date-time":
                raise Inexpressible(path, f"format {source['format']} is not used here")
            yield "format", "date-time"
        if "const" in source:
            yield "enum", [source["const"]]
        for bound in ("Minimum", "Maximum"):
            if f"exclusive{bound}" in source:
                yield bound.lower(), source[f"exclusive{bound}"]
                yield f"exclusive{bound}", True
        if kind == "array":
            if "items" not in source:
                raise Inexpressible(path, "a list must say what its items are")
            yield "items", self.node(source["items"], f"{path}[]")
        if kind == "object":
            yield from self.object_parts(source, path)

    def object_parts(self, source: Json, path: str) -> Iterator[tuple[str, Any]]:
        """Yield the fields of an object, or the schema of a map's values; an opaque object has neither."""
        if source.get(_OPAQUE):
            return
        values = source.get("additionalProperties", "properties" in source and "open")
        if "properties" in source:
            if values is not False:
                raise Inexpressible(path, "an object must refuse unknown fields")
            fields = source["properties"].items()
            yield "properties", {name: self.node(field, f"{path}.{name}") for name, field in fields}
            if source.get("required"):
                yield "required", sorted(source["required"])
        elif isinstance(values, dict):
            yield "additionalProperties", self.node(values, f"{path}.*")
        else:
            raise Inexpressible(path, "a map must say what its values are")


def _without_null(source: Json, path: str) -> Json:
    """Return an optional field's schema: in a CRD it is left out, never null."""
    kinds = [kind for kind in source["anyOf"] if kind != {"type": "null"}]
    if len(kinds) != 1:
        raise Inexpressible(path, f"a CRD field has one type, not one of {len(kinds)}")
    beside = {key: value for key, value in source.items() if key != "anyOf"}
    return {**kinds[0], **beside}


def _refuse_unbounded(node: Json, path: str) -> None:
    kind = node["type"]
    if kind == "string" and not {"maxLength", "enum"} & set(node) and node.get("format") != "date-time":
        raise Inexpressible(path, "a string needs a maximum length")
    if kind == "array" and "maxItems" not in node:
        raise Inexpressible(path, "a list needs a maximum of items")
    if kind == "object" and "additionalProperties" in node and "maxProperties" not in node:
        raise Inexpressible(path, "a map needs a maximum of entries")


def _given(default: Any) -> Any:
    """Return a default without what is null.

    A section's default spells out the defaults below it: the API server checks a default against the CEL rules before
    it fills in nested defaults, and so refuses `{}` wherever a rule reads a field ("no such key").
    """
    if not isinstance(default, dict):
        return default
    return {name: _given(value) for name, value in default.items() if value is not None}


def _column(name: str, kind: str, path: str, description: str) -> Json:
    column = {"name": name, "type": kind, "jsonPath": path}
    return {**column, "description": description} if description else column


def crd_yaml() -> str:
    """Return the CRD as YAML, the same text every time.

    Every string value is quoted, so that YAML 1.1 and 1.2 read the same.
    """
    title = f"# {KIND} of {API_VERSION}, generated from tpt_runtime/core by `tpt crd`.\n"
    return title + "".join(_lines(crd(), 0))


def _lines(value: Any, depth: int) -> Iterator[str]:
    """Yield the YAML lines of a non-empty mapping or list."""
    indent = "  " * depth
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _entry(f"{indent}{_key(key)}:", item, depth)
        return
    for item in value:
        if isinstance(item, dict | list) and item:
            first, *rest = _lines(item, depth + 1)
            yield f"{indent}- {first.lstrip()}"
            yield from rest
        else:
            yield f"{indent}- {json.dumps(item, ensure_ascii=False)}\n"


def _entry(head: str, item: Any, depth: int) -> Iterator[str]:
    if isinstance(item, dict | list) and item:
        yield f"{head}\n"
        yield from _lines(item, depth + 1)
    else:
        yield f"{head} {json.dumps(item, ensure_ascii=False)}\n"


def _key(key: str) -> str:
    words = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
    return key if re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", key) and key.lower() not in words else json.dumps(key)
