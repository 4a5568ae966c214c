"""The corpora that verifiers are measured on: labels that cannot be wrong by construction, and Math on all of them."""

import os
import random
from collections import Counter
from pathlib import Path

from benchmarks.answers import misses, styles
from benchmarks.answers.corpus import Item, Question, fields, items, questions, read_traces
from benchmarks.answers.expressions import EXPRESSIONS
from benchmarks.answers.peers import grades
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.verify.protocol import MATH

EGGS = Question(
    "Janet has 16 eggs, eats 7, and sells the rest for $200 each. How much does she make?",
    "Janet sells 16 - 7 = 9 eggs.\nShe makes 9 * 200 = $1,800.",
    1800,
)
ALL = (
    styles.KNOWN + styles.FIRST + styles.SECOND + styles.HELD_OUT,
    misses.KNOWN + misses.FIRST + misses.SECOND + misses.HELD_OUT,
)
ACCEPTED_NEAR_MISSES = 0.002
"""Of those that are not held out; docs/verification.md has the figures."""


def corpus() -> list[Item]:
    folder = os.environ.get("TPT_GSM8K")
    return list(items(questions(Path(folder), 20) if folder else [EGGS]))


def accepted(found: list[Item]) -> list[bool]:
    return [grade.verdict is Verdict.CORRECT for grade in grades(MATH, [(item.solution, item.reference) for item in found])]


def test_every_style_names_only_what_there_is_and_no_two_are_the_same() -> None:
    for found in ALL:
        assert max(Counter(style.template for style in found).values()) == 1
        assert max(Counter((style.group, style.name, style.template) for style in found).values()) == 1
    assert len(items_of(EGGS)) == sum(map(len, ALL))


def items_of(question: Question) -> list[Item]:
    return list(items([question]))


def test_a_right_solution_states_the_answer_and_a_near_miss_has_another_or_none() -> None:
    right = [item for item in items_of(EGGS) if item.right]
    written = ("1800", "1,800", "1.800", "1 800", "1{,}800", "3600")
    assert [item for item in right if not any(text in item.solution for text in written)] == []
    assert {item.reference for item in items_of(EGGS)} == {"#### 1800"}


def test_a_cut_solution_ends_before_its_answer() -> None:
    place = fields(EGGS, random.Random(0))
    assert place["cut"] == "Janet sells 16 - 7 = 9 eggs.\nShe makes 9 * 200 = $"
    assert int(place["other"]) + int(place["gap"]) == EGGS.answer
    assert fields(Question("", "She has 5 eggs.", 5), random.Random(0))["cut"] == "", "where it is not computed it is not cut"


def test_math_accepts_right_answers_in_every_style_and_hardly_a_near_miss() -> None:
    known = [item for item in corpus() if not item.held_out]
    verdicts = accepted(known)
    missed = [item.style for item, accept in zip(known, verdicts, strict=True) if item.right and not accept]
    taken = [item.style for item, accept in zip(known, verdicts, strict=True) if accept and not item.right]
    assert missed == []
    assert len(taken) <= ACCEPTED_NEAR_MISSES * sum(not item.right for item in known), taken


def test_math_agrees_with_those_who_read_the_traces_of_a_small_model() -> None:
    traces = [trace for trace in read_traces() if trace.ended]
    assert len(read_traces()) > 300
    verdicts = grades(MATH, [(trace.solution, trace.reference) for trace in traces])
    wrongly = [
        (trace.label, grade.answer)
        for trace, grade in zip(traces, verdicts, strict=True)
        if trace.label != "unclear" and (trace.label == "right") is not (grade.verdict is Verdict.CORRECT)
    ]
    assert wrongly == []


def test_math_compares_expressions_as_mathematics_does() -> None:
    verdicts = grades(MATH, [(one.solution, one.reference) for one in EXPRESSIONS])
    judged = zip(EXPRESSIONS, verdicts, strict=True)
    assert [one for one, grade in judged if (grade.verdict is Verdict.CORRECT) is not one.equal] == []
