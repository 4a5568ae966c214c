"""The command line itself: help, documentation, errors, and what is imported."""

import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tpt_runtime import __version__
from tpt_runtime.cli import group, main
from tpt_runtime.cli.ending import EXIT_SUSPENDED
from tpt_runtime.cli.run import SIGNALLED
from tpt_runtime.core.errors import (
    EXIT_ARTIFACT,
    EXIT_CONFIGURATION,
    EXIT_CRASH,
    ArtifactError,
    ConfigurationError,
    TptError,
)
from tpt_runtime.local.wakeups import STOPS
from tpt_runtime.local.workdir import EXIT_BUSY
from tpt_viewer import plugin

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "cli.md"
PROJECT = tomllib.loads((DOCUMENTATION.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEAVY = ("torch", "transformers", "vllm", "trl", "deepspeed", "datasets", "pyarrow", "altair", "kubernetes")
RUN = """
apiVersion: tpt.dev/v1alpha1
kind: SelfImprovementRun
metadata: {name: small}
spec:
  model: {uri: model}
  dataset: {train: {uri: train.jsonl}}
  storage: {persistentVolumeClaim: {claimName: runs}}
"""


def commands() -> dict[str, click.Command]:
    context = click.Context(main)
    found = {name: main.get_command(context, name) for name in main.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


NAMES = sorted([*group.COMMANDS, *plugin.COMMANDS])


def test_there_are_commands() -> None:
    assert {"run", "init", "validate", "plan", "report", "crd", "grade", "demo-model", "status", "watch"} <= commands().keys()


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help(name: str) -> None:
    command = commands()[name]
    assert command.name == name
    assert command.short_help
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert command.help is not None
    assert command.help.splitlines()[0].split()[0] in result.output


@pytest.mark.parametrize("name", NAMES)
def test_every_option_has_help(name: str) -> None:
    options = [param for param in commands()[name].params if isinstance(param, click.Option)]
    assert all(option.help for option in options)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_and_option_is_documented(name: str) -> None:
    text = DOCUMENTATION.read_text(encoding="utf-8")
    assert f"## `tpt {name}`" in text
    section = text.split(f"## `tpt {name}`")[1].split("\n## ")[0]
    for param in commands()[name].params:
        shown = [f"`{opt}`" for opt in param.opts if opt.startswith("--")] or [param.name.upper() if param.name else ""]
        assert any(option in section for option in shown), f"{param.opts} is not in docs/cli.md"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_documented_that_is_not_there(name: str) -> None:
    section = DOCUMENTATION.read_text(encoding="utf-8").split(f"## `tpt {name}`")[1].split("\n## ")[0]
    documented = {word for line in section.splitlines() if line.startswith("| `--") for word in line.split("|")[1].split("`")}
    known = {opt for param in commands()[name].params for opt in param.opts}
    assert {word for word in documented if word.startswith("--")} <= known


def test_every_exit_code_is_documented() -> None:
    section = DOCUMENTATION.read_text(encoding="utf-8").split("## Exit codes")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| ") and line[2].isdigit()]
    documented = {int(code) for row in rows for code in row.split(",")}
    stopped = {SIGNALLED + number for number in STOPS}
    ours = {0, click.UsageError.exit_code, EXIT_CRASH, EXIT_CONFIGURATION, EXIT_ARTIFACT, EXIT_SUSPENDED, EXIT_BUSY}
    assert documented == ours | stopped


def test_the_plugin_of_kubectl_has_the_commands_that_show_runs() -> None:
    declared = PROJECT["entry-points"]["tpt.commands"]
    assert declared == {name: f"{module}:command" for name, module in plugin.COMMANDS.items()}
    assert PROJECT["scripts"]["kubectl-tpt"] == "tpt_viewer.plugin:main"
    result = CliRunner().invoke(plugin.main, ["--help"])
    listed = result.output.split("Commands:\n")[1].splitlines()
    assert [line.split()[0] for line in listed] == list(plugin.COMMANDS)


def test_the_version_is_told() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert result.output.strip() == f"tpt, version {__version__}"


def test_a_wrong_command_line_exits_2() -> None:
    assert CliRunner().invoke(main, ["run"]).exit_code == 2
    assert CliRunner().invoke(main, ["nonsense"]).exit_code == 2


class TestErrors:
    def raising(self, error: Exception, monkeypatch: pytest.MonkeyPatch) -> click.testing.Result:
        def fail() -> None:
            raise error

        monkeypatch.setattr("tpt_runtime.cli.crd.command", click.Command("crd", callback=fail))
        return CliRunner().invoke(main, ["crd"])

    @pytest.mark.parametrize("error", [ConfigurationError("mend it"), ArtifactError("make it again"), TptError("try again")])
    def test_ours_are_told_without_a_traceback(self, error: TptError, monkeypatch: pytest.MonkeyPatch) -> None:
        result = self.raising(error, monkeypatch)
        assert result.exit_code == error.exit_code
        assert result.stderr == f"tpt: {error}\n"
        assert result.stdout == ""

    def test_what_the_system_refuses_is_told_without_a_traceback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        result = self.raising(PermissionError(13, "Permission denied", "run.yaml"), monkeypatch)
        assert (result.exit_code, result.stderr) == (1, "tpt: run.yaml: Permission denied\n")

    def test_any_other_comes_with_a_word_on_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        result = self.raising(ZeroDivisionError("oh"), monkeypatch)
        assert isinstance(result.exception, ZeroDivisionError)
        assert "please report it" in result.exception.__notes__[0]


def imported_by(arguments: list[str]) -> set[str]:
    """Return what a fresh interpreter has imported after `tpt ARGUMENTS`."""
    program = (
        "import sys\nfrom tpt_runtime.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print('MODULES', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    return set(ended.stdout.rpartition("MODULES ")[2].split())


def test_help_imports_no_library_but_click() -> None:
    found = imported_by(["--help"])
    assert "click" in found
    assert found.isdisjoint({*HEAVY, "pydantic", "rich", "ruamel", "jinja2"})


def test_a_file_is_validated_and_planned_without_model_libraries(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(RUN)
    for command in ("validate", "plan"):
        found = imported_by([command, str(file)])
        assert "pydantic" in found
        assert found.isdisjoint(HEAVY)


class TestCommandsOfOthers:
    @pytest.fixture(autouse=True)
    def plugin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Point:
            def __init__(self, name: str) -> None:
                self.name = name

            def load(self) -> click.Command:
                return click.Command(self.name, callback=lambda: click.echo("from elsewhere"), short_help="Elsewhere.")

        def entry_points(*, group: str) -> list[Point]:
            assert group == "tpt.commands"
            return [Point("watch"), Point("run")]

        monkeypatch.setattr(group, "entry_points", entry_points)

    def test_they_join_ours(self) -> None:
        assert "Elsewhere." in CliRunner().invoke(main, ["--help"]).output
        assert CliRunner().invoke(main, ["watch"]).output == "from elsewhere\n"

    def test_they_cannot_replace_ours(self) -> None:
        assert commands()["run"].short_help != "Elsewhere."
