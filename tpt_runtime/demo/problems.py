"""The quickstart's word problems: two steps, eight wordings, and the flawed solutions that the base model learns from.

Everything is a pure function of a seed, and the same on every machine. Spaces stand around every token, so that a byte-level
BPE makes each number one token.

Two things are held out. Operands: `part_of` assigns every multiset of operands to one part, whatever the seed and the wording,
so no evaluation question has the arithmetic of a training question. And one wording altogether: the base model has seen it, flaw
included, but no round ever trains on it, so it shows how far a round's lesson carries.

It deliberately grades nothing and samples nothing: that is the verifier's and the sampler's work.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from random import Random

from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.demo.drawing import MOST_DRAWS, Range, in_turn, operand, percentile, pick, shuffled

SHARE_RIGHT = 0.45
"""Share of the base corpus with a right solution."""
SHARE_HABIT = 0.9
"""Share of the other solutions that show their wording's habitual flaw; the rest are slips in arithmetic."""
LEAST_RESULT = 3
"""Every right result is at least this, so that no slip goes below one."""

NAMES = (
    *("Zoe", "Tom", "Mia", "Ben", "Ana", "Leo", "Eva", "Sam"),
    *("Ivy", "Max", "Ada", "Jon", "Kim", "Lou", "Ned", "Una"),
)
ITEMS = ("apples", "pens", "cards", "shells", "coins", "books", "beads", "stamps", "plums", "cups", "keys", "nuts")


class Part(StrEnum):
    """What a question is for."""

    BASE = "base"
    """The corpus that the base model is trained on."""
    TRAIN = "train"
    """Sampled from and trained on in every round."""
    VALIDATION = "validation"
    """Decides which round is best."""
    EVAL = "eval"
    """Reported, never used to decide."""


_SHARES = ((Part.BASE, 40), (Part.TRAIN, 60), (Part.VALIDATION, 70), (Part.EVAL, 100))
"""Upper bounds, in percent of all multisets of operands."""


class Flaw(StrEnum):
    """What a flawed solution does wrong out of habit."""

    DROP_SECOND = "drop the second step"
    FLIP_FIRST = "add in the first step"
    FLIP_SECOND = "add in the second step"


ANY = Range(2, 12, 16)
USUAL = Range(2, 12, 12)
START = Range(8, 20, 20)
"""What is taken away from."""
DIGIT = Range(2, 9, 9)
FEW = Range(2, 5, 5)
"""What is multiplied: larger products are beyond so small a model."""


@dataclass(frozen=True)
class Wording:
    """One way to ask: `a FIRST b`, then that `SECOND c`."""

    key: str
    text: str
    """With places for name, item, a, b and c."""
    first: str
    second: str
    """Operators: +, - or *."""
    flaw: Flaw
    ranges: tuple[Range, Range, Range] = (ANY, ANY, ANY)
    """What a, b and c may be."""
    held_out: bool = False
    """Whether rounds never train on it."""


WORDINGS = (
    Wording("finds", "{name} has {a} {item} , buys {b} and finds {c} . How many now ?", "+", "+", Flaw.DROP_SECOND),
    Wording("gives", "{name} has {a} {item} , gets {b} and gives away {c} . How many now ?", "+", "-", Flaw.FLIP_SECOND),
    Wording(
        "sells",
        "{name} had {a} {item} , lost {b} and sold {c} . How many are left ?",
        "-",
        "-",
        Flaw.DROP_SECOND,
        (START, USUAL, USUAL),
    ),
    Wording(
        "picks",
        "{name} had {a} {item} , used {b} and then made {c} . How many then ?",
        "-",
        "+",
        Flaw.FLIP_FIRST,
        (START, USUAL, ANY),
    ),
    Wording(
        "boxes",
        "{name} packs {a} boxes of {b} {item} and keeps {c} more . How many in all ?",
        "*",
        "+",
        Flaw.FLIP_FIRST,
        (DIGIT, FEW, USUAL),
    ),
    Wording(
        "bags",
        "{name} fills {a} bags with {b} {item} each but {c} fall out . How many stay ?",
        "*",
        "-",
        Flaw.DROP_SECOND,
        (DIGIT, FEW, USUAL),
    ),
    Wording(
        "days",
        "Each day {name} gets {a} {item} at noon and {b} at night . How many in {c} days ?",
        "+",
        "*",
        Flaw.FLIP_SECOND,
        (DIGIT, DIGIT, FEW),
    ),
    Wording(
        "trays",
        "On each tray {name} puts {a} {item} but takes {b} off . How many on {c} trays ?",
        "-",
        "*",
        Flaw.FLIP_FIRST,
        (START, USUAL, FEW),
        held_out=True,
    ),
)

_OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
}


@dataclass(frozen=True)
class Step:
    """One line of arithmetic."""

    left: int
    operator: str
    right: int
    result: int

    def __str__(self) -> str:
        """Return the step with spaces around every token."""
        return f"{self.left} {self.operator} {self.right} = {self.result} ."


