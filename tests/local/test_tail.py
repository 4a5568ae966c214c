"""Following a log while it is written."""

import json
from pathlib import Path

import pytest

from tpt_runtime.core.status import Progress
from tpt_runtime.local import tail
from tpt_runtime.local.tail import Tail, event_of, last_lines


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "x.log"


def append(log: Path, text: str) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(text)


def line(event: str, **fields: object) -> str:
    return json.dumps({"time": "t", "event": event, **fields}) + "\n"


def test_a_log_that_is_not_there_yet_is_empty(log: Path) -> None:
    assert Tail(log).read() == []


def test_each_line_is_taken_in_once(log: Path) -> None:
    following = Tail(log)
    append(log, line("note", message="one"))
    assert [event["message"] for event in following.read()] == ["one"]
    assert following.read() == []
    append(log, line("note", message="two"))
    assert [event["message"] for event in following.read()] == ["two"]


def test_half_a_line_waits_for_its_other_half(log: Path) -> None:
    following = Tail(log)
    whole = line("note", message="whole")
    append(log, whole[:10])
    assert following.read() == []
    append(log, whole[10:])
    assert len(following.read()) == 1


def test_what_libraries_print_between_is_passed_over(log: Path) -> None:
    following = Tail(log)
    append(log, "INFO loading\n{broken\n[1]\n\n" + '{"no": "event"}\n' + line("note", message="ours"))
    assert [event["message"] for event in following.read()] == ["ours"]


def test_a_backlog_is_caught_up_with_piece_by_piece(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "READ_BYTES", 100)
    append(log, "x" * 250 + "\n" + line("note", message="behind"))
    following = Tail(log)
    events = [event for _ in range(10) for event in following.read()]
    assert [event["message"] for event in events] == ["behind"]


class TestWhatAStepSaysOfItself:
    def test_phase_progress_and_figures_are_kept(self, log: Path) -> None:
        following = Tail(log)
        append(log, line("phase", phase="generate") + line("progress", completed=3, total=10, loss=0.5, note="x"))
        following.read()
        assert (following.phase, following.progress) == ("generate", Progress(completed=3, total=10))
        assert following.figures == {"loss": 0.5}

    def test_a_heartbeat_keeps_the_progress(self, log: Path) -> None:
        following = Tail(log)
        append(log, line("phase", phase="a") + line("progress", completed=3, total=10) + line("phase", phase="a", seconds=15))
        following.read()
        assert following.progress == Progress(completed=3, total=10)

    def test_a_new_phase_begins_without_progress(self, log: Path) -> None:
        following = Tail(log)
        append(log, line("phase", phase="a") + line("progress", completed=3, total=10) + line("phase", phase="b"))
        following.read()
        assert following.progress is None

    def test_odd_progress_is_no_error(self, log: Path) -> None:
        following = Tail(log)
        append(log, line("progress", completed="many", total=10) + line("progress", completed=-1, total=2.0))
        following.read()
        assert following.progress == Progress(completed=0, total=2)


class TestLastLines:
    def test_they_are_the_last_in_words(self, log: Path) -> None:
        append(log, "".join(f"line {n}\n" for n in range(9)) + line("failed", message="out of tea", exitCode=1))
        assert last_lines(log, 3) == ["line 7", "line 8", "failed: out of tea"]

    def test_a_traceback_is_shown_line_by_line(self, log: Path) -> None:
        append(log, line("traceback", text="Traceback:\n  File x\nValueError: no"))
        assert last_lines(log, 9) == ["traceback: Traceback:", "  File x", "ValueError: no"]

    def test_phases_and_progress_are_left_out(self, log: Path) -> None:
        append(log, "real\n" + line("phase", phase="a") + line("progress", completed=1, total=2))
        assert last_lines(log, 9) == ["real"]

    def test_only_the_end_of_a_long_log_is_read(self, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tail, "LAST_BYTES", 20)
        append(log, "y" * 100 + "\nlast\n")
        assert last_lines(log, 1) == ["last"]
        assert sum(map(len, last_lines(log, 9))) <= 20

    def test_a_missing_log_has_none(self, log: Path) -> None:
        assert last_lines(log, 9) == []


@pytest.mark.parametrize("text", ["", "no JSON", "{", '{"event": 3}', '["event"]', '{"other": "event"}'])
def test_only_objects_with_an_event_are_events(text: str) -> None:
    assert event_of(text) is None
    assert event_of(text.encode()) is None
