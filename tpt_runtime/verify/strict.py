"""`GSM8KStrict`: the regular expression that published GSM8K figures of this method were graded by, defects included.

The first `####` that is followed by digits counts, and strings are compared: `#### $18`, `#### 18.` and `#### 1080` against
`1,080` are wrong. It exists to reproduce those figures exactly and must not be improved; `Math` is the verifier to prune with.
"""

import re
from dataclasses import dataclass

from tpt_runtime.core.verdict import Verdict
from tpt_runtime.verify.protocol import GSM8K_STRICT, Grade

_ANSWER = re.compile(r"####\s*(-?[\d.,]+)")
_BARE = re.compile(r"-?[\d.,]+")


@dataclass(frozen=True, slots=True)
class GSM8KStrict:
    """Compares what follows the first `####` with the reference, as strings."""

    name: str = GSM8K_STRICT

    def check_reference(self, reference: str) -> str | None:
        """Return why no solution could ever match `reference`, or None."""
        answer = strict_reference(reference)
        if answer is not None and _BARE.fullmatch(answer):
            return None
        return f"GSM8KStrict matches digits, points and commas only, after #### or alone; found {reference[-60:]!r}"

    def is_quick(self, reference: str) -> bool:  # noqa: ARG002 - whatever it is
        """Return that it is."""
        return True

    def grade_quickly(self, solution: str, reference: str) -> Grade | None:
        """Return the grade: one regular expression is always quick."""
        return self.grade(solution, reference)

    def grade(self, solution: str, reference: str) -> Grade:
        """Return the grade of `solution`; a bare reference is taken as it is, comma included."""
        found = _ANSWER.search(solution)
        if found is None:
            return Grade(Verdict.UNPARSEABLE)
        answer = found.group(1)
        verdict = Verdict.CORRECT if answer == strict_reference(reference) else Verdict.WRONG
        return Grade(verdict, answer, marked=True, pattern="####")

    def warm_up(self) -> None:
        """Do nothing: nothing is imported late."""


def strict_reference(reference: str) -> str | None:
    """Return the answer of a reference that is a GSM8K solution (None if it has none), or a bare reference as it is."""
    if "####" not in reference:
        return reference.strip()
    found = _ANSWER.search(reference)
    return found.group(1) if found else None
