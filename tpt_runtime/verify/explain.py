"""Why a verdict is what it is: the pattern, the place, both normal forms and the reason, as pairs of a name and words for people.

Nothing is graded here. The verdict is the verifier's; what is shown is what the verifier itself looked at, by its own functions.
Positions count the characters of the solution as it is read: typographic characters as they are typed in ASCII.
"""

from collections.abc import Iterator
from fractions import Fraction

from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.verify import symbolic
from tpt_runtime.verify.extract import find_answer, find_expression, marked_answers, own_text
from tpt_runtime.verify.marks import Found
from tpt_runtime.verify.math import read_reference
from tpt_runtime.verify.numbers import Number
from tpt_runtime.verify.pool import GradingPool
from tpt_runtime.verify.protocol import GSM8K_STRICT, MATH, Grade, time_limit, verifier
from tpt_runtime.verify.reading import Shape
from tpt_runtime.verify.references import References
from tpt_runtime.verify.strict import strict_reference
from tpt_runtime.verify.text import typed
from tpt_runtime.verify.traces import GradeRequest, Trace, known_grade, read_traces

Line = tuple[str, str]
SHAPES = {
    Shape.NUMBER: "one number",
    Shape.SENTENCE: "a sentence with one number",
    Shape.PROSE: "a text with different numbers, none of which is pointed out: it answers nothing",
    Shape.CHOICE: "several numbers, or digits that are no number: whoever offers a choice answers nothing",
    Shape.EXPRESSION: "an expression, which Math-Verify compares",
    Shape.NONE: "no number",
}
REASONS = {
    Verdict.CORRECT: "both sides are equal",
    Verdict.WRONG: "the two sides are not equal",
    Verdict.UNPARSEABLE: "no final answer was found: none is marked, and no last sentence states one",
    Verdict.TRUNCATED: "it was cut off at its length limit, and such a solution is never correct",
    Verdict.TIMED_OUT: "grading it took too long or too much memory",
}
_SHOWN = 160
_PASSED_OVER = 5


def explain_file(request: GradeRequest, line: int | None = None) -> Iterator[tuple[Trace, list[Line]]]:
    """Yield every trace of a file, or the one on `line`, with why its verdict is what it is.

    Raises:
        ConfigurationError: as `traces.grade_file` does; also if no trace stands on `line`.
    """
    chosen, found = verifier(request.verifier, request.timeout_seconds), False
    with (
        References(chosen, request.timeout_seconds) as references,
        GradingPool(chosen, time_limit(chosen.name, request.timeout_seconds), request.workers) as pool,
    ):
        traces = (trace for trace in read_traces(request.traces, references.check) if line in (None, trace.line))
        for trace, grade in pool.grade((trace, known_grade(trace) or trace.solution, trace.reference) for trace in traces):
            found = True
            yield trace, explain(chosen.name, trace.solution, trace.reference, grade)
    if not found:
        where = "no line" if line is None else f"not line {line}"
        raise ConfigurationError(f"{request.traces}: nothing to explain, {where} holds a trace")


def explain(verifier_name: str, solution: str, reference: str, grade: Grade) -> list[Line]:
    """Return why the verifier of that name gave `grade` to `solution`."""
    lines = [("verdict", grade.verdict.value)]
    if grade.verdict is Verdict.TRUNCATED:
        return [*lines, ("reason", REASONS[grade.verdict])]
    if verifier_name == GSM8K_STRICT:
        shown = ("reference", f"{_short(strict_reference(reference) or '')}, as a string")
        return [*lines, shown, *_looked_at(grade), ("reason", REASONS[grade.verdict])]
    if verifier_name != MATH:
        return [*lines, ("reference", _short(reference)), ("reason", grade.pattern or "none was given")]
    return lines + (_by_number if read_reference(reference).number else _by_expression)(solution, reference, grade)


def _looked_at(grade: Grade) -> list[Line]:
    return [
        ("pattern", grade.pattern or "none"),
        ("answer", "none" if grade.answer is None else f"{_short(grade.answer)}, as a string"),
    ]


