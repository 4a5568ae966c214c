"""Waiting for whatever comes first."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tpt_runtime.local.wakeups import SystemClock

LONG = 30.0
"""Seconds that no test here waits for."""


@pytest.fixture
def heard(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """The signal of the parameter, not ignored whatever these tests were started by (nohup, a shell's `&`)."""
    number: signal.Signals = request.param
    before = signal.signal(number, signal.SIG_DFL)
    yield number
    signal.signal(number, before)


@pytest.mark.parametrize("heard", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], indirect=True)
def test_a_request_to_stop_is_kept_and_ends_the_wait(heard: signal.Signals) -> None:
    with SystemClock() as clock:
        os.kill(os.getpid(), heard)
        began = time.monotonic()
        clock.wait(LONG)
        assert time.monotonic() - began < LONG / 2
        assert clock.stops == [heard]


def test_the_end_of_a_child_ends_the_wait() -> None:
    with SystemClock() as clock, subprocess.Popen([sys.executable, "-c", ""]) as child:
        began = time.monotonic()
        clock.wait(LONG)
        assert time.monotonic() - began < LONG / 2
        assert clock.stops == []
        assert child.wait() == 0


def test_a_wait_ends_when_its_time_is_over() -> None:
    with SystemClock() as clock:
        clock.wait(0.01)
        clock.wait(-1.0)
        assert clock.stops == []


def test_the_signals_are_given_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with SystemClock():
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_what_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with SystemClock() as clock:
            os.kill(os.getpid(), signal.SIGHUP)
            clock.wait(0.0)
            assert clock.stops == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_time_is_in_utc() -> None:
    offset = SystemClock().now().utcoffset()
    assert offset is not None
    assert offset.total_seconds() == 0
