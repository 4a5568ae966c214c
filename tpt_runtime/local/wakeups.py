"""The time, and waiting for whatever comes first: a moment, the end of a process, a request to stop."""

import select
import signal
import socket
from datetime import UTC, datetime
from types import FrameType, TracebackType
from typing import Protocol, Self

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Clock(Protocol):
    """What a run needs of time; tests have one that does not wait."""

    def now(self) -> datetime:
        """Return the present moment, in UTC."""

    def wait(self, seconds: float) -> None:
        """Return when `seconds` are over, a process has ended or a stop was asked for, whichever comes first."""

    @property
    def stops(self) -> list[signal.Signals]:
        """The requests to stop so far (Ctrl-C is SIGINT), oldest first."""


class SystemClock:
    """The real time; a context manager that takes SIGINT, SIGTERM, SIGHUP and SIGCHLD for its duration."""

    def __init__(self) -> None:
        """Know of no request to stop."""
        self._stops: list[signal.Signals] = []

    @property
    def stops(self) -> list[signal.Signals]:
        """The requests to stop so far, oldest first."""
        return self._stops

    def now(self) -> datetime:
        """Return the present moment, in UTC."""
        return datetime.now(UTC)

    def wait(self, seconds: float) -> None:
        """Return when `seconds` are over or a signal has come."""
        ready, _, _ = select.select([self._reader], [], [], max(0.0, seconds))
        if ready:
            self._reader.recv(4096)

    def __enter__(self) -> Self:
        """Take the signals."""
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._descriptor = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        # What was set to be ignored (SIGHUP by nohup, SIGINT by a shell's `&`) stays ignored.
        taken = [number for number in (*STOPS, signal.SIGCHLD) if signal.getsignal(number) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._note) for number in taken}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._descriptor)
        self._reader.close()
        self._writer.close()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number in STOPS:
            self._stops.append(signal.Signals(number))
