"""The verifiers that are compared: `Math`, Math-Verify as it is used over whole solutions, and the strict regular expression."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tpt_runtime.core.verdict import Verdict
from tpt_runtime.verify.pool import GradingPool
from tpt_runtime.verify.protocol import GSM8K_STRICT, MATH, Grade, verifier
from tpt_runtime.verify.strict import strict_reference

MATH_VERIFY = "Math-Verify"
NAMES = (MATH, MATH_VERIFY, GSM8K_STRICT)
LONGEST_SECONDS = 60.0
"""For one verdict: only what is stuck takes so long, on a busy machine too."""
Pairs = Iterable[tuple[str, str]]
"""Solutions and references."""


def verdicts(name: str, pairs: Pairs) -> list[bool]:
    """Return whether each solution is right by the verifier of that name."""
    if name == MATH_VERIFY:
        judge = math_verify(timeout_seconds=5)
        return [judge(solution, reference) for solution, reference in pairs]
    return [grade.verdict is Verdict.CORRECT for grade in grades(name, pairs)]


def grades(name: str, pairs: Pairs) -> list[Grade]:
    """Return the grade of each solution by one of the project's verifiers."""
    with GradingPool(verifier(name), LONGEST_SECONDS, workers=1) as pool:
        return [grade for _, grade in pool.grade((None, solution, reference) for solution, reference in pairs)]


def math_verify(timeout_seconds: int | None) -> Callable[[str, str], bool]:
    """Return Math-Verify with its defaults: it searches the whole solution, and compares with the bare reference.

    Args:
        timeout_seconds: its own limit, by signal; None is quicker.
    """
    library = _library()
    parsed: dict[str, Any] = {}

    def judge(solution: str, reference: str) -> bool:
        answer = strict_reference(reference) or reference
        if answer not in parsed:
            text = answer if answer.replace(",", "").isdigit() else f"${answer}$"
            parsed[answer] = library.parse(text, parsing_timeout=timeout_seconds)
        found = library.parse(solution, parsing_timeout=timeout_seconds)
        return bool(library.verify(parsed[answer], found, timeout_seconds=timeout_seconds))

    return judge


def _library() -> Any:
    import logging

    import math_verify

    for name in ("math_verify.parser", "math_verify.grader"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return math_verify


def side_by_side(pairs: Sequence[tuple[str, str]]) -> dict[str, list[bool]]:
    """Return every verifier's verdicts on the same pairs, by name."""
    return {name: verdicts(name, pairs) for name in NAMES}
