"""The set-up in action, with every command and the machine faked."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tpt_runtime.setup import __main__ as setup
from tpt_runtime.setup import machine as machines
from tpt_runtime.setup.machine import Machine
from tpt_runtime.setup.profiles import PROFILES

PROJECT = Path(setup.__file__).parents[2] / "pyproject.toml"


class Shell:
    """Records commands instead of running them; those that end with a line of `failing` fail."""

    def __init__(self, checkout: Path) -> None:
        self.checkout = checkout
        self.commands: list[str] = []
        self.failing: tuple[str, ...] = ()

    def run(self, command, **_options):
        line = " ".join(command)
        self.commands.append(line)
        (self.checkout / ".venv").mkdir(exist_ok=True)
        code = 1 if line.endswith(self.failing) and self.failing else 0
        return subprocess.CompletedProcess(command, code, stdout=b"", stderr=b"ERROR: none such\n")

    @property
    def stamp(self) -> Path:
        return self.checkout / ".venv" / "tpt-setup.json"


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, machine: Callable[..., Machine]) -> Shell:
    """Return the recorder of a fresh checkout on a fit machine."""
    recorder = Shell(tmp_path)
    (tmp_path / "pyproject.toml").write_bytes(PROJECT.read_bytes())
    monkeypatch.setattr(setup, "CHECKOUT", tmp_path)
    monkeypatch.setattr(setup, "STAMP", recorder.stamp)
    monkeypatch.setattr(machines, "look", lambda _checkout: machine())
    monkeypatch.setattr(subprocess, "run", recorder.run)
    return recorder


def test_a_fresh_checkout_is_installed_and_stamped(shell, capsys):
    assert setup.main([]) == 0
    assert len(shell.commands) == 5
    assert shell.stamp.is_file()
    assert "[5/5]" in capsys.readouterr().out


def test_the_second_time_nothing_is_run(shell, capsys):
    setup.main([])
    shell.commands.clear()
    assert setup.main([]) == 0
    assert shell.commands == []
    assert "up to date (local)" in capsys.readouterr().out


def test_a_changed_dependency_is_installed(shell):
    setup.main([])
    shell.commands.clear()
    project = shell.checkout / "pyproject.toml"
    project.write_text(project.read_text().replace('"click>=8.2,<9"', '"click>=8.3,<9"'))
    assert setup.main([]) == 0
    assert any("--editable .[local,dev]" in line for line in shell.commands)


def test_the_second_source_is_tried_when_the_first_lacks_the_build(shell, capsys):
    shell.failing = ("install --no-input --disable-pip-version-check --quiet --quiet torch==2.13.0+cpu",)
    assert setup.main([]) == 0
    assert any(line.endswith("--extra-index-url https://download.pytorch.org/whl/cpu") for line in shell.commands)
    assert "not there (ERROR: none such); trying the next source" in capsys.readouterr().out


def test_the_second_source_is_left_alone_when_the_first_has_the_build(shell):
    setup.main([])
    assert not any("--extra-index-url" in line for line in shell.commands)


def test_a_failure_stops_the_set_up_and_leaves_no_stamp(shell, capsys):
    shell.failing = ("--editable .[local,dev]",)
    assert setup.main([]) == 1
    assert not shell.stamp.exists()
    assert "uninstall" not in " ".join(shell.commands)
    assert "set-up stopped at: TPT itself, .[local,dev]" in capsys.readouterr().err


def test_a_machine_that_is_not_fit_is_refused_before_anything_is_run(shell, monkeypatch, machine, capsys):
    monkeypatch.setattr(machines, "look", lambda _checkout: machine(memory=1, disk=1))
    assert setup.main([]) == 1
    assert shell.commands == []
    said = capsys.readouterr().err
    assert "  memory: " in said
    assert "  disk: " in said


def test_a_program_that_went_away_is_installed_and_the_environment_is_left_alone(shell, monkeypatch, machine):
    setup.main([])
    written = shell.stamp.read_text()
    shell.commands.clear()
    monkeypatch.setattr(machines, "look", lambda _checkout: machine(root=True, tools=frozenset(PROFILES["e2e"].tools) - {"runc"}))
    assert setup.main(["--profile", "e2e"]) == 0
    assert shell.commands == ["apt-get update", "apt-get install --yes --no-install-recommends runc"]
    assert shell.stamp.read_text() == written


def test_a_dry_run_prints_the_commands_and_runs_none(shell, capsys):
    assert setup.main(["--dry-run", "--profile", "dev"]) == 0
    assert shell.commands == []
    assert not shell.stamp.exists()
    assert "--editable .[dev]" in capsys.readouterr().out


def test_a_mac_is_told_which_engine_it_gets(shell, monkeypatch, mac, capsys):
    monkeypatch.setattr(machines, "look", lambda _checkout: mac)
    assert setup.main([]) == 0
    assert "the Transformers engine and plain training will be used" in capsys.readouterr().out


def test_outside_a_checkout_there_is_nothing_to_set_up(shell, capsys):
    (shell.checkout / "pyproject.toml").unlink()
    assert setup.main([]) == 1
    assert "run this in a checkout" in capsys.readouterr().err
