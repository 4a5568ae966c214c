"""The cluster of the end-to-end test: one that is named for it, or a node that is started on this machine and removed again.

Pods are evicted there, so what KUBECONFIG names is never used.

    TPT_E2E_KUBECONFIG   a cluster that offers storage of ReadWriteMany to the claim `runs`
    TPT_E2E_REGISTRY     where its nodes pull the images from, if they do not have them
    TPT_E2E_CLUSTER      else: a folder with the programs `assets`, `up`, `node` and `down`, which need root
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.binaries import in_ci
from tests.cluster.kube import Json, Kube

START_SECONDS = 180.0
LOAD_SECONDS = 600.0
STOP_SECONDS = 600.0
"""Images are many files, and all of them are deleted."""


class Cluster:
    """A cluster as its administrator sees it."""

    def __init__(self, kubeconfig: Path, programs: Path | None, folder: Path | None) -> None:
        self.kubeconfig, self.programs, self.folder = kubeconfig, programs, folder
        self.proxy_port = 0
        self.kube = Kube("")

    @property
    def is_ours(self) -> bool:
        """Whether it was started here, so that its kubelet may be restarted and its node's folders read."""
        return self.folder is not None

    def program(self, name: str) -> str:
        found = (shutil.which(name, path=str(self.programs)) if self.programs else None) or shutil.which(name)
        assert found, f"{name} is neither in {self.programs} nor on the PATH"
        return found

    def run(self, *command: str, seconds: float = 60.0, given: str | None = None) -> str:
        """Run a program against the cluster, within `seconds`, and return what it prints."""
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        line = " ".join(command)
        try:
            done = subprocess.run(
                [self.program(command[0]), *command[1:]],
                env=environment,
                input=given,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"`{line}` has not ended after {seconds:.0f} s: {error.stdout!r} {error.stderr!r}") from error
        assert done.returncode == 0, f"`{line}` ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def kubectl(self, *arguments: str, seconds: float = 60.0, given: str | None = None) -> str:
        return self.run("kubectl", *arguments, seconds=seconds, given=given)

    def apply(self, *manifests: Json, namespace: str) -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        self.kubectl("apply", "--namespace", namespace, "--filename", "-", given=text)

    def load(self, archive: Path) -> None:
        """Bring an archive of images to the node."""
        assert self.folder is not None
        socket = (self.folder / "containerd-socket").read_text().strip()
        self.run("ctr", "--address", socket, "--namespace", "k8s.io", "images", "import", str(archive), seconds=LOAD_SECONDS)

    def offer_gpus(self, count: int) -> None:
        """Have every node that has none offer `count` GPUs, in name only."""
        for node in self.kube.items("/api/v1/nodes"):
            path = f"/api/v1/nodes/{node['metadata']['name']}/status"
            if int(node["status"]["capacity"].get("nvidia.com/gpu", 0)) < count:
                self.kube.patch(path, {"status": {"capacity": {"nvidia.com/gpu": str(count)}}})

    def restart_kubelet(self) -> None:
        """End the kubelet and start it again as it was started."""
        assert self.folder is not None
        noted = self.folder / "kubelet.pid"
        number = int(noted.read_text())
        command = Path(f"/proc/{number}/cmdline").read_text().rstrip("\0").split("\0")
        os.kill(number, signal.SIGTERM)
        deadline = time.monotonic() + 30
        while Path(f"/proc/{number}").exists():
            assert time.monotonic() < deadline, "the kubelet does not end"
            time.sleep(0.1)
        detached = 'setsid nohup "$@" >>"$0" 2>&1 </dev/null & echo $!'
        log = str(self.folder / "log" / "kubelet.log")
        noted.write_text(self.run("bash", "-c", detached, log, *command))

    @contextlib.contextmanager
    def proxied(self) -> Iterator[None]:
        """Speak to the API server without credentials for as long as the context lasts; Prometheus does, too."""
        command = [self.program("kubectl"), "--kubeconfig", str(self.kubeconfig), "proxy", "--port=0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL) as process:
            try:
                assert process.stdout is not None
                self.proxy_port = int(process.stdout.readline().rpartition(":")[2])
                self.kube = Kube(f"http://127.0.0.1:{self.proxy_port}")
                yield
            finally:
                process.kill()


@contextlib.contextmanager
def cluster_for_test(folder: Path, logs: Path) -> Iterator[Cluster]:
    """Yield the cluster to use; one that is started here lies in `folder` and is removed at the end, save for its logs."""
    named, programs = os.environ.get("TPT_E2E_KUBECONFIG"), os.environ.get("TPT_E2E_CLUSTER")
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if named:
        found = Cluster(Path(named), Path(assets) if assets else None, None)
        with found.proxied():
            yield found
    elif programs:
        with _started(Path(programs), folder, logs) as found, found.proxied():
            yield found
    else:
        _leave_out("neither TPT_E2E_KUBECONFIG nor TPT_E2E_CLUSTER names a cluster")


@contextlib.contextmanager
def _started(programs: Path, folder: Path, logs: Path) -> Iterator[Cluster]:
    if os.geteuid() != 0:
        _leave_out("a node is started by root only; name a cluster by TPT_E2E_KUBECONFIG")
    before = _tables()
    try:
        assets = _said(programs / "assets", "core", "peers").strip()
        _said(programs / "up", folder, "--node")
        _said(programs / "node", folder)
        yield Cluster(folder / "kubeconfig", Path(assets), folder)
    finally:
        shutil.rmtree(logs, ignore_errors=True)
        if (folder / "log").is_dir():
            shutil.copytree(folder / "log", logs)
        _said(programs / "down", folder, "--delete", seconds=STOP_SECONDS)
        for table in _tables() - before:  # the kubelet and the network's plugins leave their rules
            _said("nft", "delete", "table", *table.split())


def _tables() -> set[str]:
    """Return the tables of the packet filter, each as family and name."""
    return {line.removeprefix("table ") for line in _said("nft", "list", "tables").splitlines()}


def _said(*command: Any, seconds: float = START_SECONDS) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def _leave_out(why: str) -> None:
    if in_ci(os.environ):
        pytest.fail(f"{why}, and CI must not pass without the end-to-end test")
    pytest.skip(f"{why}: the end-to-end test is left out")
