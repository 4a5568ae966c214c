"""What a step says while it works, and what it hears."""

import io
import json
import os
import signal
import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from tests.step.conftest import wait_until
from tpt_runtime.core.errors import Interrupted
from tpt_runtime.step import context as module
from tpt_runtime.step.context import Context
from tpt_runtime.step.journal import JsonJournal
from tpt_runtime.step.metrics import DESCRIPTIONS, LiveMetrics


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock))
    return clock


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def events(stream: io.StringIO, kind: str | None = None) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [event for event in found if kind in (None, event["event"])]


def test_progress_is_said_once_a_second_and_at_the_end(stream: io.StringIO, clock: Clock) -> None:
    context = Context(JsonJournal(stream))
    for completed in range(1, 1001):
        clock.now += 0.01
        context.progress(completed, 1000)
    said = [event["completed"] for event in events(stream, "progress")]
    assert said[0] == 1
    assert said[-1] == 1000
    assert 10 <= len(said) <= 12


def test_progress_speaks_only_of_what_is_described(stream: io.StringIO) -> None:
    context = Context(JsonJournal(stream))
    for name in DESCRIPTIONS.keys() - {"completed", "total"}:
        context.progress(1, 1, **{name: 1.0})
    with pytest.raises(KeyError):
        context.progress(1, 1, accuracy=1.0)


def test_wall_time_is_told_by_phase(stream: io.StringIO, clock: Clock) -> None:
    context = Context(JsonJournal(stream))
    for name, seconds in (("load", 2.0), ("work", 3.0), ("load", 4.0)):
        context.phase(name)
        clock.now += seconds
    assert context.finish_phases() == {"start": 0.0, "load": 6.0, "work": 3.0}
    assert [event["phase"] for event in events(stream, "phase")] == ["load", "work", "load"]


def test_a_phase_that_lasts_is_said_again_and_again(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.01)
    with Context(JsonJournal(stream)) as context:
        context.phase("compile")
        wait_until(lambda: len(events(stream, "phase")) >= 4, "the third heartbeat")
    first, *repeated = events(stream, "phase")
    assert "seconds" not in first
    assert all(event["phase"] == "compile" and "seconds" in event for event in repeated[1:])


def test_after_the_end_nothing_is_said_any_more_and_the_signals_are_given_back(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.01)
    before = {number: signal.getsignal(number) for number in module.STOP_SIGNALS}
    with Context(JsonJournal(stream)):
        assert signal.getsignal(signal.SIGTERM) != before[signal.SIGTERM]
    assert {number: signal.getsignal(number) for number in module.STOP_SIGNALS} == before
    wait_until(lambda: not {"signals", "heartbeat"} & {thread.name for thread in threading.enumerate()}, "the end of the threads")


def test_a_stopped_step_hears_it_at_its_next_check(stream: io.StringIO) -> None:
    with Context(JsonJournal(stream)) as context:
        context.check()
        context.phase("work")
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        wait_until(lambda: events(stream, "stopping"), "the note that it was stopped")
        with pytest.raises(Interrupted, match="stopped on request; the step goes on where it was"):
            context.check()
    assert [event["phase"] for event in events(stream, "stopping")] == ["work"], "said once, however often it is asked"


def test_a_stopped_step_hears_it_even_if_a_library_took_the_wake_up_descriptor(stream: io.StringIO) -> None:
    with Context(JsonJournal(stream)) as context:
        signal.set_wakeup_fd(-1)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted):
            context.check()


def test_other_signals_are_none_of_its_business(stream: io.StringIO) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with Context(JsonJournal(stream)) as context:
            os.kill(os.getpid(), signal.SIGUSR1)
            os.kill(os.getpid(), signal.SIGUSR1)
            context.check()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_port_that_is_taken_costs_the_metrics_not_the_step(stream: io.StringIO) -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        with Context(JsonJournal(stream), metrics=LiveMetrics(port)) as context:
            context.progress(1, 2)
    [warning] = events(stream, "warning")
    assert warning["message"].startswith("TPT_METRICS_PORT: no live metrics: ")


def test_metrics_can_be_served_again_in_the_same_process(stream: io.StringIO, free_port: int) -> None:
    for _ in range(2):
        with Context(JsonJournal(stream), metrics=LiveMetrics(free_port)) as context:
            context.progress(1, 2)
    assert not events(stream, "warning")
