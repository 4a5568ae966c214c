"""What a person sees while a run is under way: bars in a terminal, a line every so often elsewhere.

It shows what it is given. What is worth saying is decided by the runner, and by the planner's events.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TextIO

from tpt_runtime.core.status import Progress

if TYPE_CHECKING:
    from rich.progress import TaskID

QUIET_SECONDS = 15.0
"""How often a process without a terminal says how far it is."""
REFRESHES = 4.0
"""How often bars are drawn in a second: the cores belong to the steps."""


@dataclass(frozen=True)
class View:
    """How far one process is."""

    label: str
    """`round 1 sample 0/2`."""
    phase: str
    progress: Progress | None = None
    figures: tuple[tuple[str, float], ...] = ()

    @property
    def words(self) -> str:
        """The figures, such as `loss 0.3125, tokens 15,770`."""
        return ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in self.figures)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


class Screen(Protocol):
    """Where a run is shown."""

    def say(self, text: str) -> None:
        """Show a line that stays."""

    def show(self, key: str, view: View) -> None:
        """Show how far the process `key` is."""

    def forget(self, key: str) -> None:
        """Show no more of the process `key`."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class LineScreen:
    """One line for what is new, and every 15 s for what goes on."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        """Write to `stream`."""
        self._stream = stream
        self._clock = clock
        self._said: dict[str, tuple[str, float]] = {}

    def say(self, text: str) -> None:
        """Write a line."""
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def show(self, key: str, view: View) -> None:
        """Write a line when the phase is new, or the last line is old."""
        now = self._clock()
        phase, when = self._said.get(key, ("", 0.0))
        if phase == view.phase and now - when < QUIET_SECONDS:
            return
        self._said[key] = (view.phase, now)
        far = f" {view.progress.completed}/{view.progress.total}" if view.progress else ""
        self.say(f"{view.label}: {view.phase}{far}" + (f" ({view.words})" if view.words else ""))

    def forget(self, key: str) -> None:
        """Begin anew with `key`."""
        self._said.pop(key, None)

    def close(self) -> None:
        """Do nothing."""


class BarScreen:
    """A bar for every process, and lines above them."""

    def __init__(self, stream: TextIO) -> None:
        """Draw on `stream`, a terminal."""
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("[bold]{task.description}"),
            TextColumn("{task.fields[phase]}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[far]}"),
            TextColumn("[dim]{task.fields[words]}"),
            TimeElapsedColumn(),
        )
        self._bars = Bars(
            *columns, console=Console(file=stream, force_terminal=True), transient=True, refresh_per_second=REFRESHES
        )
        self._tasks: dict[str, TaskID] = {}
        self._bars.start()

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, key: str, view: View) -> None:
        """Draw the bar of `key`."""
        if key not in self._tasks:
            self._tasks[key] = self._bars.add_task(view.label, total=None, phase="", far="", words="")
        done = view.progress
        self._bars.update(
            self._tasks[key],
            completed=done.completed if done else 0,
            total=done.total if done else None,
            phase=view.phase,
            far=f"{done.completed:,}/{done.total:,}" if done else "",
            words=view.words,
        )

    def forget(self, key: str) -> None:
        """Take the bar of `key` away."""
        if key in self._tasks:
            self._bars.remove_task(self._tasks.pop(key))

    def close(self) -> None:
        """Take all bars away."""
        self._bars.stop()


def open_screen(stream: TextIO) -> Screen:
    """Return bars where `stream` is a terminal, else lines."""
    return BarScreen(stream) if stream.isatty() else LineScreen(stream)
