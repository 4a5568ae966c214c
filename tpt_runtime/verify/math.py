r"""`Math`: is the final answer the reference answer, as a number or as an expression?

Where the answer is found and what takes it back: `extract`. How numbers are read and when they are equal: `numbers`. What
counts as ambiguous, and so never as correct: `reading`. Units and currencies are not compared: references bear none.

A reference is a bare answer (`18`, `1,080`, `\frac{\sqrt{3}}{2}`), a GSM8K solution (what follows its last `####`) or a MATH
solution (its last box). If it is a number, so must the answer be: numbers are compared here and now, and only an unevaluated
answer (`9 * 2`, `\sqrt{324}`) goes to Math-Verify. Any other reference is compared as text first, then by Math-Verify.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from tpt_runtime.core.verdict import Verdict
from tpt_runtime.verify import symbolic
from tpt_runtime.verify.extract import find_answer, find_expression
from tpt_runtime.verify.marks import HASHES, LAST, Found, marks_in, span_at
from tpt_runtime.verify.numbers import Number, same
from tpt_runtime.verify.protocol import MATH, Grade
from tpt_runtime.verify.reading import Shape, read
from tpt_runtime.verify.text import typed

_LONGEST_ANSWER = 300
_PLAIN = re.compile(r"\$?(\d{1,3}(?:,\d{3})+|\d+)(?:\.0{0,2})?")
"""Integers as they are mostly written: 18, $1,080, 18., 18.00."""


@dataclass(frozen=True, slots=True)
class ReferenceAnswer:
    """A reference, read."""

    text: str
    number: Number | None
    integer: int | None
    """The number, if it is a plain integer: the one that nearly every reference is."""


@dataclass(frozen=True, slots=True)
class Math:
    """Compares final answers as numbers, and only what is no number as expressions."""

    name: str = MATH

    def check_reference(self, reference: str) -> str | None:
        """Return why no answer can be compared with `reference`, or None if one can."""
        answer = read_reference(reference)
        return None if answer.number is not None else _problem_with(answer.text)

    def is_quick(self, reference: str) -> bool:
        """Return whether no expression has to be parsed to check `reference`."""
        answer = read_reference(reference)
        return answer.number is not None or symbolic.is_words(answer.text) or _plain_problem_with(answer.text) is not None

    def grade_quickly(self, solution: str, reference: str) -> Grade | None:
        """Return the grade unless Math-Verify is needed for it."""
        answer = read_reference(reference)
        if answer.number is None:
            return _grade_text(solution, answer)
        plain = _plain_hashes(solution) if answer.integer is not None else None
        if plain is not None:
            number = int(plain[1].replace(",", ""))
            return Grade(Verdict.CORRECT if number == answer.integer else Verdict.WRONG, plain[0], True, HASHES)
        return _grade_number(find_answer(solution), answer.number)

    def grade(self, solution: str, reference: str) -> Grade:
        """Return the grade of `solution`."""
        quick = self.grade_quickly(solution, reference)
        return quick if quick is not None else _grade_expression(solution, read_reference(reference))

    def warm_up(self) -> None:
        """Import Math-Verify."""
        symbolic.load()


@lru_cache(maxsize=8192)
def read_reference(reference: str) -> ReferenceAnswer:
    """Return the answer of a reference: what follows its last `####`, or stands in its last box, or all of it."""
    text = typed(reference).strip()
    if "####" in text:
        text = text.rpartition("####")[2].strip()
    elif "\\boxed" in text or "\\fbox" in text:
        spans = [span_at(text, mark) for mark in marks_in(text) if mark[0].startswith("\\")]
        text = text[spans[-1].start : spans[-1].end].strip() if spans and spans[-1] else ""
    reading = read(text) if len(text) <= _LONGEST_ANSWER else None
    number = reading.number if reading is not None and reading.shape is Shape.NUMBER else None
    is_integer = number is not None and number.value.denominator == 1 and number.factor is None and number.other is None
    return ReferenceAnswer(text, number, int(number.value) if number is not None and is_integer else None)


def _problem_with(text: str) -> str | None:
    """Return why a reference that is no number cannot be compared with, or None."""
    problem = _plain_problem_with(text)
    if problem is not None or symbolic.is_words(text) or symbolic.is_expression(text):
        return problem
    return f"the reference cannot be read as a number or an expression: {text[:60]!r}"


def _plain_problem_with(text: str) -> str | None:
    """Return what can be found wrong with a reference that is no number without parsing it."""
    if not text:
        return "the reference has no answer: nothing stands after its last #### or in its box"
    shown, is_formal = repr(text[:60]), _is_formal(text)
    if len(text) > _LONGEST_ANSWER:
        return f"the reference is too long for a bare answer and has no #### or \\boxed{{}}: {shown}"
    if not is_formal and read(text).shape is Shape.CHOICE and any(char.isalpha() for char in text):
        return f"the reference names several answers: {shown}; a reference must be one number or expression"
    if not is_formal and symbolic.is_words(text):
        return f"the reference is no number: {shown}; words must be written as \\text{{...}} to be compared"
    return None


def _is_formal(text: str) -> bool:
    """Return whether a text is written as mathematics, so that words and several numbers in it are meant."""
    return "\\" in text or text.startswith(("(", "[", "{"))


def _plain_hashes(solution: str) -> re.Match[str] | None:
    """Return the integer of a solution whose only `####` is its last line and bears nothing else: the form that is asked for."""
    start = solution.rfind("####")
    if start < 0 or ":" in solution or solution.find("####") != start:
        return None
    answer = solution[start + 4 :].strip()
    return _PLAIN.fullmatch(answer) if len(answer) <= _LONGEST_ANSWER and answer.isascii() else None


def _grade_number(found: Found | None, reference: Number) -> Grade | None:
    if found is None:
        return Grade(Verdict.UNPARSEABLE)
    if found.reading.shape is Shape.EXPRESSION:
        return None
    number = found.reading.number
    verdict = Verdict.CORRECT if number is not None and same(number, reference) else Verdict.WRONG
    return Grade(verdict, found.text[:_LONGEST_ANSWER], found.marked, found.pattern)


def _grade_text(solution: str, reference: ReferenceAnswer) -> Grade | None:
    """Grade against a reference that is no number, as far as comparing strings goes."""
    found = find_expression(solution)
    if found is None:
        return Grade(Verdict.UNPARSEABLE)
    text, pattern = found
    answer, expected = symbolic.normal_form(text), symbolic.normal_form(reference.text)
    words = symbolic.is_words(reference.text)
    if words:
        answer, expected = (form.strip("().* ").lower() for form in (answer, expected))
    if answer == expected or words or len(text) > symbolic.MAX_LENGTH:
        verdict = Verdict.CORRECT if answer == expected else Verdict.WRONG
        return Grade(verdict, text[:_LONGEST_ANSWER], pattern != LAST, pattern)
    return None


def _grade_expression(solution: str, reference: ReferenceAnswer) -> Grade:
    """Grade by Math-Verify what `_grade_number` and `_grade_text` left open."""
    if reference.number is None:
        found = find_expression(solution)
        text, pattern = found if found is not None else ("", LAST)
        expected = reference.text
    else:
        answer = find_answer(solution)
        text, pattern = (answer.text, answer.pattern) if answer is not None else ("", LAST)
        expected = str(reference.number.value)
    verdict = Verdict.CORRECT if text and symbolic.equal_expressions(text, expected) else Verdict.WRONG
    return Grade(verdict, text[:_LONGEST_ANSWER], pattern != LAST, pattern)
