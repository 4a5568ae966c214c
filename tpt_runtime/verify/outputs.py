"""Is this what the program should have given? Texts that it printed, and values that it returned. Pure.

White space: under Lines, words of a line may stand any distance apart and empty lines at the end do not count; under Tokens line
breaks do not count either; under Exact only white space at the very end is forgiven. Numbers: where the expected word is written
as a decimal fraction, a number within the tolerance is as good; whole numbers are compared as they stand.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

DECIMAL = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][+-]?\d+)?")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
LINES, TOKENS, EXACT = "Lines", "Tokens", "Exact"


def is_accepted(found: str, accepted: Iterable[str], whitespace: str, tolerance: float) -> bool:
    """Return whether a text that was printed equals one of those accepted.

    Args:
        found: What was printed.
        accepted: Texts, each of which is right.
        whitespace: Lines, Tokens or Exact.
        tolerance: Largest difference of two decimal fractions, absolute below 1 and relative above.
    """
    return any(_same_text(found, text, whitespace, tolerance) for text in accepted)


def _same_text(found: str, expected: str, whitespace: str, tolerance: float) -> bool:
    if whitespace == EXACT:
        return found.rstrip() == expected.rstrip()
    if whitespace == TOKENS:
        return _same_words(found.split(), expected.split(), tolerance)
    lines = found.rstrip().splitlines(), expected.rstrip().splitlines()
    return len(lines[0]) == len(lines[1]) and all(
        _same_words(mine.split(), other.split(), tolerance) for mine, other in zip(*lines, strict=True)
    )


def _same_words(found: Sequence[str], expected: Sequence[str], tolerance: float) -> bool:
    return len(found) == len(expected) and all(
        mine == other or _near(mine, other, tolerance) for mine, other in zip(found, expected, strict=True)
    )


def _near(found: str, expected: str, tolerance: float) -> bool:
    if not (DECIMAL.fullmatch(expected) and NUMBER.fullmatch(found)):
        return False
    return is_near(float(found), float(expected), tolerance)


def is_near(found: float, expected: float, tolerance: float) -> bool:
    """Return whether a number lies within the tolerance."""
    return math.isfinite(found) and math.isfinite(expected) and abs(found - expected) <= tolerance * max(1.0, abs(expected))


def same_value(found: Any, expected: Any, tolerance: float) -> bool:
    """Return whether a value that was returned equals one that a row of JSON expects.

    JSON knows neither tuples nor keys that are no text: a tuple is as good as a list, and keys are compared as text.
    """
    if isinstance(expected, float) and isinstance(found, int | float) and not isinstance(found, bool):
        return found == expected or is_near(found, expected, tolerance)
    if isinstance(expected, list) and isinstance(found, list | tuple):
        return len(found) == len(expected) and all(
            same_value(mine, other, tolerance) for mine, other in zip(found, expected, strict=True)
        )
    if isinstance(expected, dict) and isinstance(found, dict):
        keyed = {key if isinstance(key, str) else str(key): value for key, value in found.items()}
        return keyed.keys() == expected.keys() and all(same_value(keyed[key], expected[key], tolerance) for key in expected)
    return type(found) is type(expected) and bool(found == expected)
