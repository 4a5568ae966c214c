"""Reading resources from YAML so that a file means the same here and to `kubectl apply`.

kubectl reads a mixture of YAML 1.1 and 1.2: `1e-6` is a number, `010` is 8, `yes` is true. Here YAML 1.2's core schema holds,
and a plain scalar that kubectl would read as something else is refused with its line instead of being read differently; so are
repeated keys (kubectl takes the last one silently) and tags. What the fields mean is `core.resource`'s business; nothing is
written here.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tpt_runtime.core.errors import ConfigurationError, InvalidResource, Problem

LARGEST_FILE = 1 << 20
"""Bytes; the API server takes no larger resource either (etcd's limit is 1.5 MiB)."""
LARGEST_INTEGER = 2**63
"""The API server's whole numbers have 64 bits, and kubectl turns larger ones into text or rounds them."""
MOST_VALUES = 100_000
"""Values of one file with its aliases written out: a few nested aliases could otherwise stand for billions."""

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*|0[0-9]*[89][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+|\.[0-9]+[eE][-+]?[0-9]+)")
_DECIMAL = re.compile(r"[-+]?[0-9]{1,20}")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

# What only kubectl takes for a boolean or, once its underscores are removed, for a number.
_KUBECTL_BOOLEANS = dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "on", "On", "ON"), "true")
_KUBECTL_BOOLEANS |= dict.fromkeys(("n", "N", "no", "No", "NO", "off", "Off", "OFF"), "false")
_KUBECTL_INTEGER = re.compile(r"0b[-+][01]+|[-+]?(0[bB][01]+|0[oO]?[0-7]+|0[xX][0-9a-fA-F]+|[0-9]+)")


