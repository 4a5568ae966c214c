"""Ends a process in the middle of what it does: just before its nth operation on files below a folder.

What dies is a fork of the test's own process, by SIGKILL: nothing is cleaned up, as when a machine stops.
"""

import os
import signal
import sys
import warnings
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

OPERATIONS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "shutil.copyfile", "shutil.rmtree")
"""Audit events; flushing to the disk raises none and is counted by a wrapper."""

RELATIVE = ("os.remove", "os.rmdir")
"""Those of them whose second argument is the folder that the first counts from, or -1."""


class Countdown:
    """Kills this process at its nth operation on something below a folder."""

    def __init__(self, below: Path, number: int) -> None:
        self._below = str(below)
        self._left = number
        self._busy = False

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Count an audit event, if it is about files below the folder."""
        if event not in OPERATIONS:
            return
        relative = event in RELATIVE and arguments[1] != -1  # how a tree is removed, by descriptors of its folders
        if relative or any(str(one).startswith(self._below) for one in arguments if isinstance(one, str | Path)):
            self.count()

    def count(self) -> None:
        """Count one operation."""
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def dies(work: Callable[[], object], below: Path, number: int) -> bool:
    """Do `work` in a forked process that is killed at its operation `number` below a folder; return whether it was."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads: the child needs none of them
        child = os.fork()
    if not child:
        code = 1
        try:
            countdown = Countdown(below, number)
            flush = os.fsync

            def counted(descriptor: int) -> None:
                countdown.count()
                flush(descriptor)

            os.fsync = counted  # type: ignore[assignment]
            sys.addaudithook(countdown.audit)
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "what was to be interrupted failed by itself"
    return False


def every_death(work: Callable[[], object], below: Path, before: Callable[[], object], after: Callable[[int], object]) -> int:
    """For every point at which `work` can be interrupted: set up, interrupt it there, look. Return how many points there were."""
    for number in count(1):
        before()
        if not dies(work, below, number):
            return number - 1
        after(number)
    raise AssertionError("unreachable")
