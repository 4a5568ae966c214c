"""The corpora of resources and of changes to them: `resources/*.yaml`, read with the product's own reader."""

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tpt_runtime.artifacts.yaml import read_resources

FOLDER = Path(__file__).parent / "resources"
BASE: Mapping[str, Any] = read_resources(FOLDER / "base.yaml")[0]


def entries(file: Path) -> list[dict[str, Any]]:
    """Return the entries of a corpus."""
    read: list[dict[str, Any]] = read_resources(file)[0]["resources"]
    return read


def corpus(name: str) -> list[Any]:
    """Return one pytest parameter for each entry of a corpus: the entry."""
    return [
        pytest.param(entry, id=f"{number} {_summary(entry)}") for number, entry in enumerate(entries(FOLDER / f"{name}.yaml"), 1)
    ]


def _summary(entry: Mapping[str, Any]) -> str:
    given = [f"{path}={value!r}" for part in ("before", "set", "after") for path, value in entry.get(part, {}).items()]
    gone = [f"no {path}" for path in (*entry.get("without", ()), *entry.get("gone", ()))]
    return " ".join([*given, *gone]) or "as it is"


def changed(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the base with the changes of an entry of good.yaml or bad.yaml."""
    return _with(dict(BASE), entry.get("set", {}), entry.get("without", ()))


def before_and_after(entry: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the two versions of an entry of changes.yaml."""
    before = _with(dict(BASE), entry.get("before", {}), ())
    return before, _with(before, entry.get("after", {}), entry.get("gone", ()))


def place(entry: Mapping[str, Any]) -> str:
    """Return the path that an entry is about."""
    return str(entry.get("at") or next(iter([*entry.get("set", {}), *entry.get("without", ())]), ""))


def patched(resource: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resource after a JSON merge patch (RFC 7386)."""
    result: dict[str, Any] = copy.deepcopy(dict(resource))
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            below = result.get(name)
            result[name] = patched(below if isinstance(below, Mapping) else {}, value)
        else:
            result[name] = copy.deepcopy(value)
    return result


def _with(resource: dict[str, Any], values: Mapping[str, Any], gone: Iterable[str]) -> dict[str, Any]:
    result = copy.deepcopy(resource)
    for path in gone:
        section, last = _section(result, path)
        del section[last]
    for path, value in values.items():
        section, last = _section(result, path)
        section[last] = copy.deepcopy(value)
    return result


def _section(resource: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    *names, last = path.split(".")
    for name in names:
        resource = resource.setdefault(name, {})
    return resource, last
