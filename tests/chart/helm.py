"""Helm as a process: what the chart renders to."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.binaries import KUBERNETES, in_ci

CHART = Path(__file__).parents[2] / "charts" / "tpt-operator"
SECONDS = 60.0

Json = dict[str, Any]


class HelmRefused(Exception):
    """Helm did not do it."""


def program(name: str = "helm") -> str:
    """Return where Helm is (`helm3`: its version 3); without it the test is left out, but not in CI."""
    named = os.environ.get("KUBEBUILDER_ASSETS")
    found = shutil.which(name, path=named) if named else None
    found = found or shutil.which(name)
    if found is None:
        why = f"there is no {name} in KUBEBUILDER_ASSETS or on the PATH"
        if in_ci(os.environ):
            pytest.fail(f"{why}, and CI must not pass without the tests of the chart")
        pytest.skip(f"{why}: the tests of the chart are left out")
    return found


def helm(*arguments: str, name: str = "helm", kubeconfig: Path | None = None, seconds: float = SECONDS, given: str = "") -> str:
    """Run Helm, against the cluster of `kubeconfig` if there is one, and return what it prints; it reads `given`."""
    environment = dict(os.environ) | ({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})
    command = [program(name), *arguments]
    done = subprocess.run(command, env=environment, input=given, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode != 0:
        raise HelmRefused(f"{name} {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout


def rendered_with(values: Json, namespace: str = "tpt-system", name: str = "helm") -> list[Json]:
    """Return the manifests of a release `tpt-operator` with `values` over the chart's."""
    arguments = ("template", "tpt-operator", str(CHART), f"--namespace={namespace}", f"--kube-version={KUBERNETES}", "--values=-")
    text = helm(*arguments, name=name, given=json.dumps(values))
    return [document for document in yaml.safe_load_all(text) if document]


def rendered(namespace: str = "tpt-system", **values: Any) -> list[Json]:
    """Return the manifests of a release `tpt-operator`; `values` by their paths, with `__` for a dot."""
    settings = [f"--set={name.replace('__', '.')}={value}" for name, value in values.items()]
    text = helm("template", "tpt-operator", str(CHART), f"--namespace={namespace}", *settings)
    return [document for document in yaml.safe_load_all(text) if document]


def one(manifests: list[Json], kind: str, name: str = "tpt-operator") -> Json:
    (found,) = (item for item in manifests if (item["kind"], item["metadata"]["name"]) == (kind, name))
    return found
