"""The frame of a step program, in this process: how every way to end is reported."""

import errno
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.step.conftest import config
from tpt_runtime.core.configs import StepConfig
from tpt_runtime.core.errors import ArtifactError, ConfigurationError, Interrupted, StepFailed
from tpt_runtime.core.status import SUMMARY_BYTES, FinalizeSummary
from tpt_runtime.step.context import Context
from tpt_runtime.step.program import run_step

Work = Callable[[StepConfig, Context], FinalizeSummary]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TPT_TERMINATION_LOG", str(tmp_path / "termination"))
    monkeypatch.setenv("TPT_LOG", "json")
    monkeypatch.delenv("JOB_COMPLETION_INDEX", raising=False)
    monkeypatch.delenv("TPT_METRICS_PORT", raising=False)
    monkeypatch.setattr(sys, "argv", ["step", config("mine", tmp_path)])
    return tmp_path / "termination"


def summary(**fields: Any) -> FinalizeSummary:
    return FinalizeSummary(digest="0123456789abcdef", **fields)


def raising(error: Exception) -> Work:
    def work(config: StepConfig, context: Context) -> FinalizeSummary:
        raise error

    return work


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


ENDS: dict[str, tuple[Exception, int, str]] = {
    "the user has to mend it": (ConfigurationError("spec.model.uri: no such folder"), 64, "spec.model.uri: no such folder"),
    "an artifact is damaged": (
        ArtifactError("train.jsonl: cut off"),
        65,
        "train.jsonl: cut off. What a finished step has made is made again only once the run's status is gone (delete",
    ),
    "it may go better next time": (StepFailed("the hub cannot be reached"), 1, "the hub cannot be reached"),
    "a crash": (KeyError("oops"), 1, "KeyError: 'oops'"),
    "no memory": (MemoryError(), 1, "MemoryError: "),
    "a full disk": (
        OSError(errno.ENOSPC, "No space left on device", "/runs/a"),
        1,
        "/runs/a: No space left on device; nothing that",
    ),
    "a quota": (
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        1,
        "the storage: Disk quota exceeded; nothing that was complete is",
    ),
    "a storage that became read-only": (OSError(errno.EROFS, "Read-only file system", "/runs/a"), 1, "/runs/a: Read-only file"),
    "another error of the system": (
        PermissionError(errno.EACCES, "Permission denied", "/runs/a"),
        1,
        "PermissionError: [Errno 13]",
    ),
}


@pytest.mark.parametrize("case", ENDS)
def test_an_error_is_handed_in_and_becomes_the_exit_code(case: str, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error, code, message = ENDS[case]
    assert run_step(StepConfig, raising(error)) == code
    handed_in = json.loads(log.read_bytes())
    assert handed_in["error"].startswith(message)
    assert handed_in["exitCode"] == code
    events = said(capsys)
    assert (events[-1]["event"], events[-1]["exitCode"]) == ("failed", code)
    by_us = isinstance(error, ConfigurationError | ArtifactError | StepFailed)
    assert [event["event"] for event in events] == ([] if by_us else ["traceback"]) + ["failed"]


def test_a_full_disk_is_told_in_words_whatever_library_met_it(log: Path) -> None:
    def work(config: StepConfig, context: Context) -> FinalizeSummary:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "/runs/model.safetensors")
        except OSError as error:
            raise ValueError("error while serializing") from error

    assert run_step(StepConfig, work) == 1
    assert json.loads(log.read_bytes())["error"].startswith("/runs/model.safetensors: No space left on device; nothing that was")


