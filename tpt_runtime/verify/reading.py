"""What a piece of text states: one number, a choice of several, an expression, or none.

Two questions are answered here. `read`: this text stands where a final answer stands, what does it say? `stated`: which numbers
does this sentence state, leaving out those that it denies, compares with or only counts steps by?

The rule for ambiguity: a text that offers two different numbers ("18 or 20", "18-20", "between 18 and 20", "18, 20") answers
nothing. If they are equal ("1/2 or 0.5"), it does. "18 dollars and 50 cents" is one number.
"""

import re
from dataclasses import dataclass
from enum import Enum

from tpt_runtime.verify.numbers import QUANTITY, Number, number_of, same
from tpt_runtime.verify.text import plain


class Shape(Enum):
    """What a text says where an answer is expected."""

    NUMBER = "number"
    """It begins with one number, a unit or remark may follow; or it is an equation that ends in one."""
    SENTENCE = "sentence"
    """Words, with one number among them."""
    PROSE = "prose"
    """Words, with different numbers among them."""
    CHOICE = "choice"
    """Two or more different numbers are offered, or digits that are no number."""
    EXPRESSION = "expression"
    """Mathematics beyond one number."""
    NONE = "none"
    """No number."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A text where an answer is expected, read."""

    shape: Shape
    number: Number | None = None


@dataclass(frozen=True, slots=True)
class Stated:
    """A number that a sentence states."""

    start: int
    end: int
    number: Number | None
    """None where digits stand that are no number, such as a date."""


