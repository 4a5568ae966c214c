"""What a step works with: phases, progress, live metrics, and the request to stop.

The request is noticed even while the main thread is inside native code: Python's signal handler could not run there, so the
interpreter's wake-up descriptor is watched by a thread, and past `GRACE_SECONDS` another ends the process with 143. Native code
that never lets go of the interpreter's lock is out of reach of both.
"""

import os
import signal
import socket
import threading
import time
from types import TracebackType
from typing import Any, Self

from tpt_runtime.artifacts.storage import Storage
from tpt_runtime.core.errors import EXIT_INTERRUPTED, Interrupted
from tpt_runtime.step.journal import Journal
from tpt_runtime.step.metrics import LiveMetrics

GRACE_SECONDS = 18.0
"""A step has 20 s after SIGTERM; what has not flushed by itself before that is ended, and goes on from its last flush."""
LAST_WORDS_SECONDS = 1.0
HEARTBEAT_SECONDS = 15.0
PROGRESS_SECONDS = 1.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Context:
    """The surroundings of one running step; a context manager that takes SIGTERM and SIGINT for its duration."""

    def __init__(self, journal: Journal, index: int = 0, metrics: LiveMetrics | None = None) -> None:
        """Speak through `journal`; `index` is this process's shard or node; without `metrics` none are served."""
        self.journal = journal
        self.index = index
        self.metrics = metrics or LiveMetrics(None)
        self.storage = Storage()
        """Where artifacts are at home; the frame of the program sets it."""
        self.stopping = threading.Event()
        """Set once the process was asked to stop."""
        self.seconds: dict[str, float] = {}
        """Wall time by phase, for the summary."""
        self._phase = "start"
        self._since = time.monotonic()
        self._closed = threading.Event()
        self._said_progress = 0.0

    def phase(self, name: str) -> None:
        """Begin the phase `name` ("engine start", "generate", ...): said at once and again every 15 s while it lasts."""
        self._end_phase()
        self._phase, self._since = name, time.monotonic()
        self.journal.event("phase", phase=name)

    def progress(self, completed: int, total: int, **figures: float) -> None:
        """Say how far the step is, at most once a second (the end always); `figures` (tokens, loss, ...) become live metrics."""
        self.metrics.set(completed=completed, total=total, **figures)
        now = time.monotonic()
        if completed >= total or now - self._said_progress >= PROGRESS_SECONDS:
            self._said_progress = now
            self.journal.event("progress", completed=completed, total=total, **figures)

    def note(self, message: str, **fields: Any) -> None:
        """Say something worth keeping in the log."""
        self.journal.event("note", message=message, **fields)

    def warn(self, message: str, **fields: Any) -> None:
        """Say something that the user should look at."""
        self.journal.event("warning", message=message, **fields)

    def check(self) -> None:
        """Raise `Interrupted` if the process was asked to stop; call it where everything is flushed."""
        if self.stopping.is_set():
            raise Interrupted("stopped on request; the step goes on where it was")

    def finish_phases(self) -> dict[str, float]:
        """End the phase in progress and return the seconds of all, rounded to milliseconds."""
        self._end_phase()
        self._since = time.monotonic()
        return {name: round(value, 3) for name, value in self.seconds.items()}

    def _end_phase(self) -> None:
        now = time.monotonic()
        self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + now - self._since

    def __enter__(self) -> Self:
        """Take the signals and start the heartbeat."""
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._noted) for number in STOP_SIGNALS}
        self._watcher = threading.Thread(target=self._watch_signals, daemon=True, name="signals")
        self._watcher.start()
        threading.Thread(target=self._beat, daemon=True, name="heartbeat").start()
        try:
            self.metrics.serve()
        except OSError as error:  # a step that can do its work does it
            self.warn(f"TPT_METRICS_PORT: no live metrics: {error}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Give the signals back."""
        self._closed.set()
        self.metrics.close()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        self._writer.close()
        self._watcher.join(LAST_WORDS_SECONDS)  # it may still be saying why the step ends
        self.journal.close()

    def _noted(self, *_: object) -> None:
        """Take note, and no more: a handler may interrupt whoever holds the journal's lock. The watching thread does the rest."""
        self.stopping.set()

    def _watch_signals(self) -> None:
        asked = False
        with self._reader:
            while data := self._reader.recv(1):
                if data[0] in STOP_SIGNALS and not asked:
                    asked = True
                    self.stopping.set()
                    threading.Thread(target=self._give_up, daemon=True, name="grace").start()
                    self.journal.event("stopping", signal=signal.Signals(data[0]).name, phase=self._phase)

    def _give_up(self) -> None:
        if not self._closed.wait(GRACE_SECONDS):
            # Said by another thread: where nobody reads the log any more, saying it would never end.
            message = f"not ended {GRACE_SECONDS:.0f} s after the request to stop: ended now"
            said = threading.Thread(target=self.journal.event, args=("interrupted",), kwargs={"message": message}, daemon=True)
            said.start()
            said.join(LAST_WORDS_SECONDS)
            os._exit(EXIT_INTERRUPTED)

    def _beat(self) -> None:
        while not self._closed.wait(HEARTBEAT_SECONDS):
            self.journal.event("phase", phase=self._phase, seconds=round(time.monotonic() - self._since))
