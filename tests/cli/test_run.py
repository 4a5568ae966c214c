"""`tpt run` and `tpt report`, with steps that do next to nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tpt_runtime.core.commands import PROGRAMS
from tpt_runtime.local import jobs
from tpt_runtime.local.workdir import Workdir

Tpt = Callable[..., Any]
Write = Callable[..., Path]

FAKE_STEPS = Path(__file__).parents[1] / "local"
DEADLINE = 30.0
"""Seconds after which a test has failed; none takes a tenth of it."""


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every step be the fake one."""
    monkeypatch.setenv("PYTHONPATH", str(FAKE_STEPS))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(jobs, "PROGRAMS", dict.fromkeys(PROGRAMS, "fake_step"))


def behave(here: Path, **steps: list[str]) -> None:
    folder = here / "runs" / "small"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "behaviour.json").write_text(json.dumps({name.replace("_", "-"): done for name, done in steps.items()}))


@pytest.mark.usefixtures("faked")
class TestRun:
    def test_a_complete_run_ends_with_table_model_and_exit_code_0(self, tpt: Tpt, write_run: Write) -> None:
        result = tpt("run", write_run(maxRounds=1))
        assert result.exit_code == 0
        assert "30.0% [10.0%, 90.0%]" in result.stdout
        assert "small is complete: all 1 rounds are done" in result.stdout
        model = result.stdout.split("best model, round 1: ")[1].splitlines()[0]
        assert model.startswith("runs/small/artifacts/round-001/train-")
        assert f"serve it: vllm serve {model}\n" in result.stdout

    def test_a_work_folder_can_be_given(self, tpt: Tpt, write_run: Write, here: Path) -> None:
        assert tpt("run", write_run(maxRounds=1), "--workdir", "elsewhere").exit_code == 0
        assert (here / "elsewhere" / "status.json").exists()
        assert not (here / "runs").exists()

    def test_the_report_is_named_where_there_is_one(self, tpt: Tpt, write_run: Write, here: Path) -> None:
        page = here / "runs" / "small" / "artifacts" / "report" / "report.html"
        page.parent.mkdir(parents=True)
        page.touch()
        assert "report: runs/small/artifacts/report/report.html\n" in tpt("run", write_run(maxRounds=1)).stdout

    def test_a_run_that_is_not_the_users_fault_fails_with_1(self, tpt: Tpt, write_run: Write, here: Path) -> None:
        behave(here, train_r1=["crash"])
        result = tpt("run", write_run(maxRounds=1, failurePolicy={"maxAttempts": 1}))
        assert result.exit_code == 1
        assert "small has failed (AttemptsExhausted)" in result.stderr
        assert "the GPU fell over" in result.stderr

    def test_one_that_the_user_can_mend_fails_with_64(self, tpt: Tpt, write_run: Write, here: Path) -> None:
        behave(here, prepare_r0=["configuration"])
        result = tpt("run", write_run())
        assert result.exit_code == 64
        assert "small has failed (ConfigurationError): prepare: spec.model.uri: nothing there" in result.stderr

    def test_a_file_that_asks_for_suspension_exits_3(self, tpt: Tpt, write_run: Write) -> None:
        result = tpt("run", write_run(suspend=True))
        assert result.exit_code == 3
        assert "spec.suspend is true: set it to false to go on" in result.stderr

    def test_a_file_with_problems_starts_nothing(self, tpt: Tpt, write_run: Write, here: Path) -> None:
        result = tpt("run", write_run(maxRounds=0))
        assert result.exit_code == 64
        assert "spec.maxRounds" in result.stderr
        assert not (here / "runs").exists()

    def test_a_changed_file_is_refused_with_its_fields(self, tpt: Tpt, write_run: Write) -> None:
        assert tpt("run", write_run(maxRounds=1)).exit_code == 0
        result = tpt("run", write_run(maxRounds=1, model={"uri": "other"}))
        assert result.exit_code == 64
        assert 'run.yaml: 1 problem\n  spec.model.uri: found "other", was "model"' in result.stderr

    def test_a_folder_in_use_exits_75(self, tpt: Tpt, write_run: Write, here: Path) -> None:
        with Workdir(here / "runs" / "small").locked():
            result = tpt("run", write_run())
        assert result.exit_code == 75
        assert "another `tpt run`" in result.stderr


STUBBED = (
    "from tpt_runtime.core.commands import PROGRAMS\nfrom tpt_runtime.local import jobs\n"
    "jobs.PROGRAMS = dict.fromkeys(PROGRAMS, 'fake_step')\n"
    "from tpt_runtime.cli import main\nmain()\n"
)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_says_so_by_its_exit_code_and_goes_on(
    number: signal.Signals, code: int, tpt: Tpt, write_run: Write, here: Path
) -> None:
    behave(here, sample_r1=["hang"])
    command = [sys.executable, "-c", STUBBED, "run", str(write_run(maxRounds=1))]
    environment = {**os.environ, "PYTHONPATH": str(FAKE_STEPS), "CUDA_VISIBLE_DEVICES": ""}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        deadline = time.monotonic() + DEADLINE
        said = [line for line in iter(run.stderr.readline, "round 1 sample: hanging 3/10 (loss 0.5)\n") if line]
        assert time.monotonic() < deadline
        run.send_signal(number)
        _, rest = run.communicate(timeout=DEADLINE)
    assert run.returncode == code, said
    assert "small is suspended; the same command goes on where it was" in rest
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    assert "small is complete" in done.stdout


class TestReport:
    @pytest.mark.usefixtures("faked")
    def test_it_can_be_made_at_any_time(self, tpt: Tpt, write_run: Write, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        tpt("run", write_run(maxRounds=1))
        written: list[Any] = []
        monkeypatch.setattr("tpt_viewer.artifacts.gather", lambda config: config)
        monkeypatch.setattr("tpt_viewer.artifacts.write_report", lambda record, folder: written.append((record, folder)))
        result = tpt("report", "runs/small")
        assert result.exit_code == 0
        assert "30.0% [10.0%, 90.0%]" in result.stdout
        config, folder = written[0]
        assert folder == here / "runs" / "small" / "report"
        assert (config.last_round, config.best_round) == (1, 1)
        assert config.seconds.keys() == {0, 1}

    def test_a_folder_without_a_run_is_named(self, tpt: Tpt, here: Path) -> None:
        result = tpt("report", "runs/nothing")
        assert result.exit_code == 64
        assert "runs/nothing: no run was begun here" in result.stderr