_LEAD_IN = re.compile(
    r"(?:[\s:>\"'_|]|=>?|\((?=[-\d.\s]+\))|"
    r"\b(?:(?:the\s+)?(?:final\s+|correct\s+)?answer(?:\s+is)?|(?:a\s+|the\s+)?(?:grand\s+)?total(?:\s+of)?|"
    r"is|are|exactly|approximately|approx\.?|about|around|roughly|only|just|simply|equal\s+to|equals|at\s+least|at\s+most|therefore|thus|"
    r"hence|so|then|also|indeed|that|clearly|or|either|between|from|it|it's)(?![\w'.]))*",
    re.IGNORECASE,
)
_DENIAL = re.compile(
    r"(?:not|never|no|neither|cannot|unlikely|(?:more|less|fewer|greater)\s+than|over|under|above|below)\b", re.IGNORECASE
)
_REASON = re.compile(
    r"[,;]?\s(?:because|since|as\s+there|where|given\s+that|rather\s+than|instead\s+of|not)\s|\s\((?!\d+\)$)|\bfor\s+example\b",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(r"[.!?](?:\s|$)|[,;]\s|\n")
_OPERATOR = re.compile(r"\s*(?:[-+*/^]|x(?=\s*\d))\s*\(?\s*[-\d.\\(]|\^|\(\s*[-\d]|[xyznabijπθ√](?![\w'])", re.IGNORECASE)
_SYMBOLIC = re.compile(r"\\[a-zA-Z]+|[√π∞∪∩∈^]|\d\s*[*+/^(-]\s*[\d(]|\bsqrt\b|\b[a-z]\s*[-+*/]\s*[\da-z]\b|\d[xyz]\b")
_INEQUALITY = re.compile(r"[<>≤≥]")
_RANGE = re.compile(r"\s*(-|to\b|through\b|until\b)\s*(?=[\d.])", re.IGNORECASE)
_UNIT = r"(?:[a-z%'/-]|\^[23])"
_HEDGE = r"(?:maybe|perhaps|possibly|even|about|around|only|just|either)\s+"
_ALTERNATIVE = re.compile(
    rf"{_UNIT}{{0,20}}(?:\s+{_UNIT}{{1,20}}){{0,4}}?\s*,?\s*(?:\b(?:or|and|and/or|vs\.?|versus)\b|&)\s+(?:{_HEDGE}){{0,2}}"
    r"(?:[a-z]\s*=\s*)?(?=-?[\d.]*\d)|\s*[,;]\s*(?=-?[\d.]*\d)",
    re.IGNORECASE,
)
_ASSIGNMENTS = re.compile(r"=[^=]*(?:,|\bor\b|\band\b)\s*[a-z]\s*=", re.IGNORECASE)
_ROUNDED = re.compile(r"\bround(?:s|ed|ing)?\s+(?:it\s+)?(?:up\s+|down\s+|off\s+)?to\s+(?=[-\d.])", re.IGNORECASE)
_JUXTAPOSED = re.compile(r"\s+-?[\d.]*\d")
_ARITHMETIC_WORD = re.compile(r"[\w%'/^-]{0,20}\s+(?:plus|minus|times|divided\s+by|multiplied\s+by)\s", re.IGNORECASE)
_SIGN = re.compile(r"(?:([-+])|(?:minus|negative)\s)\s*(?=[\d.])", re.IGNORECASE)
_MINUS_BEFORE = re.compile(r"(?:^|[=(:\[]\s*|[a-zA-Z,]\s+)-$|[=(:]\s*-\s*$")
_MINUS_IN_WORDS = re.compile(r"(?:^|[=:,]\s*|\b(?:is|are|was|be|equals|of|to)\s+)(?:minus|negative)\s+$", re.IGNORECASE)
_LABELS = frozenset(
    {
        *(
            "step",
            "steps",
            "part",
            "parts",
            "question",
            "questions",
            "problem",
            "problems",
            "equation",
            "equations",
            "eq",
            "option",
        ),
        *(
            "choice",
            "method",
            "methods",
            "example",
            "examples",
            "exercise",
            "figure",
            "table",
            "stage",
            "case",
            "phase",
            "solution",
        ),
        *("approach", "chapter", "section", "page", "line", "rule", "note", "q"),
    }
)
_ORDINALS = frozenset({"st", "nd", "rd", "th"})
_DENYING = ("n't", "not", "never", "neither", "nor", "than", "instead", "except", "<", ">", "≤", "≥")
_DENIED_BEFORE = re.compile(
    r"(?:\b(?:not|never|cannot|neither|nor|than|instead\s+of|except)|n't|[\w)%]\s*[<>≤≥])"
    r"(?:\s+(?:be|equal|equals|to|exactly|just|simply|only|actually|really|the|a|an|been|=))*(?:\s+[\w']+)?\s*-?$",
    re.IGNORECASE,
)
_ENUMERATOR = re.compile(r"\s*[.)]\s+\S")
_LOOK_BACK = 48


def read(span: str, continental: bool = False) -> Reading:
    """Return what `span` (already `typed`) says where an answer is expected.

    Args:
        span: The text at the mark: the rest of a line, the content of a box, a sentence.
        continental: See `numbers.number_of`.
    """
    text = plain(span).replace("->", "=>").strip().rstrip("#").rstrip()
    if _DENIAL.match(text):
        return Reading(Shape.NONE)
    return _leading(_without_lead_in(text), continental) or _words(text, continental)


def stated(sentence: str, continental: bool = False) -> list[Stated]:
    """Return the numbers that `sentence` (already `plain`) states, in order.

    Left out: numbers that are denied ("not 18"), compared with ("more than 18"), step labels ("Step 3"), list numbers at the
    line's start, ordinals ("5th"), and digits inside a word.
    """
    found = []
    for match in QUANTITY.finditer(sentence):
        start, end = match.span()
        before = sentence[max(0, start - _LOOK_BACK) : start]
        if not _is_label(sentence, before, end):
            number = None if sentence[end : end + 1] == "^" else number_of(match, continental)
            negative = number is not None and _is_negated(before)
            found.append(Stated(start, end, number.negative() if number is not None and negative else number))
    return found


def _is_negated(before: str) -> bool:
    """Return whether a minus sign, or its word, stands before a number and subtracts from nothing."""
    last = before.rstrip()[-4:].lower()
    if last.endswith("-"):
        return _MINUS_BEFORE.search(before) is not None
    return last in ("inus", "tive") and _MINUS_IN_WORDS.search(before) is not None


def only_number(numbers: list[Stated]) -> Number | None:
    """Return the one number that all of `numbers` are equal to, or None."""
    first = numbers[0].number if numbers else None
    if first is None or any(other.number is None or not same(first, other.number) for other in numbers[1:]):
        return None
    return first


def _without_lead_in(text: str) -> str:
    match = _LEAD_IN.match(text)
    return text[match.end() :] if match else text


def _leading(text: str, continental: bool) -> Reading | None:
    """Read a text that begins with a number; None if it does not."""
    begin = _begin(text, 0, continental)
    if begin is None:
        return None
    number, end = begin
    return Reading(Shape.CHOICE) if number is None else _with_rest(number, text[end:], continental)


def _begin(text: str, start: int, continental: bool) -> tuple[Number | None, int] | None:
    """Return the signed number that begins at `start`, and where it ends."""
    sign = _SIGN.match(text, start)
    match = QUANTITY.match(text, sign.end() if sign else start)
    if match is None:
        return None
    number = number_of(match, continental)
    return (number.negative() if number is not None and sign and sign[1] != "+" else number), match.end()


def _with_rest(number: Number, rest: str, continental: bool) -> Reading:
    """Read what follows the number that a text begins with: is it the answer, or the first of several, or only a beginning?"""
    rest = _without_reason(rest)
    end = _CLAUSE_END.search(rest)
    clause = rest[: end.start()] if end else rest
    if "=" in clause:
        return _equation(rest, continental)
    rounded = _ROUNDED.search(clause)
    if rounded:
        return _leading(clause[rounded.end() :], continental) or Reading(Shape.NONE)
    if _ARITHMETIC_WORD.match(clause):
        return Reading(Shape.PROSE)
    choice = Reading(Shape.CHOICE) if _JUXTAPOSED.match(clause) else _choice(number, rest, continental)
    if choice:
        return choice
    return Reading(Shape.EXPRESSION) if _OPERATOR.match(clause) or "\\" in clause else Reading(Shape.NUMBER, number)


def _choice(number: Number, rest: str, continental: bool) -> Reading | None:
    """Read what offers a second number; None if nothing does, or if the two are a subtraction."""
    between = _RANGE.match(rest)
    joined = between or _ALTERNATIVE.match(rest)
    if joined is None:
        return None
    offered = _begin(rest, joined.end(), continental)
    second = offered[0] if offered else None
    if second is not None and same(number, second):
        return Reading(Shape.NUMBER, second if number.factor is None else number)
    is_subtraction = between is not None and between[1] == "-" and second is not None and second.value < number.value
    return None if is_subtraction else Reading(Shape.CHOICE)


def _equation(text: str, continental: bool) -> Reading:
    """Read what stands after the last equals sign."""
    if _ASSIGNMENTS.search(text):
        return Reading(Shape.CHOICE)
    right = _without_lead_in(text.rpartition("=")[2])
    return _leading(right, continental) or Reading(Shape.EXPRESSION if right.strip() else Shape.NONE)


def _words(text: str, continental: bool) -> Reading:
    """Read a text that does not begin with a number."""
    words = _without_reason(text)
    before, equals, after = words.partition("=")
    if equals and not _INEQUALITY.search(words):
        reading = _equation(equals + after, continental)
        names_a_variable = len(before) <= 40 and not any(char.isdigit() for char in before)
        return Reading(Shape.SENTENCE, reading.number) if reading.shape is Shape.NUMBER and not names_a_variable else reading
    if _SYMBOLIC.search(text) or _INEQUALITY.search(text):
        return Reading(Shape.EXPRESSION)
    numbers = stated(words, continental)
    if not numbers:
        return Reading(Shape.NONE)
    number = only_number(numbers)
    return Reading(Shape.PROSE) if number is None else Reading(Shape.SENTENCE, number)


def _without_reason(text: str) -> str:
    reason = _REASON.search(text)
    return text[: reason.start()] if reason else text


def _is_label(sentence: str, before: str, end: int) -> bool:
    """Return whether the digits that end at `end`, after `before`, are no statement of the sentence."""
    if before[-1:].isalpha() or before[-1:] in ("_", "^"):
        return True
    folded = before.lower()
    if any(word in folded for word in _DENYING) and _DENIED_BEFORE.search(before):
        return True
    if _is_ordinal(sentence, end) or _follows_label(folded):
        return True
    return not before.strip(" \t>#*-") and _ENUMERATOR.match(sentence, end) is not None


def _is_ordinal(sentence: str, end: int) -> bool:
    return sentence[end : end + 2].lower() in _ORDINALS and not sentence[end + 2 : end + 3].isalpha()


def _follows_label(folded: str) -> bool:
    last = folded.rstrip(" #").rsplit(None, 1)[-1:]
    return bool(last) and last[0].strip("(#*.") in _LABELS
