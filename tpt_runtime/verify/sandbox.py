"""Runs generated programs where they can do no harm, and says how they ended.

A warm interpreter (`warm`) forks each program; the fork gives up, before it reads the program, what it must not have (`confine`):
other files than the interpreter's, writing, network, new processes, signals to others, capabilities. This side sets time and
memory limits and looks at long runs for threads. A program gets a text to read and a place to print to, both in memory. It is
unprivileged and the same on a laptop and in a pod of the `restricted` standard.

Where the kernel cannot do all of it, it does what it can: whether that is enough is decided in `protection`.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tpt_runtime.core.errors import StepFailed
from tpt_runtime.verify.probe import WALLS

START_SECONDS = 60.0
LOOK_SECONDS = 0.02
"""How often a program that runs longer than this is looked at."""
MOST_THREADS = 64
SPARE_SECONDS = 1
KEPT_OF_ERRORS = 300
START = "import sys; sys.path.insert(0, {root!r}); from tpt_runtime.verify.warm import serve; del sys.path[0]; serve({order})"
ROOT = str(Path(__file__).parents[2])
MAX_DATAGRAM = 65536


class Ended(StrEnum):
    """How a program ended."""

    BY_ITSELF = "by itself"
    TIME_LIMIT = "time limit"
    OUTPUT_LIMIT = "output limit"
    THREAD_LIMIT = "thread limit"
    BY_SIGNAL = "by a signal"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use."""

    seconds: float = 2.0
    """Wall-clock time; the time it may compute is rounded up from it."""
    memory_bytes: int = 512 * 1024**2
    """Address space, that of the interpreter included."""
    output_bytes: int = 16 * 1024**2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a program."""

    ended: Ended
    code: int
    """Exit code, or minus the signal."""
    output: bytes
    error: str
    """The end of what it wrote to standard error."""
    kilobytes: int
    """Most memory that was resident."""


@dataclass(slots=True)
class _Run:
    """A forked process."""

    pid: int
    output: int
    errors: int
    limits: Limits
    report: dict[str, Any] | None = None
    cut: Ended | None = None
    """Why it was ended, if it was."""


@dataclass(slots=True)
class Sandbox:
    """A warm interpreter and what it forks; a context manager. One program, or a program and its tests, at a time."""

    interpreter: str | None = None
    """Path of the interpreter of programs that are not Python."""
    reads: tuple[str, ...] = ()
    """Folders that it reads, besides shared libraries."""
    forked: int = 0
    """Processes so far."""
    _orders: socket.socket | None = None
    _process: "subprocess.Popen[bytes] | None" = None
    _runs: dict[int, _Run] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """Start the interpreter."""
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End it, and all that it has forked."""
        self.close()

    def start(self) -> None:
        """Start the interpreter unless it runs."""
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        order = f"{theirs.fileno()}, {os.getpid()}, {self.interpreter!r}, {self.reads!r}"
        command = [sys.executable, "-P", "-s", "-S", "-B", "-X", "utf8", "-c", START.format(root=ROOT, order=order)]
        with theirs:
            self._process = subprocess.Popen(
                command,
                env={"PYTHONHASHSEED": "0"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._orders.settimeout(START_SECONDS)
        if not self._orders.recv(MAX_DATAGRAM):
            said = self._process.stderr.read().decode(errors="replace")[-KEPT_OF_ERRORS:] if self._process.stderr else ""
            self.close()
            raise StepFailed(f"the interpreter that programs are forked from did not start: {said}")

    @property
    def pid(self) -> int | None:
        """Return the process id of the interpreter, None where it does not run."""
        return None if self._process is None else self._process.pid

    def close(self) -> None:
        """End the interpreter and all that it has forked."""
        if self._orders is not None:
            self._orders.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stderr is not None:
                self._process.stderr.close()
        self._orders, self._process, self._runs = None, None, {}

    def run(self, program: bytes, given: bytes, limits: Limits, argv: list[str] | None = None) -> Outcome:
        """Run a program that reads `given` and prints; `argv` says how one that is not Python is started."""
        with _file(program) as text, _file(given) as standard_input:
            role, also = ("other", [text.number]) if argv else ("main", [])
            run = self._fork(role, [text, standard_input], also, limits, argv)
        return self._outcome(run, time.monotonic() + limits.seconds)

    def try_out(self, program: bytes, tests: bytes, limits: Limits) -> tuple[Outcome, Outcome]:
        """Load a Python program in one process, and in another the tests that call it. Return what came of both."""
        to_program, to_tests = os.pipe(), os.pipe()
        try:
            with _file(program) as text, _file(b"") as nothing:
                loaded = self._fork("program", [text, nothing], [to_program[0], to_tests[1]], limits)
            with _file(tests) as text, _file(b"") as nothing:
                trial = self._fork("tests", [text, nothing], [to_tests[0], to_program[1]], limits)
        finally:
            for end in (*to_program, *to_tests):
                os.close(end)
        tried = self._outcome(trial, time.monotonic() + limits.seconds)
        return self._outcome(loaded, time.monotonic()), tried

    def probe(self) -> dict[str, bool]:
        """Return for each wall whether it holds, as tried from inside."""
        with _place_to_write() as folder, _file(b"") as nothing:
            about = {"folder": folder, "process": os.getpid()}
            with _file(json.dumps(about).encode()) as text:
                run = self._fork("probe", [text, nothing], [], Limits())
            outcome = self._outcome(run, time.monotonic() + START_SECONDS)
        if outcome.code != 0:
            raise StepFailed(f"the sandbox could not be tried out: {outcome.ended}, code {outcome.code}: {outcome.error}")
        return {wall: json.loads(outcome.output)[wall] for wall in WALLS}

    def _fork(self, role: str, texts: list["_File"], pipes: list[int], limits: Limits, argv: list[str] | None = None) -> _Run:
        self.start()
        output, errors = _memory(), _memory()
        order = {
            "fork": role,
            "pipes": len(pipes),
            "memory": limits.memory_bytes,
            "output": limits.output_bytes,
            "cpu": int(limits.seconds) + SPARE_SECONDS + 1,
            "argv": argv or [],
        }
        descriptors = [*(text.number for text in texts), output, errors, *pipes]
        socket.send_fds(self._socket(), [json.dumps(order).encode()], descriptors)
        report = self._next_report(START_SECONDS)
        while report is not None and "status" in report:  # of one that ended meanwhile
            self._take(report)
            report = self._next_report(START_SECONDS)
        if report is None:
            raise StepFailed("the interpreter that programs are forked from does not answer")
        self.forked += 1
        run = self._runs[report["pid"]] = _Run(report["pid"], output, errors, limits)
        return run

    def _outcome(self, run: _Run, deadline: float) -> Outcome:
        """Wait until a process has ended, or end it."""
        try:
            while run.report is None:
                left = deadline - time.monotonic()
                if run.cut is None and (left <= 0 or _threads(run.pid) > MOST_THREADS):
                    run.cut = Ended.TIME_LIMIT if left <= 0 else Ended.THREAD_LIMIT
                    self._socket().send(json.dumps({"end": run.pid}).encode())
                report = self._next_report(START_SECONDS if run.cut else min(LOOK_SECONDS, left))
                if report is not None:
                    self._take(report)
                elif run.cut:
                    raise StepFailed(f"a program could not be ended within {START_SECONDS:g} s")
            return _told(run, run.report)
        finally:
            os.close(run.output)
            os.close(run.errors)

    def _take(self, report: dict[str, Any]) -> None:
        run = self._runs.pop(report["pid"], None)
        if run is not None:
            run.report = report

    def _next_report(self, seconds: float) -> dict[str, Any] | None:
        """Return what the interpreter says next, None if it says nothing for so long."""
        orders = self._socket()
        if not select.select([orders], [], [], max(0.0, seconds))[0]:
            return None
        text = orders.recv(MAX_DATAGRAM)
        if not text:
            self.close()
            raise StepFailed("the interpreter that programs are forked from has ended")
        found: dict[str, Any] = json.loads(text)
        return found

    def _socket(self) -> socket.socket:
        if self._orders is None:
            raise StepFailed("the sandbox is closed")
        return self._orders


@dataclass(frozen=True, slots=True)
class _File:
    """A text in memory that a program reads from its beginning; a context manager."""

    number: int

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.number)


def _file(content: bytes) -> _File:
    number = _memory()
    view = memoryview(content)
    while view:
        view = view[os.write(number, view) :]
    os.lseek(number, 0, os.SEEK_SET)
    return _File(number)


@contextmanager
def _place_to_write() -> Iterator[str]:
    """Give a folder that this process may write to; where there is none at all, nobody writes to the root folder either."""
    try:
        made = tempfile.TemporaryDirectory()
    except FileNotFoundError:
        yield "/"
        return
    with made as folder:
        yield folder


def _memory() -> int:
    return os.memfd_create("tpt", os.MFD_CLOEXEC)


def _threads(pid: int) -> int:
    """Return how many threads a process has; 0 once it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/task").stat().st_nlink - 2
    return 0


def _told(run: _Run, report: dict[str, Any]) -> Outcome:
    size, written = os.fstat(run.output).st_size, os.fstat(run.errors).st_size
    output = os.pread(run.output, size, 0)
    error = os.pread(run.errors, KEPT_OF_ERRORS, max(0, written - KEPT_OF_ERRORS)).decode(errors="replace").strip()
    code = report["status"]
    if run.cut is not None:
        ended = run.cut
    elif code == -signal.SIGXCPU:
        ended = Ended.TIME_LIMIT
    elif code == -signal.SIGXFSZ or max(size, written) >= run.limits.output_bytes:
        ended = Ended.OUTPUT_LIMIT
    else:
        ended = Ended.BY_SIGNAL if code < 0 else Ended.BY_ITSELF
    return Outcome(ended, code, output, error, report["kilobytes"])
