"""How many cores a program keeps busy, and that its idle threads sleep: torch reads how they wait when it is imported."""

import os
import sys
from pathlib import Path

import pytest

from tests.step.conftest import StartProgram
from tpt_runtime.demo.model import Recipe, write_model
from tpt_runtime.step.cores import allowed_cores, let_idle_threads_sleep, usable_cores


def limited(cgroup: Path, quota: str) -> Path:
    (cgroup / "cpu.max").write_text(quota)
    return cgroup


@pytest.mark.parametrize(("quota", "cores"), [("150000 100000", 2), ("50000 100000", 1), ("100000 100000", 1)])
def test_a_containers_quota_limits_the_cores_rounded_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, cores: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    assert allowed_cores(limited(tmp_path, quota)) == cores


@pytest.mark.parametrize(("quota", "cores"), [("150000", 2), ("50000", 1), ("-1", 64)])
def test_so_does_the_quota_of_an_older_control_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, cores: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert allowed_cores(tmp_path) == cores


@pytest.mark.parametrize("quota", ["max 100000", ""])
def test_without_a_quota_the_cores_are_those_it_may_run_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 4, 5})
    assert allowed_cores(limited(tmp_path, quota)) == 3
    assert allowed_cores(tmp_path / "nowhere") == 3


def test_the_user_may_say_how_many_threads(tmp_path: Path) -> None:
    assert usable_cores({}, limited(tmp_path, "100000 100000")) == 1
    assert usable_cores({"OMP_NUM_THREADS": "7"}, limited(tmp_path, "100000 100000")) == 7


def test_idle_threads_sleep_unless_the_user_lets_them_spin() -> None:
    quiet: dict[str, str] = {}
    chosen = {"OMP_WAIT_POLICY": "ACTIVE"}
    let_idle_threads_sleep(quiet)
    let_idle_threads_sleep(chosen)
    assert (quiet, chosen) == ({"OMP_WAIT_POLICY": "PASSIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"})


@pytest.mark.parametrize(("given", "found"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_every_step_says_so_before_its_work_begins(
    given: dict[str, str], found: str, start: StartProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    program = start("threads", **given)
    program.until("note", message=f"threads that wait: {found}")
    assert program.end() == 0


def test_the_demos_base_model_says_so_before_torch_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "to be put back")
    monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    with pytest.raises(ImportError):
        write_model(tmp_path, [], 0, Recipe(), lambda line: None)
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
