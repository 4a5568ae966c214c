"""Stands in for a node: the pods of one namespace run as processes of this machine, each under its own account.

What a pod says of its images, user and volumes is not carried out: its command runs with this Python, a claim is a folder of that
name, and a fixed port becomes a free one. Command, arguments, environment, account, probes, exit code and termination message are
the pod's.
"""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.control_plane import ControlPlane, kubeconfig
from tests.cluster.kube import PODS, Json, Kube, Refused
from tests.cluster.kubelet import NOW

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 30.0
MOUNTED = "/storage"
PORT = "--port=8080"
PRIVATE = ("TPT_METRICS_PORT", "HOME", "TMPDIR")
"""Variables of a container that would collide on one machine."""


@dataclass
class Running:
    """A pod and its process."""

    pod: Json
    process: subprocess.Popen[bytes]
    log: Path
    message: Path
    port: int
    """Where its probes are answered."""
    ready: bool = False
    ended: bool = False


@dataclass
class ProcessNode:
    """Runs the pods of `namespace`, whose processes reach the API server as `plane` says."""

    plane: ControlPlane
    namespace: str
    folder: Path
    all: dict[str, Running] = field(default_factory=dict)
    """By UID, in the order in which they began."""

    def __enter__(self) -> "ProcessNode":
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(STOP_SECONDS)
        for running in self.all.values():
            running.process.kill()
            running.process.wait()

    @property
    def kube(self) -> Kube:
        return Kube(self.plane.url, self.plane.authority if self.plane.url.startswith("https") else None, self.plane.token)

    def log(self, name: str) -> str:
        """Return what the pods have said whose names begin with `name`."""
        found = [running for running in self.all.values() if running.pod["metadata"]["name"].startswith(name)]
        return "".join(running.log.read_text(errors="replace") for running in found)

    def _work(self) -> None:
        while not self._stop.is_set():
            for event in self.kube.watch(PODS.format(self.namespace), 0.3):
                self._look(event["type"], event["object"])
            for running in self.all.values():
                self._tell(running)

    def _look(self, event: str, pod: Json) -> None:
        uid = pod["metadata"]["uid"]
        if event == "DELETED":
            if uid in self.all and not self.all[uid].ended:
                self.all[uid].process.send_signal(signal.SIGTERM)
        elif uid not in self.all:
            self.all[uid] = self._start(pod)

    def _tell(self, running: Running) -> None:
        """Write what has changed of a pod into its status."""
        code = running.process.poll()
        if running.ended or (code is None and running.ready):
            return
        if code is None and not self._answers(running):
            return
        running.ready, running.ended = True, code is not None
        path = f"{PODS.format(self.namespace)}/{running.pod['metadata']['name']}/status"
        try:
            self.kube.patch(path, {"status": _status(running, code), "metadata": {"uid": running.pod["metadata"]["uid"]}})
        except Refused as refused:
            if refused.status not in (404, 409):  # deleted meanwhile, and perhaps made again
                raise

    def _answers(self, running: Running) -> bool:
        """Return whether a container's readiness probe succeeds; without one it is ready at once."""
        probe = running.pod["spec"]["containers"][0].get("readinessProbe")
        if probe is None:
            return True
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=1)
        try:
            connection.request("GET", probe["httpGet"]["path"])
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _start(self, pod: Json) -> Running:
        metadata, (container,) = pod["metadata"], pod["spec"]["containers"]
        home = self.folder / metadata["uid"]
        home.mkdir(parents=True)
        claims = [
            volume["persistentVolumeClaim"]["claimName"] for volume in pod["spec"]["volumes"] if "persistentVolumeClaim" in volume
        ]
        storage = self.folder / "claims" / (claims or ["none"])[0]
        storage.mkdir(parents=True, exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as held:
            port = held.getsockname()[1]
        line = [*container["command"], *container.get("args", ())]
        told = [part.replace(MOUNTED, str(storage)).replace(PORT, f"--port={port}") for part in line]
        environment = dict(_environment(pod)) | self._surroundings(pod, home)
        with (home / "log").open("wb") as log:
            command = [sys.executable if part == "python" else part for part in told]
            process = subprocess.Popen(command, env=environment, cwd=home, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        return Running(pod, process, home / "log", home / "termination-log", port)

    def _surroundings(self, pod: Json, home: Path) -> dict[str, str]:
        own = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT / 'operator'}", "HOME": str(home), "TMPDIR": str(home)}
        own["TPT_TERMINATION_LOG"] = str(home / "termination-log")
        if pod["spec"].get("automountServiceAccountToken", True):
            accounts = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{pod['spec']['serviceAccountName']}"
            token = self.kube.post(f"{accounts}/token", {"spec": {}})["status"]["token"]
            (home / "kubeconfig").write_text(kubeconfig(self.plane, token))
            own["KUBECONFIG"] = str(home / "kubeconfig")
        return own


def _environment(pod: Json) -> Iterator[tuple[str, str]]:
    """Yield the container's own variables: plain ones, and those that an annotation of the pod gives."""
    for entry in pod["spec"]["containers"][0].get("env", ()):
        place = entry.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath", "")
        if entry["name"] in PRIVATE:
            continue
        if "valueFrom" not in entry:
            yield entry["name"], entry.get("value", "")
        elif named := re.fullmatch(r"metadata\.(annotations|labels)\['(.+)'\]", place):
            yield entry["name"], pod["metadata"][named[1]][named[2]]


def _status(running: Running, code: int | None) -> Json:
    name = running.pod["spec"]["containers"][0]["name"]
    state: Json = {"running": {"startedAt": NOW}}
    phase = "Running"
    if code is not None:
        message = running.message.read_text() if running.message.exists() else ""
        state = {"terminated": {"exitCode": code, "startedAt": NOW, "finishedAt": NOW, "message": message}}
        phase = "Failed" if code else "Succeeded"
    ready = code is None
    container = {"name": name, "image": "x", "imageID": "", "ready": ready, "restartCount": 0, "state": state}
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": stamp}
    return {"phase": phase, "startTime": NOW, "conditions": [condition], "containerStatuses": [container]}
