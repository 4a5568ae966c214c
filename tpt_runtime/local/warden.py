"""The program between `tpt run` and one process of a step: `python -m tpt_runtime.local.warden FOLDER GRACE COMMAND...`.

It starts COMMAND, waits for it, and writes `exit.json` into FOLDER. It ends COMMAND when it is told so on its standard input,
and when that input ends, which is what happens when `tpt run` is killed, however hard: no step outlives the run that started
it. As in a pod, the request to stop (SIGTERM) goes to COMMAND alone, which knows how to end what it started; what is left GRACE
seconds later, or when COMMAND has ended, is killed, wherever it has moved to (on Linux; elsewhere, its process group).

It does not know what a step is, and holds no state. That it lives is seen from the lock on FOLDER's `alive`, which it inherits.
"""

import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from tpt_runtime.artifacts.files import write_json

ALIVE = "alive"
"""Locked (flock) as long as a warden lives."""
EXIT = "exit.json"
"""Written when the step's process has ended: code (negative: that signal), stopped, finished."""
PROCESS = "process.json"
"""Written when it has begun: pid, for people."""
STOP = b"s"
KILL = b"k"

PARTING_SECONDS = 2.0
"""How long what a step leaves behind may take to end by itself, as Python's resource tracker does."""
KILLING_SECONDS = 10.0
"""How long to wait for what was killed; a process stuck in the kernel is given up."""
LOOK_SECONDS = 0.02

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Carry out the command line."""
    folder, grace, command = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None
    if prctl is not None:
        prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphans of the step become ours, whatever session they are in

    def die_with_us() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    with _woken_by_signals() as wakeups:
        # There are no threads here, so the child may run Python before it becomes the command.
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_us,  # noqa: PLW1509
        )
        write_json(folder / PROCESS, {"pid": child.pid})
        code, stopped, killed = _watch(child.pid, wakeups, grace)
        child.returncode = code
        _end_leftovers(child.pid, 0.0 if killed else PARTING_SECONDS)
    write_json(folder / EXIT, {"code": code, "stopped": stopped, "finished": _now()})
    return 0


def _watch(pid: int, wakeups: socket.socket, grace: float) -> tuple[int, bool, bool]:
    """Wait for `pid`; return its exit code, whether it was asked to stop, and whether it was killed for that."""
    inputs: list[int] = [sys.stdin.fileno()]
    kill_at: float | None = None
    killed = False
    while (code := _reap(pid)) is None:
        left = None if kill_at is None or killed else max(0.0, kill_at - time.monotonic())
        sources: list[int | socket.socket] = [*inputs, wakeups]
        ready, _, _ = select.select(sources, [], [], left)
        request = _request(ready, inputs, wakeups)
        if request and kill_at is None:
            kill_at = time.monotonic() + grace
            os.kill(pid, signal.SIGTERM)
        if kill_at is not None and not killed and (request == KILL or time.monotonic() >= kill_at):
            killed = True
            os.kill(pid, signal.SIGKILL)
    return code, kill_at is not None, killed


def _request(ready: list[int | socket.socket], inputs: list[int], wakeups: socket.socket) -> bytes:
    """Return STOP or KILL if `tpt run`, its end, or a SIGTERM asks for it."""
    asked = b""
    if wakeups in ready and signal.SIGTERM in wakeups.recv(64):
        asked = STOP
    if inputs and inputs[0] in ready:
        read = os.read(inputs[0], 1)
        asked = read or STOP
        if not read:
            inputs.clear()
    return asked


def _reap(pid: int) -> int | None:
    """Collect what has ended; return the exit code of `pid` if it is among that."""
    while True:
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended == 0:
            return None
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


def _end_leftovers(group: int, patience: float) -> None:
    """Wait `patience` seconds for what the step left behind, then kill it."""
    kill_at = time.monotonic() + patience
    give_up_at = kill_at + KILLING_SECONDS
    while _children_left() and (now := time.monotonic()) < give_up_at:
        if now >= kill_at:
            for pid in _children():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(LOOK_SECONDS)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _children_left() -> bool:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def _children() -> list[int]:
    """Return our children, which on Linux include the orphans below us."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(pid) for pid in listed.read_text().split()] if listed.exists() else []


@contextmanager
def _woken_by_signals() -> Iterator[socket.socket]:
    """Yield a socket that gets the number of every SIGCHLD and SIGTERM."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    with reader, writer:
        yield reader
        signal.set_wakeup_fd(-1)


def _now() -> str:
    return datetime.now(UTC).isoformat()


if __name__ == "__main__":
    sys.exit(main())