def test_a_step_that_was_stopped_hands_in_nothing(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_step(StepConfig, raising(Interrupted("stopped"))) == 143
    assert not log.exists()
    assert said(capsys)[-1]["event"] == "interrupted"


@pytest.mark.parametrize("error", [ConfigurationError("your file"), ArtifactError("its file")])
def test_what_only_the_user_can_mend_is_said_even_while_stopping(error: ConfigurationError, log: Path) -> None:
    def work(config: StepConfig, context: Context) -> FinalizeSummary:
        context.stopping.set()
        raise error

    assert run_step(StepConfig, work) == error.exit_code


@pytest.mark.parametrize("text", ["x" * 5000, "é" * 5000, "😀" * 5000, '"\\\n' * 2000, "\ud800" * 3000, "\x00" * 3000])
def test_a_long_error_is_cut_so_that_it_stays_json_within_what_kubernetes_keeps(text: str, log: Path) -> None:
    assert run_step(StepConfig, raising(StepFailed(text))) == 1
    assert len(log.read_bytes()) <= SUMMARY_BYTES
    error = json.loads(log.read_bytes())["error"]
    assert text.startswith(error)
    assert len(error) >= 300


def test_a_summary_that_kubernetes_would_cut_is_an_error_here(log: Path) -> None:
    assert run_step(StepConfig, lambda _, __: summary(kept=["x" * 100] * 50)) == 1
    assert "more than the 4096 that Kubernetes keeps" in json.loads(log.read_bytes())["error"]


def test_a_summary_of_exactly_what_kubernetes_keeps_is_handed_in(log: Path) -> None:
    assert run_step(StepConfig, lambda _, __: summary(kept=["x"])) == 0
    room = SUMMARY_BYTES - len(log.read_bytes()) + 1
    assert run_step(StepConfig, lambda _, __: summary(kept=["x" * room])) == 0
    assert len(log.read_bytes()) == SUMMARY_BYTES


BAD_ARGUMENTS: dict[str, tuple[list[str], str]] = {
    "none": ([], "expected one argument, the step's configuration as JSON, found 0"),
    "two": (["{}", "{}"], "found 2"),
    "no JSON": (["{oops"], "the step's configuration is not usable: configuration: Invalid JSON"),
    "no object": (["[]"], "the step's configuration is not usable: configuration: "),
    "fields missing": (["{}"], "run: Field required; namespace: Field required; step: Field required"),
    "an unknown field": (['{"more": 1}'], "more: Extra inputs are not permitted"),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_a_bad_argument_is_told_all_at_once(case: str, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, expected = BAD_ARGUMENTS[case]
    monkeypatch.setattr(sys, "argv", ["step", *arguments])
    assert run_step(StepConfig, lambda _, __: summary()) == 64
    assert expected in json.loads(log.read_bytes())["error"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("JOB_COMPLETION_INDEX", "first", "JOB_COMPLETION_INDEX: found 'first', expected the number of a shard or node, from 0"),
        ("JOB_COMPLETION_INDEX", "-1", "JOB_COMPLETION_INDEX: found '-1'"),
        ("TPT_METRICS_PORT", "http", "TPT_METRICS_PORT: found 'http', expected a port, 1 to 65535"),
        ("TPT_METRICS_PORT", "65536", "TPT_METRICS_PORT: found '65536'"),
    ],
)
def test_a_bad_environment_is_named(name: str, value: str, expected: str, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert run_step(StepConfig, lambda _, __: summary()) == 64
    assert expected in json.loads(log.read_bytes())["error"]


@pytest.mark.parametrize(("value", "index"), [(None, 0), ("", 0), ("3", 3)])
def test_the_index_comes_from_the_environment(value: str | None, index: int, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is not None:
        monkeypatch.setenv("JOB_COMPLETION_INDEX", value)
    found: list[int] = []

    def work(config: StepConfig, context: Context) -> FinalizeSummary:
        found.append(context.index)
        return summary()

    assert run_step(StepConfig, work) == 0
    assert found == [index]


def test_an_error_that_cannot_be_handed_in_keeps_its_exit_code(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TPT_TERMINATION_LOG", str(log / "below" / "nothing"))
    assert run_step(StepConfig, raising(ConfigurationError("your file"))) == 64
    assert [event["event"] for event in said(capsys)] == ["failed", "warning"]


def test_a_summary_that_cannot_be_handed_in_is_no_success(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TPT_TERMINATION_LOG", str(log / "below" / "nothing"))
    assert run_step(StepConfig, lambda _, __: summary()) == 1


def test_without_a_place_for_it_the_summary_stands_in_the_log(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TPT_TERMINATION_LOG")
    monkeypatch.setattr("tpt_runtime.step.program.DEFAULT_TERMINATION_LOG", str(log))
    assert run_step(StepConfig, lambda _, __: summary(kept=["a"])) == 0
    assert not log.exists(), "in a pod the file is there; elsewhere none is made"
    assert said(capsys)[-1]["summary"]["kept"] == ["a"]
    log.touch()
    assert run_step(StepConfig, lambda _, __: summary(kept=["a"])) == 0
    assert json.loads(log.read_bytes())["kept"] == ["a"]
