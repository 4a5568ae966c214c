"""What the Lua of examples/argocd makes of a run, asked of Argo CD's own engine, and of Lua itself, which needs no Argo CD.

Argo CD reads argocd-cm, as an administrator applies it. Lua reads the files in Argo CD's layout.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Protocol

import lupa.lua51
import pytest
import yaml

from tests.cluster.binaries import in_ci
from tpt_runtime.artifacts.yaml import read_resources

EXAMPLES = Path(__file__).parents[2] / "examples" / "argocd"
CONFIG = EXAMPLES / "argocd-cm.yaml"
CUSTOMIZATION = EXAMPLES / "resource_customizations" / "tpt.dev" / "SelfImprovementRun"
SECONDS = 60.0

Json = dict[str, Any]


class Engine(Protocol):
    """Answers questions after one run, which is in a file."""

    def health(self, run: Path) -> tuple[str, str]:
        """Return its health, and what is said of it."""

    def actions(self, run: Path) -> dict[str, bool]:
        """Return its actions and whether they are disabled."""

    def changes(self, run: Path, action: str) -> Json:
        """Return the fields that an action changes, without those that they lie in."""


class ArgoCD:
    """The program `argocd`, which needs no cluster for this."""

    def health(self, run: Path) -> tuple[str, str]:
        found = re.fullmatch(r"STATUS: (.*)\nMESSAGE: (.*)\n", self._ask("health", str(run)))
        assert found, "argocd tells a health in another form"
        return found[1], found[2]

    def actions(self, run: Path) -> dict[str, bool]:
        _, *rows = self._ask("list-actions", str(run)).splitlines()
        return {name: disabled == "true" for name, disabled in map(str.split, rows)}

    def changes(self, run: Path, action: str) -> Json:
        said = self._ask("run-action", str(run), action)
        fields: Json = yaml.safe_load("\n".join(line[1:].strip() for line in said.splitlines() if line.startswith(">"))) or {}
        return fields

    def _ask(self, question: str, *arguments: str) -> str:
        command = [argocd(), "admin", "settings", "resource-overrides", question, *arguments, "--argocd-cm-path", str(CONFIG)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode == 0, f"argocd {question}: {done.stdout}{done.stderr}"
        return done.stdout


class Lua:
    """Lua 5.1, which Argo CD's engine is one of too."""

    def health(self, run: Path) -> tuple[str, str]:
        told = _lua(CUSTOMIZATION / "health.lua", run)
        return told["status"], told["message"]

    def actions(self, run: Path) -> dict[str, bool]:
        told = _lua(CUSTOMIZATION / "actions" / "discovery.lua", run)
        return {name: action["disabled"] for name, action in told.items()}

    def changes(self, run: Path, action: str) -> Json:
        suspend = _lua(CUSTOMIZATION / "actions" / action / "action.lua", run)["spec"]["suspend"]
        return {} if read(run)["spec"].get("suspend") is suspend else {"suspend": suspend}


def _lua(script: Path, run: Path) -> Any:
    runtime = lupa.lua51.LuaRuntime()
    runtime.globals().obj = runtime.table_from(read(run), recursive=True)
    return runtime.execute(script.read_text())


def read(file: Path) -> Json:
    """Return the one resource of a file."""
    (found,) = read_resources(file)
    return dict(found)


def argocd() -> str:
    """Return where the program is; without it the test is left out, but not in CI."""
    found = shutil.which("argocd", path=os.environ.get("KUBEBUILDER_ASSETS")) or shutil.which("argocd")
    if found is not None:
        return found
    why = "there is no argocd in KUBEBUILDER_ASSETS or on the PATH"
    if in_ci(os.environ):
        pytest.fail(f"{why}, and CI must not pass without what it makes of runs")
    pytest.skip(f"{why}: the Lua is tried without it")
