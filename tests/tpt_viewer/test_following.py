"""Following a run: from a work folder, and what the screen is given."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.tpt_viewer.test_seen import condition, run, sampling
from tpt_runtime.core.errors import ConfigurationError, TptError
from tpt_runtime.local.screen import View
from tpt_runtime.local.yamltext import yaml_text
from tpt_viewer import plugin, status, watch
from tpt_viewer.following import follow
from tpt_viewer.places import FolderPlace, is_folder

SPEC = {
    "model": {"uri": "model"},
    "dataset": {"train": {"uri": "train.jsonl"}},
    "storage": {"persistentVolumeClaim": {"claimName": "runs"}},
}


class Recorder:
    def __init__(self) -> None:
        self.shown: list[str] = []
        self.closed = False

    def say(self, text: str) -> None:
        self.shown.append(f"say {text}")

    def show(self, key: str, view: View) -> None:
        self.shown.append(f"show {key} {view.progress.completed if view.progress else '-'}")

    def forget(self, key: str) -> None:
        self.shown.append(f"forget {key}")

    def close(self) -> None:
        self.closed = True


def complete() -> Any:
    return run(conditions=[condition("Complete", "True", "MaxRoundsReached")])


def test_steps_are_shown_until_the_run_is_over() -> None:
    screen = Recorder()
    states = [(sampling(completed=1, total=4), ["sample started"]), (sampling(completed=2, total=4), []), (complete(), ["done"])]
    assert follow(iter([*states, (sampling(), ["never asked for"])]), screen) == complete()
    first = ["say sample started", "show round 1: sample 1", "show round 1: sample 2"]
    assert screen.shown == [*first, "say done", "forget round 1: sample"]
    assert screen.closed


def test_the_terminal_is_left_as_it_was_when_watching_breaks_off() -> None:
    screen = Recorder()
    with pytest.raises(TptError):
        follow(iter([(sampling(), [])]), screen)
    assert screen.closed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    body = {"apiVersion": "tpt.dev/v1alpha1", "kind": "SelfImprovementRun", "metadata": {"name": "small"}, "spec": SPEC}
    (tmp_path / "run.yaml").write_text(yaml_text(body))
    write(tmp_path, phase="Running", step="train", currentRound=1)
    return tmp_path


def write(folder: Path, **found: Any) -> None:
    (folder / "status.json").write_text(json.dumps(found))


def test_a_work_folder_is_followed_by_its_status(folder: Path) -> None:
    failed: dict[str, Any] = {"conditions": [condition("Failed", "True", "InvalidSpec")]}
    waits = iter([{"progress": {"completed": 3, "total": 9}}, {}, failed])

    def wait(seconds: float) -> None:
        change = next(waits)
        if change:
            write(folder, step="train", currentRound=1, **change)

    screen = Recorder()
    last = follow(FolderPlace(folder, wait).follow(), screen)
    assert last.exit_code == 64
    assert screen.shown == ["show round 1: train -", "show round 1: train 3", "forget round 1: train"]


def test_status_of_a_work_folder_needs_no_cluster(folder: Path) -> None:
    result = CliRunner().invoke(status.command, [str(folder)])
    assert (result.exit_code, result.stdout) == (0, "small: Running\n  round 1: train\n")


def test_watch_ends_as_the_run_ended(folder: Path) -> None:
    write(folder, conditions=[condition("Failed", "True", "AttemptsExhausted", "too often")])
    result = CliRunner().invoke(watch.command, [str(folder)])
    assert (result.exit_code, result.stdout) == (1, "small: Pending\n  AttemptsExhausted: too often\n")


def test_a_folder_where_nothing_was_begun_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no run was begun here"):
        FolderPlace(tmp_path).seen()


@pytest.mark.parametrize(("name", "expected"), [("runs/small", True), (".", True), ("..", True), ("small", False), ("./x", True)])
def test_a_name_with_a_slash_is_a_folder(name: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_folder(name) is expected


def test_a_folder_with_a_status_is_a_work_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert is_folder(folder.name)


class TestNoCluster:
    def test_without_a_kubeconfig_both_ways_out_are_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("KUBECONFIG", raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        result = CliRunner().invoke(plugin.main, ["status"])
        assert result.exit_code == 64
        assert f"KUBECONFIG is not set, and {tmp_path}/.kube/config is not there" in result.stderr
        assert "or give a work folder of `tpt run`" in result.stderr

    def test_a_kubeconfig_that_is_none_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        config = tmp_path / "config"
        config.write_text("{}")
        monkeypatch.setenv("KUBECONFIG", str(config))
        result = CliRunner().invoke(plugin.main, ["status"])
        assert result.exit_code == 64
        assert str(config) in result.stderr

    def test_a_name_and_all_namespaces_exclude_each_other(self) -> None:
        assert CliRunner().invoke(plugin.main, ["status", "x", "--all-namespaces"]).exit_code == 2
