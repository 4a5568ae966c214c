"""What an exit code means."""

import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tpt_runtime.core.observed import Failure, FailureKind
from tpt_runtime.local.failures import failure_of, worst
from tpt_runtime.local.processes import Exit

LOG = Path("logs/x.log")


def ended(code: int | None, *, stopped: bool = False) -> Exit:
    return Exit(code, stopped, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (64, FailureKind.CONFIGURATION),
        (78, FailureKind.CONFIGURATION),
        (63, FailureKind.CRASH),
        (79, FailureKind.CRASH),
        (1, FailureKind.CRASH),
        (137, FailureKind.CRASH),
        (-signal.SIGKILL, FailureKind.CRASH),
        (-signal.SIGSEGV, FailureKind.CRASH),
        (143, FailureKind.DISRUPTION),
        (130, FailureKind.DISRUPTION),
        (-signal.SIGTERM, FailureKind.DISRUPTION),
        (-signal.SIGHUP, FailureKind.DISRUPTION),
        (None, FailureKind.DISRUPTION),
    ],
)
def test_an_exit_code_has_a_kind(code: int | None, kind: FailureKind) -> None:
    failure = failure_of(ended(code), None, LOG)
    assert failure is not None
    assert (failure.kind, failure.exit_code) == (kind, code)


@pytest.mark.parametrize("code", [1, 64, -signal.SIGKILL])
def test_what_was_asked_to_stop_was_disrupted(code: int) -> None:
    failure = failure_of(ended(code, stopped=True), None, LOG)
    assert failure is not None
    assert (failure.kind, failure.exit_code) == (FailureKind.DISRUPTION, code)
    assert "stopped together with `tpt run`" in failure.message


def test_what_was_asked_to_stop_and_was_done_has_not_failed() -> None:
    assert failure_of(ended(0, stopped=True), None, LOG) is None


def test_what_has_not_ended_has_not_failed() -> None:
    assert failure_of(None, None, LOG) is None


def test_the_steps_own_words_come_first() -> None:
    failure = failure_of(ended(1), {"error": "out of tea", "exitCode": 1}, LOG)
    assert failure is not None
    assert failure.message == "out of tea"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-signal.SIGKILL, "killed (SIGKILL), most likely by the system for lack of memory; its log is logs/x.log"),
        (137, "killed (SIGKILL), most likely by the system for lack of memory; its log is logs/x.log"),
        (-signal.SIGSEGV, "ended by signal SIGSEGV; its log is logs/x.log"),
        (3, "ended with exit code 3; its log is logs/x.log"),
        (255, "ended with exit code 255; its log is logs/x.log"),
    ],
)
def test_a_step_without_words_is_spoken_for(code: int, words: str) -> None:
    failure = failure_of(ended(code), {"step": "train"}, LOG)
    assert failure is not None
    assert failure.message == words


def test_the_last_line_of_its_log_stands_in_for_its_words(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("first\nImportError: no such thing\n")
    failure = failure_of(ended(1), None, log)
    assert failure is not None
    assert failure.message == f"ended with exit code 1, last said: ImportError: no such thing; its log is {log}"


class TestSeveralProcesses:
    DISRUPTED = Failure(FailureKind.DISRUPTION, "stopped")
    CRASHED = Failure(FailureKind.CRASH, "crashed", 1)
    MISTAKEN = Failure(FailureKind.CONFIGURATION, "mistaken", 64)

    def test_none_is_no_failure(self) -> None:
        assert worst([None, None]) is None

    def test_one_alone_speaks_for_itself(self) -> None:
        assert worst([self.CRASHED]) == self.CRASHED

    def test_a_crash_outdoes_those_that_were_stopped_for_it(self) -> None:
        found = worst([self.DISRUPTED, None, self.CRASHED])
        assert found == Failure(FailureKind.CRASH, "index 2 of 3: crashed", 1)

    def test_what_the_user_can_mend_outdoes_a_crash(self) -> None:
        found = worst([self.CRASHED, self.MISTAKEN])
        assert found is not None
        assert found.kind is FailureKind.CONFIGURATION
