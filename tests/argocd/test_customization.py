"""The health and the actions of runs in Argo CD, tried on runs as a real operator left them (tests/cluster/test_stages.py)."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.argocd.engine import CONFIG, CUSTOMIZATION, ArgoCD, Engine, Lua, read
from tpt_runtime.core.resource import parse_run
from tpt_runtime.core.spec import KIND

HEALTHS = yaml.safe_load((CUSTOMIZATION / "health_test.yaml").read_text())["tests"]
ACTIONS = yaml.safe_load((CUSTOMIZATION / "actions" / "action_test.yaml").read_text())
RUNS = sorted((CUSTOMIZATION / "testdata").glob("*.yaml"))


@pytest.fixture(params=[ArgoCD, Lua])
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.param()
    return found


def data() -> dict[str, str]:
    found: dict[str, str] = yaml.safe_load(CONFIG.read_text())["data"]
    return found


def test_the_entries_of_argocd_cm_are_the_text_of_the_files():
    files = {path: (CUSTOMIZATION / path).read_text() for path in ("health.lua", "actions/discovery.lua")}
    assert data().keys() == {f"resource.customizations.{part}.tpt.dev_{KIND}" for part in ("health", "actions")}
    assert data()[f"resource.customizations.health.tpt.dev_{KIND}"] == files["health.lua"]
    actions = yaml.safe_load(data()[f"resource.customizations.actions.tpt.dev_{KIND}"])
    assert actions["discovery.lua"] == files["actions/discovery.lua"]
    definitions = {item["name"]: item["action.lua"] for item in actions["definitions"]}
    folders = {path.parent.name: path.read_text() for path in (CUSTOMIZATION / "actions").glob("*/action.lua")}
    assert definitions == folders
    assert set(folders) == {"suspend", "resume"}


def test_every_run_is_tried_and_is_one():
    assert {CUSTOMIZATION / test["inputPath"] for test in HEALTHS} == set(RUNS)
    for path in RUNS:
        assert parse_run(read(path), path.name).metadata.name == "example"
    assert {test["healthStatus"]["status"] for test in HEALTHS} == {"Progressing", "Healthy", "Degraded", "Suspended"}


@pytest.mark.parametrize("test", HEALTHS, ids=lambda test: Path(test["inputPath"]).stem)
def test_the_health_of_a_run_is_what_its_status_says(test: dict[str, Any], engine: Engine):
    told = test["healthStatus"]
    assert engine.health(CUSTOMIZATION / test["inputPath"]) == (told["status"], told["message"])


@pytest.mark.parametrize("test", ACTIONS["discoveryTests"], ids=lambda test: Path(test["inputPath"]).stem)
def test_a_run_can_be_suspended_or_resumed(test: dict[str, Any], engine: Engine):
    expected = {item["name"]: item["disabled"] for item in test["result"]}
    assert engine.actions(CUSTOMIZATION / "actions" / test["inputPath"]) == expected


@pytest.mark.parametrize("test", ACTIONS["actionTests"], ids=lambda test: test["action"])
def test_an_action_changes_suspend_and_nothing_else(test: dict[str, Any], engine: Engine):
    given, expected = (CUSTOMIZATION / "actions" / test[name] for name in ("inputPath", "expectedOutputPath"))
    before, after = read(given), read(expected)
    assert {**after, "spec": {**after["spec"], "suspend": before["spec"]["suspend"]}} == before
    assert engine.changes(given, test["action"]) == {"suspend": after["spec"]["suspend"]}


def test_an_action_sets_suspend_where_it_was_never_set(tmp_path: Path, engine: Engine):
    run = read(CUSTOMIZATION / "testdata" / "running.yaml")
    del run["spec"]["suspend"]
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    assert engine.changes(tmp_path / "run.yaml", "suspend") == {"suspend": True}
    assert engine.actions(tmp_path / "run.yaml") == {"suspend": False, "resume": True}


def test_how_far_the_step_in_progress_is_is_told(tmp_path: Path, engine: Engine):
    run = read(CUSTOMIZATION / "testdata" / "running.yaml")
    run["status"]["progress"] = {"completed": 300, "total": 7473}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    status, message = engine.health(tmp_path / "run.yaml")
    assert (status, message.endswith("(300 of 7473)")) == ("Progressing", True)
