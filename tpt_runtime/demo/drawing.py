"""Seeded draws that are the same on every machine: only `Random.random()` is used, whose sequence alone Python promises to keep.

What is drawn, and for what, is not known here.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Range:
    """What an operand may be: mostly `least` to `usual`, now and then up to `most`."""

    least: int
    usual: int
    most: int


SHARE_LARGE = 0.1
"""Share of operands above the usual ones, where a range has such."""
MOST_DRAWS = 20_000
"""Draws without anything new after which there is nothing new."""


def between(rng: Random, low: int, high: int) -> int:
    """Return a whole number from `low` to `high`, both included."""
    return low + int(rng.random() * (high - low + 1))


def operand(rng: Random, span: Range) -> int:
    """Return a whole number of `span`."""
    if span.most > span.usual and rng.random() < SHARE_LARGE:
        return between(rng, span.usual + 1, span.most)
    return between(rng, span.least, span.usual)


def pick(rng: Random, choices: Sequence[Choice]) -> Choice:
    """Return one of `choices`, each as likely as any other."""
    return choices[between(rng, 0, len(choices) - 1)]


def shuffled(rng: Random, rows: Sequence[Choice]) -> list[Choice]:
    """Return `rows` in random order."""
    return [row for _, _, row in sorted((rng.random(), place, row) for place, row in enumerate(rows))]


def in_turn(choices: Sequence[Choice], size: int) -> Iterator[Choice]:
    """Yield `size` of `choices`, one after the other and again from the first."""
    for place in range(size):
        yield choices[place % len(choices)]


def percentile(operands: Sequence[int]) -> int:
    """Return a number from 0 to 99 that depends on the operands alone, in whatever order they come; no seed moves it.

    Parts of a data set that own different percentiles share no arithmetic.
    """
    digest = hashlib.sha256(" ".join(map(str, sorted(operands))).encode()).digest()
    return int.from_bytes(digest[:8]) % 100
