"""The corpora of good and bad resources: `resources/*.yaml`, read with the product's own reader."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tpt_runtime.artifacts.yaml import read_resources

FOLDER = Path(__file__).parent / "resources"
BASE: Mapping[str, Any] = read_resources(FOLDER / "base.yaml")[0]


def corpus(name: str) -> Iterator[Any]:
    """Yield one pytest parameter for each entry of a corpus: the entry."""
    entries = read_resources(FOLDER / f"{name}.yaml")[0]["resources"]
    for entry in entries:
        changes = [f"{path}={value!r}" for path, value in entry.get("set", {}).items()]
        yield pytest.param(entry, id=" ".join([*changes, *(f"-{path}" for path in entry.get("without", ()))]) or "as it is")


def changed(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the base with an entry's changes."""
    resource: dict[str, Any] = copy.deepcopy(dict(BASE))
    for path in entry.get("without", ()):
        *sections, last = path.split(".")
        del _section(resource, sections)[last]
    for path, value in entry.get("set", {}).items():
        *sections, last = path.split(".")
        _section(resource, sections)[last] = copy.deepcopy(value)
    return resource


def place(entry: Mapping[str, Any]) -> str:
    """Return the path that an entry is about."""
    return str(entry.get("at") or next(iter([*entry.get("set", {}), *entry.get("without", ())]), ""))


def patched(resource: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resource after a JSON merge patch (RFC 7386)."""
    result = dict(resource)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            below = result.get(name)
            result[name] = patched(below if isinstance(below, Mapping) else {}, value)
        else:
            result[name] = value
    return result


def _section(resource: dict[str, Any], names: list[str]) -> dict[str, Any]:
    for name in names:
        resource = resource.setdefault(name, {})
    return resource
