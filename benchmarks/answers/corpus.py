"""Labelled solutions: GSM8K references in every style, near misses of them, and traces of a small model that were read.

Which label an item has follows from how it was made, or from reading; no verifier is asked.
"""

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.answers import misses, styles
from benchmarks.answers.styles import Style

TRACES = Path(__file__).with_name("traces.jsonl")
_ANNOTATION = re.compile(r"<<[^<>\n]*>>")
_LEAST = 3


@dataclass(frozen=True, slots=True)
class Item:
    """One labelled solution."""

    style: str
    group: str
    held_out: bool
    right: bool
    solution: str
    reference: str


@dataclass(frozen=True, slots=True)
class Question:
    """A GSM8K question with a whole number as its answer."""

    text: str
    body: str
    """The reference's working, without annotations and without its answer line."""
    answer: int


@dataclass(frozen=True, slots=True)
class ReadTrace:
    """A trace of the small model, as a person would judge it who has read it."""

    prompt: str
    solution: str
    reference: str
    label: str
    """right, wrong, none (no final answer is stated), or unclear: the label depends on a rule."""
    ended: bool
    """Whether it ended by itself; a run grades the others as truncated, and asks no verifier."""


def questions(folder: Path, size: int, seed: int = 0) -> list[Question]:
    """Return `size` questions of GSM8K's test set, drawn by `seed`."""
    rows = [json.loads(line) for line in (folder / "test.jsonl").read_text(encoding="utf-8").splitlines()]
    found = [question for row in rows if (question := _question(row)) is not None]
    return random.Random(seed).sample(found, size)


def _question(row: Mapping[str, str]) -> Question | None:
    working, _, answer = row["answer"].rpartition("####")
    digits = answer.strip().replace(",", "")
    if not digits.isdigit() or int(digits) < _LEAST:
        return None
    return Question(row["question"], _ANNOTATION.sub("", working).strip(), int(digits))


def items(found: Sequence[Question]) -> Iterator[Item]:
    """Yield every question in every style, and as every near miss."""
    kinds = (
        (styles.KNOWN + styles.FIRST + styles.SECOND, False, True),
        (styles.HELD_OUT, True, True),
        (misses.KNOWN + misses.FIRST + misses.SECOND, False, False),
        (misses.HELD_OUT, True, False),
    )
    for number, question in enumerate(found):
        places = fields(question, random.Random(number))
        for templates, held_out, right in kinds:
            for style in templates:
                if "{cut}" not in style.template or places["cut"]:
                    solution = style.template.format(**places)
                    yield Item(style.name, style.group, held_out, right, solution, f"#### {question.answer}")


def fields(question: Question, rng: random.Random) -> dict[str, str]:
    """Return what the templates have places for: the number written in several ways, and others that it is not."""
    n = question.answer
    gap = rng.randrange(1, n)
    gap_up = rng.choice([1, 2, 5, 10, n])
    commas = f"{n:,}"
    cut = _cut(question)
    return {
        "question": question.text,
        "body": question.body,
        "cut": cut,
        "body_of_other": f"{cut}{n - gap}.",
        "n": str(n),
        "commas": commas,
        "points": commas.replace(",", "."),
        "spaces": commas.replace(",", " "),
        "latex": commas.replace(",", "{,}"),
        "double": str(2 * n),
        "tenth": f"{n / 10:.1f}",
        "other": str(n - gap),
        "gap": str(gap),
        "gap_up": str(gap_up),
        "more": str(n + gap_up),
    }


def _cut(question: Question) -> str:
    """Return the working up to where its answer is first computed; empty if that cannot be told."""
    written = "|".join(re.escape(text) for text in (str(question.answer), f"{question.answer:,}"))
    result = re.search(rf"=\s*\$?(?=(?:{written})(?![\d,.]*\d))", question.body)
    return question.body[: result.end()] if result else ""


def read_traces(path: Path = TRACES) -> list[ReadTrace]:
    """Return the traces that were labelled by reading."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        ReadTrace(row["prompt"], row["solution"], row["reference"], row["label"], row["finishReason"] == "stop") for row in rows
    ]


def style_count() -> dict[str, int]:
    """Return how many styles there are of each kind."""
    kinds: dict[str, tuple[Style, ...]] = {
        "styles": styles.KNOWN + styles.FIRST + styles.SECOND,
        "styles held out": styles.HELD_OUT,
        "near misses": misses.KNOWN + misses.FIRST + misses.SECOND,
        "near misses held out": misses.HELD_OUT,
    }
    return {name: len(found) for name, found in kinds.items()}
