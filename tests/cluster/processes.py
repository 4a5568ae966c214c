"""Operators as processes of their own, under their own account."""

import os
import subprocess
import sys
from pathlib import Path

from tests.cluster.conftest import ROOT, Cluster, account
from tests.cluster.control_plane import kubeconfig

IMAGES = [f"--{role}-image={role}:1" for role in ("sampler", "pruner", "trainer")]
PROGRAM = ("-m", "tpt_operator")


class Processes:
    """Starts operators of one namespace, whose logs and kubeconfig lie in `folder`."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster, self._folder = cluster, folder
        self._config = folder / "kubeconfig"
        self._config.write_text(kubeconfig(cluster.plane, account(cluster.kube, cluster.namespace)))
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, *flags: str, program: tuple[str, ...] = PROGRAM, **environment: str) -> subprocess.Popen[bytes]:
        """Start one with `flags` besides those that every one needs."""
        python_path = f"{ROOT}:{Path(ROOT, 'operator')}"
        known = {**os.environ, "KUBECONFIG": str(self._config), "PYTHONPATH": python_path, **environment}
        command = [sys.executable, *program, *IMAGES, "--port=0", f"--namespace={self._cluster.namespace}", *flags]
        with self._log(len(self.running)).open("wb") as log:
            self.running.append(subprocess.Popen(command, env=known, cwd=ROOT, stdout=log, stderr=log))
        return self.running[-1]

    def log(self, process: subprocess.Popen[bytes]) -> str:
        """Return what one has said so far."""
        return self._log(self.running.index(process)).read_text(errors="replace")

    def logs(self) -> str:
        """Return what all of them have said so far."""
        return "".join(self.log(process) for process in self.running)

    def close(self) -> None:
        """End all that still run."""
        for process in self.running:
            process.kill()
            process.wait()

    def _log(self, number: int) -> Path:
        return self._folder / f"operator-{number}.log"
