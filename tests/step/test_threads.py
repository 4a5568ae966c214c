"""Programs that compute let their idle threads sleep, for torch reads how they wait when it is imported."""

import os
import sys
from pathlib import Path

import pytest

from tests.step.conftest import StartProgram
from tpt_runtime.demo.model import Recipe, write_model
from tpt_runtime.step.threads import let_idle_threads_sleep


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