@dataclass(frozen=True)
class Problem:
    """A question and what it asks for."""

    wording: Wording
    operands: tuple[int, int, int]
    name: str
    item: str

    @property
    def question(self) -> str:
        """Return the text of the question, without `Q:` and `A:`."""
        a, b, c = self.operands
        return self.wording.text.format(name=self.name, item=self.item, a=a, b=b, c=c)

    @property
    def right_steps(self) -> tuple[Step, ...]:
        """Return the two steps of the right solution."""
        return _work(self.operands, (self.wording.first, self.wording.second))

    @property
    def habitual_steps(self) -> tuple[Step, ...]:
        """Return the steps of the solution that shows the wording's habitual flaw."""
        first, second = self.wording.first, self.wording.second
        match self.wording.flaw:
            case Flaw.DROP_SECOND:
                return self.right_steps[:1]
            case Flaw.FLIP_FIRST:
                return _work(self.operands, ("+", second))
            case Flaw.FLIP_SECOND:
                return _work(self.operands, (first, "+"))


@dataclass(frozen=True)
class Row:
    """One line of a data set."""

    question: str
    answer: str
    """A solution that ends in `#### ANSWER`, as in GSM8K; right everywhere but in the base corpus."""
    wording: str
    held_out: bool
    """Whether the wording is the one that rounds never train on."""


def part_of(operands: tuple[int, int, int]) -> Part:
    """Return the one part that questions with these operands belong to, in whatever order and wording they come."""
    share = percentile(operands)
    return next(part for part, bound in _SHARES if share < bound)


def solution(steps: tuple[Step, ...]) -> str:
    """Return a solution as text: its steps, then the marked answer."""
    return " ".join([*map(str, steps), f"#### {steps[-1].result}"])


def base_corpus(seed: int, size: int) -> list[Row]:
    """Return the base model's corpus: all wordings, mostly flawed solutions.

    Args:
        seed: any integer; the same seed gives the same rows on every machine.
        size: number of rows.
    """
    rng = Random(f"base {seed}")
    problems = (_draw(rng, wording, Part.BASE) for wording in in_turn(WORDINGS, size))
    rows = [_row(problem, _base_steps(rng, problem)) for problem in problems]
    return shuffled(rng, rows)


def questions(part: Part, seed: int, size: int) -> list[Row]:
    """Return `size` different questions with right solutions.

    `EVAL` takes all wordings in turn; the other parts leave out the one that is held out. What is measured on asks no
    arithmetic of a wording twice, so that its questions are independent; training questions may differ in names only.

    Raises:
        ConfigurationError: there are not so many.
    """
    rng = Random(f"{part} {seed}")
    wordings = tuple(wording for wording in WORDINGS if part is Part.EVAL or not wording.held_out)
    seen: set[object] = set()
    rows = []
    for wording in in_turn(wordings, size):
        problem = _unlike(seen, islice(_draws(rng, wording, part), MOST_DRAWS), part)
        rows.append(_row(problem, problem.right_steps))
    return shuffled(rng, rows)


def _unlike(seen: set[object], drawn: Iterator[Problem], part: Part) -> Problem:
    for problem in drawn:
        key = problem.question if part is Part.TRAIN else (problem.wording.key, problem.operands)
        if key not in seen:
            seen.add(key)
            return problem
    raise ConfigurationError(f"there are no {len(seen) + 1} different {part} questions; ask for fewer")


def _work(operands: tuple[int, int, int], operators: tuple[str, str]) -> tuple[Step, Step]:
    a, b, c = operands
    first = Step(a, operators[0], b, _OPERATIONS[operators[0]](a, b))
    return first, Step(first.result, operators[1], c, _OPERATIONS[operators[1]](first.result, c))


def _base_steps(rng: Random, problem: Problem) -> tuple[Step, ...]:
    right = problem.right_steps
    if rng.random() < SHARE_RIGHT:
        return right
    habit = problem.habitual_steps
    if rng.random() < SHARE_HABIT and habit[-1].result != right[-1].result:
        return habit
    return _slip(rng, problem)


def _slip(rng: Random, problem: Problem) -> tuple[Step, ...]:
    """Return the right steps but for one result that is a little off; a slip in the first step is carried on."""
    first, second = problem.right_steps
    off = pick(rng, (-2, -1, 1, 2))
    if rng.random() < 0.5:
        return first, replace(second, result=second.result + off)
    slipped = replace(first, result=first.result + off)
    carried = _OPERATIONS[second.operator](slipped.result, second.right)
    return slipped, replace(second, left=slipped.result, result=carried)


def _draws(rng: Random, wording: Wording, part: Part) -> Iterator[Problem]:
    while True:
        yield _draw(rng, wording, part)


def _draw(rng: Random, wording: Wording, part: Part) -> Problem:
    name, item = pick(rng, NAMES), pick(rng, ITEMS)
    while True:
        a, b, c = (operand(rng, span) for span in wording.ranges)
        problem = Problem(wording, (a, b, c), name, item)
        if part_of(problem.operands) is part and all(step.result >= LEAST_RESULT for step in problem.right_steps):
            return problem


def _row(problem: Problem, steps: tuple[Step, ...]) -> Row:
    return Row(problem.question, solution(steps), problem.wording.key, problem.wording.held_out)
