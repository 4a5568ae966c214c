"""Are the equations that a solution states true? `14 - 7 = 5 cookies. #### 7` has a right answer and a false equation.

Only what is plainly false counts: numbers and the operators `+ - * /` with brackets, on the left of an equals sign, a number on
its right. What cannot be read for sure is neither true nor false: a variable, a left side that is the end of something longer
("half of 10 + 2"), unlike units ("1 hour + 30 = 90"), and a result that differs by a factor between common units (100, 60, 12:
"3 * 20 = 0.60"). These are true:

- a chain, by its first number or by its whole side: `2 + 3 = 5 * 4 = 20`;
- a value that is rounded, up or down, at the last decimal that stands there: `10 / 3 = 3.33`, `15 / 2 = 7`;
- a percentage in either reading: `50% * 40 = 20`, `100% - 20% = 80%`.

A sign such as `≈` states no equation. A range written with a minus sign ("from 9 - 5 = 8 hours") is read as the subtraction
that it looks like.
"""

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from tpt_runtime.core.choices import VerifierType
from tpt_runtime.verify.text import plain, typed

WITH_EQUATIONS = frozenset({VerifierType.MATH, VerifierType.GSM8K_STRICT})
"""Verifiers of solutions in prose, whose equations mean what they say."""

_APPROXIMATE = re.compile(r"[≈≅≃]|\\(?:approx|simeq|sim)(?![a-zA-Z])")
_ANNOTATION = re.compile(r"<<([^<>\n]{1,200})>>")
_TIMES = re.compile(r"(?<=[\d)%])(?:[ \t]+[xX][ \t]+(?=[-(.]?\d)|[xX](?=[(.]?\d))")
_CLOCK = re.compile(r"0\d")
_STATEMENT_END = re.compile(r"[.;!?:](?=\s|$)|,(?=\s)|\n")
_BULLET = re.compile(r"\s*(?:[-*+#>|]+\s+|\(?\d{1,2}\)\s)+")
_TOKEN = re.compile(
    r"(?P<number>\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?P<percent>\s*(?:%|percent\b))?"
    r"|(?P<sign>[-+*/()=])|(?P<word>[^\W\d_]+)|(?P<other>\S)"
)
_GOES_ON = frozenset(
    {
        *("times", "plus", "minus", "by", "per", "twice", "double", "thrice", "triple", "half", "third", "quarter", "than"),
        *("less", "more", "dozen", "hundred", "thousand", "million", "squared", "cubed", "of"),
    }
)
"""A left side behind one of these is only the end of what is meant."""
_TOTALS = frozenset({"total", "sum", "product", "difference"})
"""Behind "the total of" a left side is all of what is meant."""
_CONVERSIONS = frozenset(map(Fraction, (3, 7, 10, 12, 16, 20, 24, 30, 36, 52, 60, 100, 144, 360, 365, 1000, 1440, 3600, 10**6)))
_MOST_SIGNS = 200
"""Equals signs that are looked at: a text with more repeats itself."""
_LONGEST_STATEMENT = 2000
_MOST_TOKENS = 40
_LONGEST_NUMBER = 30
_OPERATIONS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: Fraction.__add__,
    ast.Sub: Fraction.__sub__,
    ast.Mult: Fraction.__mul__,
    ast.Div: Fraction.__truediv__,
}

Tokens = Sequence[re.Match[str]]


@dataclass(frozen=True, slots=True)
class Equation:
    """An equation as it was stated."""

    text: str
    holds: bool | None
    """None where it cannot be told."""


def has_false_equation(solution: str) -> bool:
    """Return whether `solution` states an equation that is plainly false."""
    return any(equation.holds is False for equation in stated_equations(solution))


def stated_equations(solution: str) -> Iterator[Equation]:
    """Yield the equations of `solution` with arithmetic on their left, those of annotations (`<<9*2=18>>`) first."""
    if "=" not in solution:
        return
    text = typed(_APPROXIMATE.sub(" about ", solution))
    signs = 0
    for whole in (*_ANNOTATION.findall(text), *_STATEMENT_END.split(_TIMES.sub(" * ", plain(text)))):
        statement = whole[:_LONGEST_STATEMENT]
        if "=" in statement and signs < _MOST_SIGNS:
            signs += statement.count("=")
            yield from _in_statement(statement)


def _in_statement(statement: str) -> Iterator[Equation]:
    bullet = _BULLET.match(statement)
    tokens = list(_TOKEN.finditer(statement, bullet.end() if bullet else 0))
    places = [place for place, token in enumerate(tokens) if token[0] == "="]
    ends = [*places[1:], len(tokens)]
    for before, place, end in zip([-1, *places[:-1]], places, ends, strict=True):
        left, right = _left(tokens[before + 1 : place]), _right(tokens[place + 1 : end])
        if any(token["sign"] for token in left) and any(token["number"] for token in left) and right:
            yield Equation(statement[left[0].start() : right[-1].end()].strip(), _holds(tokens, left, right))


def _left(segment: Tokens) -> Tokens:
    """Return the arithmetic that `segment` ends in, units included."""
    start, depth = len(segment), 0
    while start and len(segment) - start < _MOST_TOKENS:
        token = segment[start - 1]
        if token["other"] or (token["sign"] == "(" and not depth) or (token["word"] and not _is_unit(segment, start - 1)):
            break
        if start < len(segment) and token["number"] and segment[start]["number"]:
            break
        depth += {")": 1, "(": -1}.get(token[0], 0)
        start -= 1
    return segment[start:]