def read_resources(path: Path) -> list[Mapping[str, Any]]:
    """Return the resources of a YAML (or JSON) file, one for each document that is not empty.

    Raises:
        ConfigurationError: the file cannot be read.
        InvalidResource: it is not YAML, or not what kubectl would read; all such places at once.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ConfigurationError(f"{path}: larger than {LARGEST_FILE >> 10} KiB, so this is no resource file")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not a text file in UTF-8 (byte {error.start})") from error
    return parse_resources(text, str(path))


def parse_resources(text: str, source: str) -> list[Mapping[str, Any]]:
    """Return the resources of YAML `text`; `source` names it in errors.

    Raises:
        InvalidResource: as `read_resources` does.
    """
    reader = _Reader()
    try:
        documents = reader.documents(text)
    except RecursionError as error:
        raise InvalidResource(source, (Problem("the file", "is nested too deeply"),)) from error
    if not reader.problems and not documents:
        reader.problems.append(Problem("the file", "holds no resource"))
    if reader.problems:
        raise InvalidResource(source, tuple(reader.problems))
    return documents


@dataclass
class _Reader:
    """Builds values from the events of ruamel's parser, and collects what is wrong on the way."""

    problems: list[Problem] = field(default_factory=list)
    anchors: dict[str, tuple[Any, int]] = field(default_factory=dict)
    values: int = 0
    events: Iterator[Any] = field(default_factory=lambda: iter(()))

    def documents(self, text: str) -> list[Mapping[str, Any]]:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError, YAMLError

        found = []
        try:
            self.events = iter(YAML(typ="safe", pure=True).parse(text))
            for event in self.events:
                if type(event).__name__ == "DocumentStartEvent":
                    found += self.document()
        except _TooMany:
            self.problems.append(Problem("the file", f"has more than {MOST_VALUES} values once its aliases are written out"))
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the file"
            self.problems.append(Problem(where, f"is not YAML: {error.problem or error.context}"))
        except YAMLError as error:
            self.problems.append(Problem("the file", f"is not YAML: {str(error).splitlines()[0]}"))
        return found

    def document(self) -> list[Mapping[str, Any]]:
        self.anchors.clear()
        first = next(self.events)
        value = self.value(first, "")
        if value is None:
            return []
        if not isinstance(value, dict):
            self.refuse(first, "", "must be a mapping such as `kind: SelfImprovementRun`")
            return []
        return [value]

    def refuse(self, event: Any, path: str, message: str, hint: str | None = None) -> None:
        line = event.start_mark.line + 1
        self.problems.append(Problem(path or "the file", f"line {line}: {message}", hint))

    def value(self, event: Any, path: str) -> Any:
        before = self.values
        self.values += 1
        match type(event).__name__:
            case "AliasEvent":
                return self.alias(event, path)
            case "ScalarEvent":
                value = self.scalar(event, path)
            case "SequenceStartEvent":
                self.refuse_tag(event, path)
                value = list(self.items(path))
            case _:
                self.refuse_tag(event, path)
                value = self.mapping(path)
        if event.anchor:
            self.anchors[event.anchor] = value, self.values - before
        if self.values > MOST_VALUES:
            raise _TooMany
        return value

    def alias(self, event: Any, path: str) -> Any:
        if event.anchor not in self.anchors:
            self.refuse(event, path, f"no anchor &{event.anchor} stands before *{event.anchor}")
            return None
        value, size = self.anchors[event.anchor]
        self.values += size
        return value

    def items(self, path: str) -> Iterator[Any]:
        for index, event in enumerate(self.events):
            if type(event).__name__ == "SequenceEndEvent":
                return
            yield self.value(event, f"{path}[{index}]")

    def mapping(self, path: str) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for event in self.events:
            if type(event).__name__ == "MappingEndEvent":
                break
            key = self.key(event, path)
            below = f"{path}.{key}".removeprefix(".")
            following = next(self.events)
            value = self.value(following, below)
            if key == "<<" and not event.style:
                merged = {**self.merge(following, value, path), **merged}
                continue
            if key in lines:
                self.refuse(event, below, f"stands twice, first in line {lines[key]}", "keep one of them")
            lines[key] = event.start_mark.line + 1
            own[key] = value
        return {**merged, **own}

    def merge(self, event: Any, value: Any, path: str) -> dict[str, Any]:
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, dict) for part in parts):
            self.refuse(event, path, "`<<` takes a mapping, or a list of mappings")
            return {}
        return {key: item for part in reversed(parts) for key, item in part.items()}

    def key(self, event: Any, path: str) -> str:
        if type(event).__name__ != "ScalarEvent":
            self.refuse(event, path, "a key must be text")
            value = self.value(event, path)
            return str(value)
        value = self.scalar(event, f"{path}.{event.value}".removeprefix("."))
        if not isinstance(value, str):
            self.refuse(event, path, f"the key `{event.value}` must be text", f'write "{event.value}"')
        return str(event.value)

    def refuse_tag(self, event: Any, path: str) -> None:
        if event.tag:
            self.refuse(event, path, f"the tag {event.tag} is not read", "leave it out")

    def scalar(self, event: Any, path: str) -> Any:
        text: str = event.value
        if event.tag == "tag:yaml.org,2002:str" or (event.style and not event.tag):
            return text
        self.refuse_tag(event, path)
        if text in _NULL:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        return self.number_or_text(event, path)

    def number_or_text(self, event: Any, path: str) -> int | float | str:
        text: str = event.value
        number = _number(text)
        otherwise = number if number is not None else _kubectl_number(text)
        brief = text if len(text) <= 40 else f"{text[:39]}…"
        if _NOT_FINITE.fullmatch(text) or _too_large(otherwise):
            self.refuse(event, path, f"`{brief}` is too large a number", f'write "{brief}" if the text is meant')
        elif number is not None:
            return number
        elif otherwise is not None or text in _KUBECTL_BOOLEANS:
            there = _KUBECTL_BOOLEANS.get(text, str(otherwise))
            here = str(int(text)) if _DECIMAL.fullmatch(text) else "text"
            meant = f'{there}, or "{text}" if the text is meant' if here == "text" else f"{there}, or {here}"
            self.refuse(event, path, f"`{text}` is {there} to kubectl and {here} in YAML 1.2", f"write {meant}")
        return text


class _TooMany(Exception):
    """Aliases stand for more values than any resource has."""


def _number(text: str) -> int | float | None:
    """Return the number that `text` is both to kubectl and in YAML 1.2, if it is one."""
    if _INTEGER.fullmatch(text):
        return _integer(text)
    return float(text) if _FLOAT.fullmatch(text) else None


def _kubectl_number(text: str) -> int | float | None:
    """Return the number that kubectl reads where YAML 1.2 sees text, or another number."""
    digits = text.replace("_", "")
    if not re.fullmatch(r"[-+0-9].*|\.[0-9]+(_[0-9]+)*([eE][-+]?[0-9]+(_[0-9]+)*)?", text):
        return None
    if _KUBECTL_INTEGER.fullmatch(digits):
        return _integer(digits)
    return float(digits) if _FLOAT.fullmatch(digits) else None


def _too_large(number: int | float | None) -> bool:
    if isinstance(number, int):
        return not -LARGEST_INTEGER <= number < LARGEST_INTEGER
    return number is not None and not math.isfinite(number)


def _integer(text: str) -> int | float:
    """Return a whole number in either reading's notation; infinity past all bounds."""
    sign = -1 if text.startswith("-") else 1
    magnitude = text.lstrip("+-").lower()
    if len(magnitude) > 80:
        return math.inf
    for prefix, base in (("0x", 16), ("0b", 2), ("0o", 8)):
        if magnitude.startswith(prefix):
            return sign * int(magnitude[2:], base)
    octal = magnitude.startswith("0") and not set(magnitude) & {"8", "9"}
    return sign * int(magnitude, 8 if octal else 10)
