"""The frame of a step program, as a process: what it hands in, what it exits with, and how it is stopped."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.step.conftest import Program, StartProgram
from tests.steps.conftest import commands, run_of
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.configs import StepConfig

__all__ = ["commands", "run_of"]


def test_a_step_that_is_done_hands_in_its_summary_and_exits_with_0(start: StartProgram) -> None:
    program = start("finish")
    assert program.end() == 0
    summary = program.handed_in()
    assert {"step": "finalize", "digest": "0123456789abcdef", "kept": ["a"], "removed": 0}.items() <= summary.items()
    assert set(summary["seconds"]) == {"start", "count"}
    assert [event["event"] for event in program.events] == ["phase", "progress", "progress", "done"]
    assert all(event["time"].endswith("+00:00") for event in program.events)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_step_that_is_stopped_ends_at_the_next_safe_point_with_143(number: signal.Signals, start: StartProgram) -> None:
    program = start("count")
    program.until("note", message="ready")
    program.process.send_signal(number)
    assert program.end() == 143
    said = {event["event"]: event for event in program.events}
    assert (said["stopping"]["signal"], said["stopping"]["phase"]) == (number.name, "count")
    assert said["interrupted"]["message"] == "stopped on request; the step goes on where it was"
    assert not program.termination.exists(), "a stopped step has neither a summary nor an error"


@pytest.mark.parametrize("run", ["sleep", "hash"])
def test_a_step_that_is_stuck_in_native_code_is_ended_within_its_grace(run: str, start: StartProgram) -> None:
    program = start(run, GRACE="0.3")
    program.until("note", message="ready")
    program.process.send_signal(signal.SIGTERM)
    program.until("stopping")
    asked = time.monotonic()
    assert program.end() == 143
    assert time.monotonic() - asked < 10
    assert program.events[-1]["event"] == "interrupted"
    assert program.events[-1]["message"].startswith("not ended 0 s after the request to stop")


def test_a_step_that_is_stuck_ends_even_if_nobody_reads_its_log(start: StartProgram) -> None:
    program = start("sleep", GRACE="0.3", TPT_LOG="json")
    program.until("note", message="ready")
    pipe = program.process.stderr
    assert pipe is not None
    with open(f"/proc/{program.process.pid}/fd/2", "wb", buffering=0) as other_end:  # noqa: PTH123 - a pipe's other end
        os.set_blocking(other_end.fileno(), False)
        while other_end.write(b"x" * 4096):
            pass
    program.process.send_signal(signal.SIGTERM)
    assert program.process.wait(timeout=30) == 143


def test_a_step_that_breaks_because_it_is_stopped_was_stopped(start: StartProgram) -> None:
    program = start("break")
    program.until("note", message="ready")
    program.process.send_signal(signal.SIGTERM)
    assert program.end() == 143
    assert "ended with: RuntimeError: the engine is gone" in program.events[-1]["message"]
    assert [event["event"] for event in program.events].count("traceback") == 1


def test_live_metrics_are_served_on_the_port_that_is_asked_for(start: StartProgram, free_port: int) -> None:
    program = start("wait", TPT_METRICS_PORT=str(free_port))
    program.until("note", message="ready")
    with urlopen(f"http://127.0.0.1:{free_port}/metrics", timeout=30) as answer:
        served = dict(line.split() for line in answer.read().decode().splitlines() if not line.startswith("#"))
    assert (served["tpt_step_completed"], served["tpt_step_total"]) == ("2.0", "3.0")
    assert (served["tpt_step_samples"], served["tpt_step_tokens"]) == ("20.0", "500.0")
    assert program.process.stdin is not None
    program.process.stdin.write("go on\n")
    program.process.stdin.flush()
    assert program.end() == 0


def test_a_full_file_system_is_told_in_words_and_what_was_whole_stays(start: StartProgram, tmp_path: Path) -> None:
    root = tmp_path / "mounted"
    root.mkdir()
    mount = f'mount -t tmpfs -o size=256k tmpfs {root} && "$@"; code=$?; ls -A {root} > {tmp_path}/listing; exit $code'
    inside = ["unshare", "--mount", "sh", "-c", mount, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    program = start("fill", [*inside, sys.executable, "-m", "tests.step.small_step"], root=root)
    assert program.end() == 1
    assert f"{root}/large.jsonl: No space left on device; nothing that was complete is lost" in program.handed_in()["error"]
    assert (tmp_path / "listing").read_text() == "whole.jsonl\n"


def test_a_limit_on_files_is_a_full_storage_too(start: StartProgram, tmp_path: Path) -> None:
    limited = ["sh", "-c", 'ulimit -f 100 && exec "$@"', "sh", sys.executable, "-m", "tests.step.small_step"]
    program = start("fill", limited)
    assert program.end() == 1
    assert "large.jsonl: File too large; nothing that was complete is lost" in program.handed_in()["error"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["termination", "whole.jsonl"]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processor time is read from /proc")
@pytest.mark.parametrize("step", ["prepare", "sample", "prune", "train", "finalize"])
def test_every_step_names_its_phase_within_two_seconds_of_work(
    step: str, commands: Callable[..., Commands], tmp_path: Path
) -> None:
    """By processor time, which does not hang on what else the machine does. None finds what it needs, so all end soon after."""
    built = commands()
    configs: dict[str, StepConfig] = {
        "prepare": built.prepare(1),
        "sample": built.sample(1, 1, evaluate=True),
        "prune": built.prune(1, 1, evaluate=True, compare=None),
        "train": built.train(1, 1),
        "finalize": built.finalize(1, 1, best_round=None, status={}),
    }
    command = [sys.executable, "-m", f"tpt_runtime.{step}"]
    program = Program(json.dumps(configs[step].wire()), tmp_path, command)
    program.until("phase")
    assert program.processor_seconds() < 2
    program.end()
