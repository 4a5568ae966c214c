"""The languages that generated programs may be in: how their blocks are marked, and what runs them.

Python programs are forked from a warm interpreter, and tests may call into them. Programs of every other language are started
anew for each test, and tried by what they print. A further language is a further row here (and in `core.choices`).
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tpt_runtime.core.choices import Language
from tpt_runtime.core.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Interpreter:
    """What runs programs of one language."""

    tags: tuple[str, ...]
    """What stands behind the fence of a block of code, in lower case."""
    program: str | None = None
    """The program to start, found on PATH; None for Python's own way."""
    reads: tuple[str, ...] = ()
    """Folders that it reads, besides shared libraries."""

    def path(self) -> str | None:
        """Return where the program lies, None for Python.

        Raises:
            ConfigurationError: it is not on this machine.
        """
        if self.program is None:
            return None
        found = shutil.which(self.program)
        if found is None:
            raise ConfigurationError(
                f"spec.pruning.verifier.code.language: needs the program {self.program!r}, which is not on PATH here; install it "
                "(on a cluster: in the image of the prune step)"
            )
        return str(Path(found).resolve())


INTERPRETERS = {
    Language.PYTHON: Interpreter(("python", "py", "python3")),
    Language.PERL: Interpreter(("perl", "pl"), "perl", ("/usr/share/perl", "/usr/share/perl5", "/etc/perl")),
    Language.BASH: Interpreter(("bash", "sh", "shell"), "bash"),
}
PROGRAM_AT = "/dev/fd/3"
"""Where another interpreter finds the program's text."""
