"""What must not work inside the sandbox, tried out by a process that is inside it.

It runs where a program would. The one who decides whether programs may run at all (`sandbox`) compares the answer with what is
required; `tpt sandbox` prints it.
"""

import os
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

WALLS = {
    "reading": "programs read no files but the interpreter's",
    "writing": "programs write no files",
    "network": "programs have no network",
    "processes": "programs start no processes",
    "signals": "programs signal no other process",
    "privileges": "programs have no capabilities and gain none",
}
"""What has to hold, by the name that messages use."""

EVERYBODYS = "/proc/self/status"
"""A file that whoever is not confined can read."""


def try_everything(about: Mapping[str, Any]) -> dict[str, bool]:
    """Return for each of `WALLS` whether it held; `about` names a folder to write to, and a process."""
    return {
        "reading": _refused(lambda: os.close(os.open(EVERYBODYS, os.O_RDONLY))) and _refused(lambda: list(Path("/").iterdir())),
        "writing": _refused(lambda: os.close(os.open(about["folder"] + "/written", os.O_CREAT | os.O_WRONLY, 0o600)))
        and _refused(Path(about["folder"], "made").mkdir),
        "network": _refused(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close())
        and _refused(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).close()),
        "processes": _refused(_fork),
        "signals": _refused(lambda: os.kill(about["process"], signal.SIGCONT)),
        "privileges": _refused(lambda: os.setgroups([])) and _refused(lambda: os.chroot("/")),
    }


def _refused(attempt: Callable[[], Any]) -> bool:
    """Return whether the system says no."""
    try:
        attempt()
    except OSError:
        return True
    return False


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
