"""A real Argo CD beside a control plane, the repositories that it follows, and a record of all that it says.

Its controller and its repository server are processes, which the programs in the folder `TPT_E2E_CLUSTER` start and stop. It has
no page and no API of its own here: Applications are resources, as in `kubectl apply`.
"""

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.argocd.engine import CONFIG, EXAMPLES
from tests.cluster.binaries import in_ci
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kube import Json, Kube

APPLICATIONS = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications"
CONFIG_MAPS = "/api/v1/namespaces/argocd/configmaps"
REFRESH = "argocd.argoproj.io/refresh"
START_SECONDS = 120.0
SECONDS = 90.0
ASKED, ASKED_SECONDS = 30, 3.0
"""How often an Application is asked to be compared, and after how long it is asked again."""
NEEDED = ("redis-server", "git")
REDIS = Path(sys.prefix, "redis-server")
"""Where the set-up unpacks Debian's packages."""
PATH = f"{os.environ['PATH']}:{REDIS / 'usr' / 'bin'}"


def programs() -> Path:
    """Return the folder with what starts Argo CD; without it the test is left out, but not in CI."""
    folder = Path(os.environ.get("TPT_E2E_CLUSTER", ""))
    lacking = [name for name in NEEDED if shutil.which(name, path=PATH) is None]
    why = f"there is no {' and no '.join(lacking)} here (Debian's packages of that name have it)" if lacking else ""
    if not (folder / "argocd").is_file():
        why = "TPT_E2E_CLUSTER names no folder that can start Argo CD"
    if why and in_ci(os.environ):
        pytest.fail(f"{why}, and CI must not pass without the tests of Argo CD")
    if why:
        pytest.skip(f"{why}: what Argo CD makes of runs is not tested")
    return folder


@contextlib.contextmanager
def argocd(plane: ControlPlane, folder: Path) -> Iterator["Argo"]:
    """Run Argo CD on `plane`, set up as docs/argocd.md says, with its logs in `folder`; it ends with the context."""
    started_by = programs()
    (folder / "log").mkdir(parents=True)
    shutil.copy(plane.kubeconfig, folder / "kubeconfig")
    libraries = ":".join(map(str, REDIS.glob("usr/lib/*")))
    environment = {**os.environ, "KUBEBUILDER_ASSETS": str(plane.programs), "PATH": PATH, "LD_LIBRARY_PATH": libraries}
    try:
        _run(started_by / "argocd", folder, environment=environment, seconds=START_SECONDS)
        argo = Argo(plane.kube())
        settings = yaml.safe_load(CONFIG.read_text())
        force = {"fieldManager": "kubectl", "force": "true"}
        argo.kube.patch(f"{CONFIG_MAPS}/argocd-cm", settings, kind="apply-patch+yaml", **force)
        yield argo
    finally:
        _run(started_by / "down", folder, environment=environment, seconds=START_SECONDS)


def _run(*command: str | Path, environment: dict[str, str] | None = None, seconds: float = 30.0) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}"
    return done.stdout


class Argo:
    """Applications as an administrator sees them."""

    def __init__(self, kube: Kube) -> None:
        self.kube = kube

    def create(self, example: str, repository: "Repository", namespace: str) -> None:
        """Create the Application of examples/argocd, which follows `repository` into `namespace`."""
        made = yaml.safe_load((EXAMPLES / example).read_text())
        made["spec"]["source"] |= {"repoURL": repository.url}
        made["spec"]["destination"]["namespace"] = namespace
        self.kube.post(APPLICATIONS, made)

    def get(self, name: str) -> Json:
        return self.kube.get(f"{APPLICATIONS}/{name}")

    def refresh(self, name: str) -> None:
        """Have an Application compared with its repository anew, and wait until that is done.

        It is asked again while it stands: just after it has written, Argo CD overlooks what it is asked, until something changes.
        """
        for attempt in range(ASKED):
            asked = {REFRESH: "hard", "tests/attempt": str(attempt)}
            self.kube.patch(f"{APPLICATIONS}/{name}", {"metadata": {"annotations": asked}})
            for event in self._watch(name, ASKED_SECONDS):
                if REFRESH not in event["object"]["metadata"].get("annotations", {}):
                    return
        raise AssertionError(f"the Application {name} is not refreshed")

    def wait(self, name: str, holds: Callable[[Json], Any], what: str) -> Json:
        """Wait, on a watch, until an Application is as `holds` says."""
        last: Json = {}
        for event in self._watch(name, SECONDS):
            last = event["object"]
            if holds(last):
                return last
        raise AssertionError(f"the Application {name} is not {what} after {SECONDS:.0f} s: {last.get('status')}")

    def _watch(self, name: str, seconds: float) -> Iterator[Json]:
        return self.kube.watch(APPLICATIONS, seconds, fieldSelector=f"metadata.name={name}")

    def wait_for_health(self, name: str, health: str) -> Json:
        return self.wait(name, lambda app: app.get("status", {}).get("health", {}).get("status") == health, health)

    def wait_for_sync(self, name: str, revision: str) -> Json:
        """Wait until an Application is what its repository says at `revision`, and no sync of it is under way."""
        return self.wait(name, lambda app: _synced(app.get("status", {}), revision), f"synced to {revision}")


def _synced(status: Json, revision: str) -> bool:
    sync, operation = status.get("sync", {}), status.get("operationState", {})
    at = operation.get("syncResult", {}).get("revision")
    return (sync.get("status"), sync.get("revision"), operation.get("phase"), at) == ("Synced", revision, "Succeeded", revision)


class Repository:
    """A repository of git in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder, self.url = folder, f"file://{folder}"
        self._git("init", "--quiet", "--initial-branch=main")

    def commit(self, message: str) -> str:
        """Commit all that has changed; return the revision."""
        self._git("add", "--all")
        self._git("-c", "user.name=Test", "-c", "user.email=test@example.com", "commit", "--quiet", "--message", message)
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        return _run("git", "-C", self.folder, *arguments)


class Record:
    """Every event of one kind of object from now on, in a thread of its own."""

    def __init__(self, kube: Kube, path: str) -> None:
        self.events: list[Json] = []
        self._kube, self._path = kube, path
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        # The control plane ends before this does.
        with contextlib.suppress(OSError, http.client.HTTPException, json.JSONDecodeError):
            for event in self._kube.watch(self._path, 3600.0):
                self.events.append(event)
