"""What a step says while it works: JSON lines in a pod or under the local runner, a progress bar in a terminal.

Every line is one object with `time`, `event` and the event's own fields: phase, progress, note, warning, done, failed.
"""

import json
import os
import sys
import threading
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO


class Journal(Protocol):
    """Where a step's events go."""

    def event(self, event: str, /, **fields: Any) -> None:
        """Say one thing."""

    def close(self) -> None:
        """Say no more."""


class JsonJournal:
    """One JSON object a line."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        self._stream = stream
        self._lock = threading.Lock()

    def event(self, event: str, /, **fields: Any) -> None:
        """Write one line, from any thread."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, **fields}, ensure_ascii=False, default=str)
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Leave the stream to its owner."""


class TerminalJournal:
    """A progress bar for `progress`, a line for everything else."""

    def __init__(self, stream: TextIO) -> None:
        """Draw on `stream`, a terminal."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(file=stream))
        self._task = self._bar.add_task("starting", total=None)
        self._bar.start()

    def event(self, event: str, /, **fields: Any) -> None:
        """Move the bar, or print a line above it."""
        if event == "progress":
            self._bar.update(self._task, completed=fields["completed"], total=fields["total"])
        elif event == "phase":
            self._bar.update(self._task, description=fields["phase"])
        else:
            said = " ".join(str(value) for value in fields.values())
            self._bar.console.print(f"{event}: {said}", markup=False, highlight=False)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.stop()


def open_journal() -> Journal:
    """Return the journal that TPT_LOG asks for; by default a bar where standard error is a terminal, else JSON lines."""
    wanted = os.environ.get("TPT_LOG") or ("terminal" if sys.stderr.isatty() else "json")
    return TerminalJournal(sys.stderr) if wanted == "terminal" else JsonJournal(sys.stderr)
