"""`Command`: a verifier of the user's own, any program that reads one JSON object a line and writes one verdict a line.

    reads    {"solution": "...", "reference": "..."}
    writes   {"verdict": "correct"}, and if it likes "answer" (text), "marked" (default true) and "pattern" (why)

Each worker process of the pool has one copy of the program, started once, with an environment that holds no token. The pool ends
worker and program where a verdict takes too long. The program is trusted as the run itself is: it is limited, not contained.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tpt_runtime.core.errors import ConfigurationError, StepFailed
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.verify.protocol import COMMAND, Grade

FIELD = "spec.pruning.verifier.command.argv"
VERDICTS = tuple(verdict.value for verdict in (Verdict.CORRECT, Verdict.WRONG, Verdict.UNPARSEABLE))
HANDED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER")
"""What a program gets of the environment."""
PROGRAM_ENDED = "verifier ended"
LAUNCH = "import sys; sys.path.insert(0, {root!r}); from tpt_runtime.verify.launch import become; become({order})"
ROOT = str(Path(__file__).parents[2])
MEBIBYTE = 1024 * 1024
SHOWN = 300


@dataclass(slots=True)
class _Copy:
    """The program, running."""

    process: "subprocess.Popen[bytes]"
    errors: IO[bytes]
    """What it writes to standard error: a file, so that nothing waits for a reader."""

    def ask(self, line: bytes) -> bytes:
        """Return the line that it answers; empty once it has ended."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the program was started with pipes")
        with suppress(BrokenPipeError):
            self.process.stdin.write(line)
            self.process.stdin.flush()
        return self.process.stdout.readline()

    def last_words(self) -> str:
        """Return the end of its standard error."""
        end = self.errors.seek(0, os.SEEK_END)
        self.errors.seek(max(0, end - SHOWN))
        return self.errors.read().decode(errors="replace").strip()

    def close(self) -> None:
        """End it."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        self.process.kill()
        self.process.wait()
        self.errors.close()


@dataclass(slots=True)
class Command:
    """Has a program grade."""

    argv: tuple[str, ...]
    memory_mebibytes: int = 4096
    name: str = COMMAND
    _copy: _Copy | None = field(default=None, repr=False, compare=False)
    _works: bool = field(default=False, repr=False, compare=False)
    """Whether it has ever given a verdict."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the running program behind: it belongs to this process."""
        return Command, (self.argv, self.memory_mebibytes)

    def check_reference(self, reference: str) -> str | None:  # noqa: ARG002 - only the program knows what it can use
        """Return that it can be used."""
        return None

    def is_quick(self, reference: str) -> bool:  # noqa: ARG002 - nothing is checked
        """Return that it is."""
        return True

    def grade_quickly(self, solution: str, reference: str) -> Grade | None:  # noqa: ARG002 - the program is asked every time
        """Return None: asking another process is not quick."""
        return None

    def grade(self, solution: str, reference: str) -> Grade:
        """Return what the program says of `solution`; where it ends instead, it is started and asked once more.

        Raises:
            StepFailed: it answers with something else than a verdict, or ends before it has ever given one.
        """
        line = json.dumps({"solution": solution, "reference": reference}).encode() + b"\n"
        for _ in range(2):
            self.warm_up()
            copy = self._running()
            if answer := copy.ask(line):
                self._works = True
                return _grade(answer)
            words = copy.last_words()
            self.close()
            if not self._works:
                raise StepFailed(f"{FIELD}: {self.argv[0]} ended before it gave a verdict: {words or 'it said nothing'}")
        return Grade(Verdict.TIMED_OUT, pattern=PROGRAM_ENDED)

    def warm_up(self) -> None:
        """Start the program unless it runs."""
        if self._copy is not None:
            return
        argv = [self.find(), *self.argv[1:]]
        order = f"{os.getpid()}, {self.memory_mebibytes * MEBIBYTE}, {argv!r}"
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the copy
        process = subprocess.Popen(
            [sys.executable, "-P", "-s", "-S", "-c", LAUNCH.format(root=ROOT, order=order)],
            env={name: os.environ[name] for name in HANDED_ON if name in os.environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        self._copy = _Copy(process, errors)

    def find(self) -> str:
        """Return where the program lies.

        Raises:
            ConfigurationError: it is not there.
        """
        found = shutil.which(self.argv[0])
        if found is None:
            raise ConfigurationError(
                f"{FIELD}: {self.argv[0]!r} is no program on PATH and no path of one; install it (on a cluster: in the image of "
                "the prune step), or give its path"
            )
        return found

    def close(self) -> None:
        """End the program; the next grade starts it again."""
        if self._copy is not None:
            self._copy.close()
            self._copy = None

    def _running(self) -> _Copy:
        if self._copy is None:
            raise RuntimeError("a program that was warmed up is running")
        return self._copy


def _grade(line: bytes) -> Grade:
    """Return the verdict in a line."""
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("verdict") not in VERDICTS:
        raise StepFailed(
            f"{FIELD}: the program answered {line[:SHOWN].decode(errors='replace').strip()!r}; expected one JSON object a line, "
            f'such as {{"verdict": "correct"}}, its verdict one of {", ".join(VERDICTS)}'
        )
    answer, pattern = found.get("answer"), found.get("pattern")
    return Grade(
        Verdict(found["verdict"]),
        None if answer is None else str(answer),
        marked=bool(found.get("marked", True)),
        pattern=None if pattern is None else str(pattern),
    )
