"""One-step word problems for a small pretrained model: add, take away, multiply, share.

They are held out by operands, as the quickstart's are, and none has the operands of the examples in the prompt of
`examples/smollm2/run.yaml`. All solutions are right: here the flaws are the model's own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.demo.drawing import MOST_DRAWS, Range, in_turn, operand, percentile, pick, shuffled
from tpt_runtime.demo.problems import NAMES

ITEMS = ("hats", "pens", "cards", "shells", "coins", "books", "beads", "stamps", "plums", "cups")
OPERAND = Range(2, 12, 20)


class Part(StrEnum):
    """What a question is for."""

    TRAIN = "train"
    VALIDATION = "validation"
    EVAL = "eval"


_SHARES = ((Part.TRAIN, 42), (Part.VALIDATION, 58), (Part.EVAL, 100))
"""Upper bounds, in percent of all pairs of operands."""


@dataclass(frozen=True)
class Kind:
    """One kind of problem, made of two operands."""

    key: str
    text: str
    operator: str
    numbers: Callable[[int, int], tuple[int, int, int]]
    """The numbers of the solution from the operands: left, right and result."""


KINDS = (
    Kind("add", "{name} has {left} {item} and gets {right} more. How many {item} now?", "+", lambda a, b: (a, b, a + b)),
    Kind("take", "{name} has {left} {item} and gives away {right}. How many {item} are left?", "-", lambda a, b: (a + b, b, a)),
    Kind("times", "{name} has {left} bags with {right} {item} each. How many {item} in all?", "*", lambda a, b: (a, b, a * b)),
    Kind("share", "{name} shares {left} {item} among {right} friends. How many {item} each?", "/", lambda a, b: (a * b, b, a)),
)


@dataclass(frozen=True)
class Row:
    """One line of a data set."""

    question: str
    answer: str
    kind: str


SHOWN: dict[str, tuple[int, int]] = {"add": (5, 4), "take": (7, 6), "share": (3, 5)}
"""Operands of the examples in the prompt, by kind."""


def part_of(operands: tuple[int, int]) -> Part:
    """Return the one part that questions with these operands belong to, whatever their kind and order."""
    share = percentile(operands)
    return next(part for part, bound in _SHARES if share < bound)


def questions(part: Part, seed: int, size: int) -> list[Row]:
    """Return `size` questions, all kinds in turn, no two of one kind with the same operands.

    Raises:
        ConfigurationError: there are not so many.
    """
    rng = Random(f"one step {part} {seed}")
    seen = set(SHOWN.items())
    rows = []
    for kind in in_turn(KINDS, size):
        draws = ((operand(rng, OPERAND), operand(rng, OPERAND)) for _ in range(MOST_DRAWS))
        fresh = (pair for pair in draws if part_of(pair) is part and (kind.key, pair) not in seen)
        pair = next(fresh, None)
        if pair is None:
            raise ConfigurationError(f"there are no {size} different {part} questions; ask for fewer")
        seen.add((kind.key, pair))
        rows.append(row_of(kind, pair, pick(rng, NAMES), pick(rng, ITEMS)))
    return shuffled(rng, rows)


def row_of(kind: Kind, operands: tuple[int, int], name: str, item: str) -> Row:
    """Return the question and its right solution."""
    left, right, result = kind.numbers(*operands)
    question = kind.text.format(name=name, item=item, left=left, right=right)
    return Row(question, f"{left} {kind.operator} {right} = {result} {item}. #### {result}", kind.key)
