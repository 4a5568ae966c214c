"""Programming problems for a tiny model: read whole numbers, choose some, change them, and print one figure or all of them.

A problem is in words; an answer is a Python program in a block of code; tests are pairs of input and output, the output computed
here from the meaning of the problem, not by the program. The base model learns from programs of which more than half have a
habitual flaw (the wrong constant, the opposite choice, the wrong figure), so that pruning has something to remove. Evaluation
problems are combinations of parts that no base corpus and no training set has.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from random import Random
from typing import Any

from tpt_runtime.demo.drawing import percentile, pick, shuffled

TESTS = 5
"""Of each problem."""
FLAWED = 55
"""Percent of the base corpus' programs that are wrong."""
CONSTANTS = tuple(range(2, 10))


class Part(StrEnum):
    """What a problem is for."""

    TRAIN = "train"
    VALIDATION = "validation"
    EVAL = "eval"


_SHARES = ((Part.TRAIN, 60), (Part.VALIDATION, 75), (Part.EVAL, 100))
"""Upper bounds, in percent of all combinations of pieces."""


@dataclass(frozen=True)
class Piece:
    """A part of a problem: its words, its code, its meaning, and the code of its habitual flaw. `k` is the problem's number."""

    words: str
    code: str
    flaw: str
    meaning: Callable[[Any, int], Any]


KEEP = "[v for v in x if"
CHOICES = (
    Piece("all numbers", "x", "x", lambda xs, _: xs),
    Piece(
        "the even numbers", "[v for v in x if v % 2 == 0]", "[v for v in x if v % 2]", lambda xs, _: [v for v in xs if v % 2 == 0]
    ),
    Piece("the odd numbers", f"{KEEP} v % 2]", f"{KEEP} v % 2 == 0]", lambda xs, _: [v for v in xs if v % 2]),
    Piece(
        "the numbers above {k}", "[v for v in x if v > {k}]", "[v for v in x if v >= {k}]", lambda xs, k: [v for v in xs if v > k]
    ),
    Piece(
        "the numbers below {k}", "[v for v in x if v < {k}]", "[v for v in x if v <= {k}]", lambda xs, k: [v for v in xs if v < k]
    ),
)
CHANGES = (
    Piece("as they are", "y", "y", lambda xs, _: xs),
    Piece("times {k}", "[v * {k} for v in y]", "[v + {k} for v in y]", lambda xs, k: [v * k for v in xs]),
    Piece("plus {k}", "[v + {k} for v in y]", "[v + {k} + 1 for v in y]", lambda xs, k: [v + k for v in xs]),
    Piece("squared", "[v * v for v in y]", "[v + v for v in y]", lambda xs, _: [v * v for v in xs]),
)
FIGURES = (
    Piece("their sum", "print(sum(z))", "print(len(z))", lambda xs, _: str(sum(xs))),
    Piece("how many differ", "print(len(set(z)))", "print(len(z))", lambda xs, _: str(len(set(xs)))),
    Piece("the largest , or 0", "print(max(z, default=0))", "print(max(z))", lambda xs, _: str(max(xs, default=0))),
    Piece("the smallest , or 0", "print(min(z, default=0))", "print(min(z))", lambda xs, _: str(min(xs, default=0))),
    Piece("them in order", "print(*sorted(z))", "print(*z)", lambda xs, _: " ".join(map(str, sorted(xs)))),
)


@dataclass(frozen=True)
class Problem:
    """One problem."""

    pieces: tuple[Piece, Piece, Piece]
    k: int

    @property
    def text(self) -> str:
        """Return it in words."""
        choice, change, figure = (piece.words.format(k=self.k) for piece in self.pieces)
        return f"Read numbers . Take {choice} , {change} . Print {figure} ."

    def program(self, flawed: int | None) -> str:
        """Return a solution; `flawed` says in which piece it errs."""
        codes = [piece.flaw if index == flawed else piece.code for index, piece in enumerate(self.pieces)]
        choice, change, figure = (code.format(k=self.k) for code in codes)
        return f"```python\nx = list(map(int, input().split()))\ny = {choice}\nz = {change}\n{figure}\n```"

    def answer_to(self, numbers: Sequence[int]) -> str:
        """Return what is to be printed."""
        found: Any = list(numbers)
        for piece in self.pieces:
            found = piece.meaning(found, self.k)
        return f"{found}\n"

    def tests(self) -> list[dict[str, str]]:
        """Return pairs of input and output, the same for the same problem; the last has a single number."""
        rng = Random(f"tests {self.text}")
        lists = [[int(rng.random() * 24) - 4 for _ in range(length)] for length in (6, 9, 4, 12, 1)]
        lists[0] += [self.k, self.k, 2 * self.k]
        return [{"input": " ".join(map(str, numbers)) + "\n", "output": self.answer_to(numbers)} for numbers in lists[:TESTS]]


@dataclass(frozen=True)
class Solved:
    """A problem with one solution: what the base model reads."""

    question: str
    answer: str


def problems() -> Iterator[Problem]:
    """Yield every problem once: those whose words do not have the number come with one only."""
    seen = set()
    for *pieces, k in product(CHOICES, CHANGES, FIGURES, CONSTANTS):
        problem = Problem((pieces[0], pieces[1], pieces[2]), k)
        if problem.text not in seen:
            seen.add(problem.text)
            yield problem


def part_of(problem: Problem) -> Part:
    """Return the one part that a problem belongs to, whatever its number."""
    choice, change, figure = problem.pieces
    share = percentile([CHOICES.index(choice), 10 + CHANGES.index(change), 20 + FIGURES.index(figure)])
    return next(part for part, bound in _SHARES if share < bound)


def problems_of(part: Part, seed: int, size: int) -> list[Problem]:
    """Return `size` problems of a part, fewer if it has no more."""
    return shuffled(Random(f"programs {part} {seed}"), [found for found in problems() if part_of(found) is part])[:size]


def base_corpus(seed: int, size: int) -> list[Solved]:
    """Return `size` training problems with solutions, of which `FLAWED` percent err in one piece."""
    rng = Random(f"programs base {seed}")
    known = [found for found in problems() if part_of(found) is Part.TRAIN]
    return [_solved(rng, pick(rng, known)) for _ in range(size)]


def _solved(rng: Random, problem: Problem) -> Solved:
    erring = [index for index, piece in enumerate(problem.pieces) if piece.flaw != piece.code]
    flawed = pick(rng, erring) if rng.random() * 100 < FLAWED else None
    return Solved(problem.text, problem.program(flawed))
