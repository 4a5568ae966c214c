"""Plain values between a program and the tests that call it: as JSON with tags, so that a value is only ever data.

Never pickle or marshal: what a program sends must not be able to run anything, nor to answer comparisons in its own way. A
subclass of a plain type (a named tuple, a Counter, a list that equals everything) arrives as the plain type. What is no plain
value stays where it is, and a number goes in its place: `keep` says which, `found` gets it back.
"""

import base64
import json
from collections.abc import Callable
from typing import Any

LARGEST_NUMBER = 2**53
"""Whole numbers up to here are written as such; larger ones in hexadecimal, which takes no quadratic time to read."""


def encode(value: Any, keep: Callable[[Any], int]) -> Any:
    """Return `value` as JSON; `keep` takes what is no plain value, and returns its number."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        number = int(value)
        return number if -LARGEST_NUMBER < number < LARGEST_NUMBER else {"int": hex(number)}
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)
    return _compound(value, keep)


def _compound(value: Any, keep: Callable[[Any], int]) -> Any:
    if isinstance(value, list):
        return [encode(item, keep) for item in list.__iter__(value)]
    if isinstance(value, dict):
        return {"dict": [[encode(key, keep), encode(item, keep)] for key, item in dict.items(value)]}
    for name, kind in COLLECTIONS.items():
        if isinstance(value, kind):
            return {name: [encode(item, keep) for item in kind.__iter__(value)]}
    if isinstance(value, bytes | bytearray):
        return {type(value).__name__ if type(value) in (bytes, bytearray) else "bytes": base64.b64encode(value).decode()}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    return {"kept": keep(value)}


COLLECTIONS: dict[str, Any] = {"tuple": tuple, "set": set, "frozenset": frozenset}


def decode(found: Any, kept: Callable[[int], Any]) -> Any:
    """Return the value that `encode` wrote; `kept` gives what stands for a number.

    Raises:
        ValueError: it is nothing that `encode` writes.
    """
    if isinstance(found, list):
        return [decode(item, kept) for item in found]
    if not isinstance(found, dict):
        return found
    if len(found) != 1:
        raise ValueError("not a value")
    ((tag, inner),) = found.items()
    if tag in COLLECTIONS and isinstance(inner, list):
        return COLLECTIONS[tag](decode(item, kept) for item in inner)
    return _scalar(tag, inner, kept)


def _scalar(tag: str, inner: Any, kept: Callable[[int], Any]) -> Any:
    if tag == "dict" and isinstance(inner, list):
        return {decode(key, kept): decode(item, kept) for key, item in inner}
    if tag == "int" and isinstance(inner, str):
        return int(inner, 16)
    if tag in ("bytes", "bytearray") and isinstance(inner, str):
        raw = base64.b64decode(inner)
        return raw if tag == "bytes" else bytearray(raw)
    if tag == "complex" and isinstance(inner, list):
        return complex(*inner)
    if tag == "kept" and isinstance(inner, int):
        return kept(inner)
    raise ValueError("not a value")


def line(value: Any) -> bytes:
    """Return JSON as one line of bytes."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
