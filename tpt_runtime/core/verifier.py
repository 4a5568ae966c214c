"""How solutions are graded: the part of a spec that names a verifier, with the settings of each."""

from typing import Annotated

from pydantic import Field

from tpt_runtime.core.choices import Language, Protection, VerifierType, Whitespace
from tpt_runtime.core.model import MUTABLE, Fraction, Model


class Code(Model):
    """How generated programs are run; what they may do, and what not, is in docs/code.md."""

    language: Language = Language.PYTHON
    """Python, Perl or Bash: which block of code is the answer, and what runs it. Tests that call a program need Python."""
    test_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 2.0
    """Longest time of one test; timeoutSeconds bounds all tests of a program together."""
    memory_mebibytes: Annotated[int, Field(ge=64, le=65536)] = 512
    """Memory that a program may ask for; as many programs run at once as there are cores."""
    whitespace: Whitespace = Whitespace.LINES
    """Lines: spaces inside a line and empty lines at the end do not count. Tokens: nor do line breaks. Exact: all but the end."""
    tolerance: Fraction | None = None
    """Largest difference of decimal fractions, relative above 1; whole numbers are compared as they stand. Default: 0.000001."""


class Command(Model):
    """A verifier of your own: a program that reads one JSON object a line, and writes one verdict a line."""

    argv: Annotated[list[Annotated[str, Field(min_length=1, max_length=1024)]], Field(min_length=1, max_length=64)]
    """The program and its arguments. Change an argument when the program changes: only this text decides what is graded anew."""
    memory_mebibytes: Annotated[int, Field(ge=64, le=1048576)] = 4096
    """Memory that one copy of it may ask for; as many run at once as there are cores."""


class Verifier(Model):
    """How a solution is graded."""

    type: VerifierType = VerifierType.MATH
    """Math: numbers or expressions. GSM8KStrict: as in published figures. Code: programs, by tests. Command: your own program."""
    require_marker: bool = True
    """Train only on answers that were marked (`####`, a box, "the answer is"; a block of code), not on those found without."""
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 5.0
    """Longest time one verdict may take; past it the sample counts as timed out."""
    code: Code | None = None
    """How programs are run; only with type Code."""
    command: Command | None = None
    """The program that gives the verdicts; with type Command, and only there."""
    sandbox: Annotated[Protection, MUTABLE] = Protection.REQUIRED
    """Type Code. Required: run no program where it cannot be contained. BestEffort: run it with what protection there is."""
