"""Following a step's log: the JSON lines that it writes (see `step/journal.py`), and whatever else stands between them."""

import json
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tpt_runtime.core.status import Progress

LAST_BYTES = 65536
READ_BYTES = 1 << 20
"""Most that is read at once; a longer backlog is caught up with piece by piece."""


@dataclass
class Tail:
    """Where one log has been read to, and what its step last said of itself."""

    path: Path
    offset: int = 0
    phase: str = "starting"
    progress: Progress | None = None
    figures: dict[str, float] = field(default_factory=dict)
    """Such as loss and tokens_per_second."""

    def read(self) -> list[dict[str, Any]]:
        """Take in the complete lines that are new; return their events."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self.offset)
            text = file.read(READ_BYTES)
        complete = text.rfind(b"\n") + 1 or (len(text) if len(text) == READ_BYTES else 0)
        self.offset += complete
        events = [event for line in text[:complete].splitlines() if (event := event_of(line)) is not None]
        for event in events:
            self._note(event)
        return events

    def _note(self, event: dict[str, Any]) -> None:
        if event["event"] == "phase":
            self._enter(str(event.get("phase", self.phase)))
        elif event["event"] == "progress":
            numbers = {name: value for name, value in event.items() if isinstance(value, int | float)}
            if {"completed", "total"} <= numbers.keys():
                completed, total = max(0, int(numbers.pop("completed"))), max(0, int(numbers.pop("total")))
                self.progress = Progress(completed=completed, total=total)
                self.figures = numbers

    def _enter(self, phase: str) -> None:
        if phase != self.phase:  # else it is the heartbeat
            self.phase, self.progress, self.figures = phase, None, {}


def event_of(line: bytes | str) -> dict[str, Any] | None:
    """Return the event that `line` holds, None if it is something else."""
    if line.lstrip()[:1] not in (b"{", "{"):
        return None
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and isinstance(value.get("event"), str) else None


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last `count` lines of a log in words; phases and progress, which say nothing of a failure, are left out."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LAST_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    kept: deque[str] = deque(maxlen=count)
    for line in lines:
        event = event_of(line)
        if event is None:
            kept.append(line)
        elif event["event"] not in ("progress", "phase", "stopping"):
            kept.extend(_words(event).splitlines())
    return list(kept)


def _words(event: dict[str, Any]) -> str:
    said = event.get("message") or event.get("text")
    rest = {name: value for name, value in event.items() if name not in ("time", "event", "message", "text")}
    return f"{event['event']}: {said}" if said else f"{event['event']}: {json.dumps(rest, ensure_ascii=False)}"