def _is_unit(segment: Tokens, place: int) -> bool:
    """Return whether the word at `place` follows a number and is followed by an operator or by nothing."""
    follows = segment[place - 1]["number"] if place else None
    ends = place + 1 == len(segment) or segment[place + 1]["sign"] not in (None, "(")
    return bool(follows) and ends


def _right(segment: Tokens) -> Tokens:
    """Return the arithmetic that `segment` begins with; empty where it begins with something else."""
    end = 0
    while end < min(len(segment), _MOST_TOKENS) and (segment[end]["sign"] or segment[end]["number"]):
        end += 1
    while end and segment[end - 1][0] in "+-*/(":
        end -= 1
    return segment[:end] if any(token["number"] for token in segment[:end]) else ()


def _holds(tokens: Tokens, left: Tokens, right: Tokens) -> bool | None:
    """Return whether an equation is true; None where a side, or what stands around it, is not plain."""
    number = next(token for token in right if token["number"])
    decimals = len(number["number"].partition(".")[2])
    values = [value for percent in _percents(left) if (value := _value(left, percent)) is not None]
    firsts = [first for percent in _percents(right) if (first := _first(right, number, percent)) is not None]
    if not values or not firsts:
        return None
    if any(_rounds_to(value, first, decimals) for value in values for first in firsts):
        return True
    if len(right) > 1 and any(_value(right, percent) in values for percent in _percents(right)):
        return True
    converted = any(first and value and max(value / first, first / value) in _CONVERSIONS for first in firsts for value in values)
    is_plain = _opens(tokens, left) and _closes(tokens, right) and _is_plain(left)
    return None if converted or not is_plain else False


def _percents(side: Tokens) -> tuple[Fraction, ...]:
    """Return what a percent sign in `side` may stand for."""
    return (Fraction(1), Fraction(1, 100)) if any(token["percent"] for token in side) else (Fraction(1),)


def _opens(tokens: Tokens, left: Tokens) -> bool:
    """Return whether nothing before `left` belongs to it."""
    place = tokens.index(left[0])
    if left[0]["sign"] not in (None, "(") or not place:
        return not place or tokens[place - 1][0] == "="
    before, word = tokens[place - 1], tokens[place - 1]["word"]
    if word:
        total = word == "of" and place > 1 and tokens[place - 2][0].lower() in _TOTALS
        return total or (len(word) > 1 and word.lower() not in _GOES_ON)
    return before[0] in '="' or (before[0] == "(" and (place < 2 or not tokens[place - 2]["sign"]))


def _closes(tokens: Tokens, right: Tokens) -> bool:
    """Return whether nothing behind `right` belongs to it."""
    place = tokens.index(right[-1]) + 1
    if place == len(tokens):
        return True
    after = tokens[place]
    if after["word"]:
        return after.start() > right[-1].end() or len(after[0]) > 1
    return after[0] in '="|)#'


def _is_plain(left: Tokens) -> bool:
    """Return whether `left` can be read in one way: no fraction is divided by, no time of day, no unlike units, no variable."""
    if sum(token["sign"] == "/" for token in left) > 1 or any(_CLOCK.match(token[0]) for token in left):
        return False
    units = [token["word"].lower().rstrip("s") for token in left if token["word"]]
    if not units:
        return True
    added = all(token["sign"] in (None, "+", "-") for token in left)
    return added and len(set(units)) == 1 and len(units[0]) > 1 and len(units) == sum(bool(token["number"]) for token in left)


def _first(side: Tokens, number: re.Match[str], percent: Fraction) -> Fraction | None:
    """Return the number that `side` begins with, signed; `number` is its first."""
    before = side[: side.index(number)]
    if len(number["number"]) > _LONGEST_NUMBER or any(token[0] != "-" for token in before):
        return None
    value = _number(number, percent)
    return -value if len(before) % 2 else value


def _value(side: Tokens, percent: Fraction) -> Fraction | None:
    """Return the value of `side`, a percent sign standing for `percent`; None if it has none."""
    numbers = [token for token in side if token["number"]]
    if len(side) >= _MOST_TOKENS or any(len(token["number"]) > _LONGEST_NUMBER for token in numbers):
        return None
    names = {f"n{token.start()}": _number(token, percent) for token in numbers}
    text = " ".join(f"n{token.start()}" if token["number"] else token["sign"] or "" for token in side)
    try:
        return _evaluate(ast.parse(text.strip(), mode="eval").body, names)
    except (SyntaxError, ZeroDivisionError):
        return None


def _number(token: re.Match[str], percent: Fraction) -> Fraction:
    return Fraction(token["number"].replace(",", "")) * (percent if token["percent"] else 1)


def _evaluate(node: ast.expr, names: dict[str, Fraction]) -> Fraction | None:
    """Return the value of an expression of `names`; None if it is more than plain arithmetic."""
    if isinstance(node, ast.Name):
        return names[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _evaluate(node.operand, names)
        return -value if value is not None and isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        left, right = _evaluate(node.left, names), _evaluate(node.right, names)
        return None if left is None or right is None else _OPERATIONS[type(node.op)](left, right)
    return None


def _rounds_to(value: Fraction, stated: Fraction, decimals: int) -> bool:
    """Return whether `value` is `stated`, or has more than its `decimals` and lies less than a unit of the last one away."""
    unit = Fraction(1, 10**decimals)
    return value == stated or (value % unit != 0 and abs(value - stated) < unit)
