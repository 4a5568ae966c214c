"""Every command in the documentation: those of `tpt` are run, those for a cluster are taken apart and what they name is there."""

import json
import re
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from tests.chart.helm import helm
from tests.docs.pages import PAGES, ROOT, Command, blocks, commands
from tpt_runtime.artifacts.yaml import parse_resources, read_resources
from tpt_runtime.cli import main
from tpt_runtime.core.resource import parse_run
from tpt_runtime.core.spec import KIND

COMMANDS = commands()
NOT_RUN = {
    "report": "of a run that is there; tests/cli runs it",
    "demo-model": "trains a model; tests/demo runs it",
    "run": "carries out a whole run; tests/local runs it",
    "status": "asks a cluster; tests/cluster runs it",
    "watch": "asks a cluster; tests/cluster runs it",
    "fetch": "asks a cluster; tests/cluster runs it",
}
"""Commands of `tpt` whose arguments are only read here, and why."""
VERBS = {
    "kubectl": {
        "apply",
        "annotate",
        "create",
        "delete",
        "describe",
        "get",
        "kustomize",
        "logs",
        "patch",
        "rollout",
        "tpt",
        "wait",
    },
    "helm": {"install", "upgrade", "uninstall", "template", "test"},
}


def of(program: str) -> list[Command]:
    return [command for command in COMMANDS if command.program == program]


def value(command: Command, *flags: str) -> list[str]:
    """Return what follows any of `flags`."""
    pairs = zip(command.words, command.words[1:], strict=False)
    return [after for word, after in pairs if word in flags]


def verb(command: Command) -> str:
    """Return the first word that is no flag and no flag's value."""
    rest = list(command.arguments)
    while rest[0].startswith("-"):
        rest = rest[1:] if "=" in rest[0] else rest[2:]
    return rest[0]


def test_the_pages_have_commands_of_programs_that_are_known() -> None:
    assert {"make", "tpt", "kubectl", "helm"} <= {command.program for command in COMMANDS}
    known = {"make", "tpt", "kubectl", "helm", ".venv/bin/pytest", "python", "export", "TPT_E2E_CLUSTER=FOLDER"}
    assert [str(command) for command in COMMANDS if command.program not in known] == []


@pytest.mark.parametrize("command", of("make"), ids=str)
def test_what_is_made_can_be_made(command: Command) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert command.arguments[0] in targets


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the present folder: a checkout, with a file of questions in it and the run that a page makes of it."""
    for name in ("examples", "charts", "crds"):
        (tmp_path / name).symlink_to(ROOT / name)
    rows = [{"question": f"What is {number} and 1?", "answer": str(number + 1)} for number in range(100)]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", of("tpt"), ids=str)
def test_a_command_of_tpt_does_what_the_page_wants(command: Command, here: Path) -> None:
    name, *arguments = command.arguments
    if name in NOT_RUN:
        found = main.get_command(click.Context(main), name)
        assert found is not None
        found.make_context(name, arguments)
        return
    if "run.yaml" in arguments and name != "init":
        assert CliRunner().invoke(main, ["init", "run.yaml", "--data", "questions.jsonl"]).exit_code == 0
    result = CliRunner().invoke(main, list(command.arguments))
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("command", [*of("kubectl"), *of("helm")], ids=str)
def test_what_a_command_for_a_cluster_names_is_there(command: Command) -> None:
    assert verb(command) in VERBS[command.program]
    for name in value(command, "-f", "-k"):
        assert (ROOT / name).exists() or name == "operator.yaml", name
    for patch in value(command, "-p"):
        (run,) = read_resources(ROOT / "examples/quickstart/run.yaml")
        assert set(json.loads(patch)) == {"spec"}
        parse_run({**run, "spec": {**run["spec"], **json.loads(patch)["spec"]}}, "patched")


@pytest.mark.parametrize("command", [one for one in of("helm") if "charts/tpt-operator" in one.words], ids=str)
def test_the_chart_takes_the_values_of_a_command(command: Command) -> None:
    values = [word for setting in value(command, "--set") for word in ("--set", setting)]
    assert "kind: Deployment" in helm("template", "x", str(ROOT / "charts/tpt-operator"), *values)


def test_what_is_rendered_for_kubectl_holds_no_hooks_which_it_would_create_at_once() -> None:
    rendered = [command for command in of("helm") if verb(command) == "template"]
    assert rendered
    for command in rendered:
        flags = [word for word in command.arguments if word.startswith("--skip-")]
        assert "helm.sh/hook:" not in helm("template", "x", str(ROOT / "charts/tpt-operator"), *flags), command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_yaml_or_json_on_a_page_can_be_read(page: Path) -> None:
    for block in blocks(page, "json"):
        json.loads(block)
    for block in blocks(page, "yaml"):
        for document in parse_resources(block, page.name) if f"kind: {KIND}" in block else []:
            parse_run(document, page.name)
        list(yaml.safe_load_all(block))
