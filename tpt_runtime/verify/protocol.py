"""What a verifier is, and the ones that exist, by name.

A verifier is a pure function of a solution and a reference. It sets itself no time limit: `pool` does, from outside the
process, because a limit inside one (signals, threads) cannot end a computation that is stuck in C code. It does not know how a
sample ended either: `truncated` is decided by whoever knows the finish reason.
"""

from dataclasses import dataclass
from typing import Protocol

from tpt_runtime.core.choices import VerifierType
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.core.verifier import Code as CodeSettings
from tpt_runtime.core.verifier import Verifier as Settings

MATH = "Math"
GSM8K_STRICT = "GSM8KStrict"
CODE = "Code"
COMMAND = "Command"
VERIFIER_NAMES = (MATH, GSM8K_STRICT)
"""Those that compare answers."""
SPARE_SECONDS = 5.0
"""A verifier that ends what it started by itself has this much longer than it, before it is ended too."""


@dataclass(frozen=True, slots=True)
class Grade:
    """What came of grading one solution."""

    verdict: Verdict
    answer: str | None = None
    """The final answer as it stood in the solution; None when none was found."""
    marked: bool = False
    """Whether it stood at a marker (`####`, a box, "the answer is", bold), not merely last."""
    pattern: str | None = None
    """Where the answer was found, such as `####`, `boxed` or `last number`; or why there is no verdict."""


class Verifier(Protocol):
    """Grades solutions; instances are small, immutable and picklable, since worker processes are handed a copy."""

    @property
    def name(self) -> str:
        """The name that a run gives in `verifier.type`."""

    def check_reference(self, reference: str) -> str | None:
        """Return why `reference` cannot be used, as a sentence for people, or None if it can.

        It may take long, so that untrusted data goes through `references`.
        """

    def is_quick(self, reference: str) -> bool:
        """Return whether `check_reference` takes far below a millisecond for sure."""

    def grade_quickly(self, solution: str, reference: str) -> Grade | None:
        """Return the same grade as `grade` where that takes far below a millisecond for sure, else None."""

    def grade(self, solution: str, reference: str) -> Grade:
        """Return the grade of `solution`; may take long, so that untrusted text goes through `pool`."""

    def warm_up(self) -> None:
        """Import what `grade` needs, so that no time limit counts it."""


def verifier(type_name: str, seconds: float = 5.0) -> Verifier:
    """Return the verifier called `type_name` as it is without settings; `seconds` is the longest time that one verdict may take.

    Raises:
        ConfigurationError: if there is none of that name; the message lists those that exist.
    """
    from tpt_runtime.verify.math import Math
    from tpt_runtime.verify.strict import GSM8KStrict

    if type_name == MATH:
        return Math()
    if type_name == GSM8K_STRICT:
        return GSM8KStrict()
    if type_name == CODE:
        return verifier_of(Settings(type=VerifierType.CODE, timeout_seconds=seconds))
    allowed = ", ".join((*VERIFIER_NAMES, CODE))
    raise ConfigurationError(f"verifier: {type_name!r} is not a verifier; allowed: {allowed}")


def verifier_of(settings: Settings) -> Verifier:
    """Return the verifier that a run asks for."""
    if settings.type.value == CODE:
        from tpt_runtime.verify.code import Code

        return Code(settings.code or CodeSettings(), settings.timeout_seconds, settings.sandbox)
    if settings.command is not None:
        from tpt_runtime.verify.command import Command

        return Command(tuple(settings.command.argv), settings.command.memory_mebibytes)
    return verifier(settings.type.value)


def time_limit(type_name: str, seconds: float) -> float:
    """Return after how many seconds a worker process is to be ended that still grades one solution."""
    return seconds + (SPARE_SECONDS if type_name == CODE else 0.0)