def _by_number(solution: str, reference: str, grade: Grade) -> list[Line]:
    """Explain a comparison with a reference that is a number."""
    expected, found = read_reference(reference), find_answer(solution)
    lines = [("reference", f"{_short(expected.text)}, read as {_number(expected.number)}")]
    if found is None:
        return [*lines, *_cut(solution), ("reason", REASONS[Verdict.UNPARSEABLE])]
    lines += [("pattern", found.pattern), ("place", _place(solution, found.place)), ("answer", _answer(found))]
    if found.reading.shape is Shape.EXPRESSION and grade.verdict is not Verdict.TIMED_OUT:
        lines.append(("normal form", _expression(found.text, parsed=True)))
    return [*lines, *_passed_over(solution, found), *_cut(solution), ("reason", _reason(found, grade))]


def _by_expression(solution: str, reference: str, grade: Grade) -> list[Line]:
    """Explain a comparison with a reference that is no number."""
    expected, found = read_reference(reference).text, find_expression(solution)
    parsed = grade.verdict is not Verdict.TIMED_OUT and not symbolic.is_words(expected)
    lines = [("reference", _expression(expected, parsed))]
    if found is None:
        return [*lines, ("reason", REASONS[Verdict.UNPARSEABLE])]
    text, pattern = found
    lines += [("pattern", pattern), ("place", _place(solution, text)), ("answer", _expression(text, parsed))]
    same = symbolic.normal_form(text) == symbolic.normal_form(expected)
    how = "as strings" if same else "as words" if symbolic.is_words(expected) else "by Math-Verify"
    reason = REASONS[grade.verdict] + ("" if grade.verdict is Verdict.TIMED_OUT else f", compared {how}")
    return [*lines, *_cut(solution), ("reason", reason)]


def _answer(found: Found) -> str:
    number = found.reading.number
    return f"{_short(found.text)}, read as {_number(number) if number is not None else SHAPES[found.reading.shape]}"


def _reason(found: Found, grade: Grade) -> str:
    if found.reading.number is None and found.reading.shape is not Shape.EXPRESSION:
        return SHAPES[found.reading.shape]
    return REASONS[grade.verdict]


def _passed_over(solution: str, found: Found) -> list[Line]:
    """Return the answers at other marks, which a later one, or taking them back, has overruled."""
    others = [other for other in marked_answers(solution) if other != found]
    return [("passed over", f"{other.pattern}: {_answer(other)}") for other in others[-_PASSED_OVER:]]


def _cut(solution: str) -> list[Line]:
    kept, whole = own_text(solution).rstrip(), typed(solution).rstrip()
    if len(kept) == len(whole):
        return []
    return [("not read", f"from character {len(kept)} on, which begins another problem or turn: {_short(whole[len(kept) :])}")]


def _place(solution: str, place: str) -> str:
    start = own_text(solution).rfind(place)
    return f"characters {start} to {start + len(place)}: {_short(place)}"


def _number(number: Number | None) -> str:
    """Return everything that a number may mean."""
    if number is None:
        return "no number"
    value, *others = dict.fromkeys(number.readings())
    return _digits(value) + "".join(f", or {_digits(other)}" for other in others)


def _digits(value: Fraction) -> str:
    if value.denominator == 1 or any(value.denominator % prime == 0 for prime in (3, 7, 11, 13)):
        return str(value)
    return f"{value} ({float(value):.12g})"


def _expression(text: str, parsed: bool) -> str:
    form = symbolic.shown(text) if parsed and len(text) <= symbolic.MAX_LENGTH else None
    return f"{_short(text)}, normal form {_short(symbolic.normal_form(text))}" + (f", parsed as {form}" if form else "")


def _short(text: str) -> str:
    shown = text if len(text) <= _SHOWN else text[: _SHOWN // 2] + " ... " + text[-_SHOWN // 2 :]
    return '"' + shown.replace("\n", "\\n") + '"'
