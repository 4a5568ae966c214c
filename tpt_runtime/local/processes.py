"""One process of a step, under its warden, as `tpt run` sees it: started, alive, asked to stop, ended.

What happened is read from the files that the warden leaves, never remembered, so a run that was killed finds everything again.
Which process is ours is never guessed from a pid, which the system uses again: a warden lives as long as its lock is held.
"""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from tpt_runtime.artifacts.files import write_json
from tpt_runtime.local.warden import ALIVE, EXIT, KILL, STOP

GRACE_SECONDS = 25.0
"""From the request to stop to the kill; a step ends itself within 20 s."""
STARTED = "started.json"
"""Written before a process is started: started."""
TERMINATION = "termination"
"""Where the step leaves its summary or its error."""


@dataclass(frozen=True)
class Launch:
    """What to start."""

    folder: Path
    """Where the records of this process go."""
    log: Path
    """Where its output goes; appended to."""
    command: tuple[str, ...]
    environment: Mapping[str, str]
    grace: float = GRACE_SECONDS


@dataclass(frozen=True)
class Exit:
    """How a process ended."""

    code: int | None
    """Exit code; negative: ended by that signal; None: nobody saw it end."""
    stopped: bool
    """`tpt run` asked for it, or was killed itself."""
    finished: datetime

    def write(self, folder: Path) -> None:
        """Leave it in `folder`, as the warden does."""
        write_json(folder / EXIT, {"code": self.code, "stopped": self.stopped, "finished": self.finished.isoformat()})

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return what `folder` says, None while the process lives (or when its warden was lost)."""
        record = _record(folder / EXIT)
        if record is None:
            return None
        return cls(record["code"], record["stopped"], datetime.fromisoformat(record["finished"]))


class Process:
    """A process that this `tpt run` started."""

    def __init__(self, launch: Launch, now: datetime) -> None:
        """Start it.

        Raises:
            OSError: the system cannot start a process, or a folder cannot be made.
            StepFailed: the start cannot be recorded.
        """
        self.folder = launch.folder
        self.log = launch.log
        launch.folder.mkdir(parents=True, exist_ok=True)
        launch.log.parent.mkdir(parents=True, exist_ok=True)
        write_json(launch.folder / STARTED, {"started": now.isoformat()})
        alive = os.open(launch.folder / ALIVE, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with launch.log.open("ab") as log:
                warden = (sys.executable, "-m", "tpt_runtime.local.warden", str(launch.folder), str(launch.grace))
                self._warden = subprocess.Popen(
                    (*warden, *launch.command),
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env=dict(launch.environment),
                    start_new_session=True,
                    pass_fds=(alive,),
                )
        finally:
            os.close(alive)

    @property
    def ended(self) -> bool:
        """Whether it, and all that it started, has ended."""
        return self._warden.poll() is not None

    @property
    def warden_code(self) -> int | None:
        """Exit code of the warden: 0 unless the warden itself had trouble."""
        return self._warden.poll()

    def stop(self) -> None:
        """Ask it to end; it is killed when its grace is over."""
        self._tell(STOP)

    def kill(self) -> None:
        """End it at once."""
        self._tell(KILL)

    def close(self) -> None:
        """Let go of it, and wait until it has ended: at once if it did already, else when it has stopped or its grace is over."""
        if self._warden.stdin is not None:
            with suppress(BrokenPipeError):
                self._warden.stdin.close()
        self._warden.wait()

    def _tell(self, word: bytes) -> None:
        if self._warden.stdin is not None and not self._warden.stdin.closed:
            with suppress(BrokenPipeError):
                self._warden.stdin.write(word)
                self._warden.stdin.flush()


def started(folder: Path) -> datetime | None:
    """Return when the process of `folder` began."""
    record = _record(folder / STARTED)
    return None if record is None else datetime.fromisoformat(record["started"])


def lives(folder: Path) -> bool:
    """Return whether a warden, ours or of an earlier `tpt run`, still stands over the process of `folder`."""
    try:
        descriptor = os.open(folder / ALIVE, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def termination(folder: Path) -> dict[str, Any] | None:
    """Return what the step wrote to its termination file, None where that is missing or no JSON object."""
    return _record(folder / TERMINATION)


def _record(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) else None
