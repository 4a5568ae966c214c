"""Verdicts a second of one core's time, and memory over a million traces.

CPU time of this process is counted: none of these traces goes to a worker process, and other programs change it little.
"""

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.answers.corpus import Question, fields
from benchmarks.answers.peers import math_verify
from tpt_runtime.verify.math import Math
from tpt_runtime.verify.pool import GradingPool
from tpt_runtime.verify.strict import GSM8KStrict

ANSWERS = (
    "{body}\n#### {n}",
    "{body}\n#### {other}",
    "{body}\n#### ${commas}",
    "{body}\n\n**Answer:** {other} dollars",
    "{body}\nThe answer is {n}.",
    "{body}\nSo the answer is $\\boxed{{{other}}}$.",
    "{body}\nTherefore, they have **{commas}** in the end.",
    "{body}\nSo in the end they have {other}.",
)
"""Endings that models write; half of the answers are wrong."""
REFERENCES, ENDINGS, READ = "GSM8K's references", "its workings with eight endings", "the small model's traces"
PLAIN, LIMITED, STRICT, OURS = "Math-Verify, no limit", "Math-Verify, its own limit", "GSM8KStrict", "Math, through its pool"

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Mark:
    """Resident memory after so many traces, and CPU seconds."""

    traces: int
    mebibytes: float
    seconds: float


def references(found: Sequence[Question], size: int) -> Iterator[Pair]:
    """Yield `size` solutions as GSM8K has them, with their references; no two are the same text."""
    for number in range(size):
        question = found[number % len(found)]
        yield f"Trace {number}.\n{question.body}\n#### {question.answer}", f"#### {question.answer}"


def traces(found: Sequence[Question], size: int) -> Iterator[Pair]:
    """Yield `size` solutions with their references; no two are the same text."""
    places = [fields(question, random.Random(number)) for number, question in enumerate(found)]
    for number in range(size):
        place = places[number % len(places)]
        style = ANSWERS[number // len(places) % len(ANSWERS)]
        yield f"Trace {number}.\n{style.format(**place)}", f"#### {place['n']}"


def rates(pairs: Sequence[Pair], repeats: int) -> dict[str, list[float]]:
    """Return verdicts a second of CPU time of every verifier, repeated in turn; all in this process, on one core."""
    judges: dict[str, Callable[[Sequence[Pair]], int]] = {
        OURS: _by_pool,
        PLAIN: _by(math_verify(None)),
        LIMITED: _by(math_verify(5)),
        STRICT: _by(lambda solution, reference: GSM8KStrict().grade(solution, reference).marked),
    }
    for judge in judges.values():
        judge(pairs[:50])
    found: dict[str, list[float]] = {name: [] for name in judges}
    for _ in range(repeats):
        for name, judge in judges.items():
            began = time.process_time()
            judge(pairs)
            found[name].append(len(pairs) / (time.process_time() - began))
    return found


def _by(judge: Callable[[str, str], bool]) -> Callable[[Sequence[Pair]], int]:
    return lambda pairs: sum(judge(solution, reference) for solution, reference in pairs)


def _by_pool(pairs: Sequence[Pair]) -> int:
    with GradingPool(Math(), workers=1) as pool:
        return sum(grade.marked for _, grade in pool.grade((None, *pair) for pair in pairs))


def memory(found: Sequence[Question], size: int, marks: int = 5) -> list[Mark]:
    """Grade `size` traces as a stream and return the memory of this process at the beginning and at `marks` points."""
    began, done = time.process_time(), [Mark(0, resident(), 0.0)]
    with GradingPool(Math(), workers=1) as pool:
        stream = ((None, solution, reference) for solution, reference in traces(found, size))
        for number, _ in enumerate(pool.grade(stream), start=1):
            if number % (size // marks) == 0:
                done.append(Mark(number, resident(), time.process_time() - began))
    return done


def resident() -> float:
    """Return the resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
