"""A real Kueue beside a control plane, by the script that TPT_E2E_CLUSTER names, and what an administrator makes for it."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.cluster.control_plane import ControlPlane
from tests.cluster.kube import Json, Kube

API = "/apis/kueue.x-k8s.io/v1beta2"
QUEUE = "team-a"
START_SECONDS = 120.0


def script() -> Path | None:
    """Return the program that starts a Kueue for a control plane in a folder, if there is one."""
    named = os.environ.get("TPT_E2E_CLUSTER")
    found = Path(named) / "kueue" if named else None
    return found if found is not None and found.is_file() else None


@contextlib.contextmanager
def kueue(start: Path, plane: ControlPlane, folder: Path) -> Iterator[None]:
    """Run Kueue against a control plane; its log lies in `folder`."""
    (folder / "log").mkdir()
    shutil.copy(plane.kubeconfig, folder / "kubeconfig")
    environment = {name: value for name, value in os.environ.items() if name != "KUBEBUILDER_ASSETS"}
    with (Path(tempfile.gettempdir()) / "tpt-kueue.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # each start writes the machine's one certificate for metrics
        subprocess.run([start, folder], env=environment, check=True, timeout=START_SECONDS, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        os.kill(int((folder / "kueue.pid").read_text()), signal.SIGKILL)


class Queue:
    """A ClusterQueue of one namespace alone, and the LocalQueue `team-a` that leads to it."""

    def __init__(self, kube: Kube, namespace: str, pods: int) -> None:
        """Make them, with room for so many pods."""
        self._kube, self._namespace = kube, namespace
        self._path = f"{API}/clusterqueues/{namespace}"
        flavors = [{"name": "any", "resources": [{"name": "pods", "nominalQuota": pods}]}]
        spec: Json = {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "resourceGroups": [{"coveredResources": ["pods"], "flavors": flavors}],
            "preemption": {"withinClusterQueue": "LowerPriority"},
        }
        kube.post(f"{API}/clusterqueues", _object("ClusterQueue", namespace, spec=spec))
        local = _object("LocalQueue", QUEUE, spec={"clusterQueue": namespace})
        kube.post(f"{API}/namespaces/{namespace}/localqueues", local)

    def stop(self, policy: str) -> None:
        """Say whether it admits: None, Hold, or HoldAndDrain, which takes back what it has admitted."""
        self._kube.patch(self._path, {"spec": {"stopPolicy": policy}})

    def give(self, pods: int) -> None:
        """Have room for so many pods."""
        path = "/spec/resourceGroups/0/flavors/0/resources/0/nominalQuota"
        self._kube.patch(self._path, [{"op": "replace", "path": path, "value": pods}], "json-patch+json")

    def workloads(self, job: str = "") -> list[Json]:
        """Return the Workloads of the namespace, of Jobs whose names contain `job`."""
        found = self._kube.items(f"{API}/namespaces/{self._namespace}/workloads")
        return [workload for workload in found if job in workload["metadata"]["name"]]

    def activate(self, workload: Json, *, active: bool) -> None:
        """Have a Workload be admitted, or taken back and kept out."""
        path = f"{API}/namespaces/{self._namespace}/workloads/{workload['metadata']['name']}"
        self._kube.patch(path, {"spec": {"active": active}})

    def remove(self) -> None:
        self._kube.delete(self._path)


def furnish(kube: Kube) -> None:
    """Make what all queues share: a flavor, and two priorities."""
    kube.post(f"{API}/resourceflavors", _object("ResourceFlavor", "any"))
    for name, value in (("low", 10), ("high", 1000)):
        kube.post(f"{API}/workloadpriorityclasses", _object("WorkloadPriorityClass", name, value=value))


def is_true(workload: Json, kind: str, status: str = "True") -> bool:
    """Return whether a condition of a Workload is True, or what `status` says."""
    conditions = workload.get("status", {}).get("conditions", ())
    return any((item["type"], item["status"]) == (kind, status) for item in conditions)


def _object(kind: str, name: str, **more: Any) -> Json:
    return {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": kind, "metadata": {"name": name}, **more}


def audit_arguments(folder: Path) -> tuple[str, str]:
    """Return the API server's arguments that have it record, in `folder`, every write of a Job with its content."""
    policy = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {
                "level": "Request",
                "verbs": ["create", "update", "patch", "delete", "deletecollection"],
                "resources": [{"group": "batch", "resources": ["jobs", "jobs/status"]}],
            },
            {"level": "None"},
        ],
    }
    (folder / "audit-policy.json").write_text(json.dumps(policy))
    return f"--audit-policy-file={folder / 'audit-policy.json'}", f"--audit-log-path={folder / 'audit.log'}"


def job_writes(folder: Path, namespace: str, user: str) -> list[Json]:
    """Return what a user has done to the Jobs in a namespace, dry runs and what was refused apart, in order."""
    lines = (json.loads(line) for line in (folder / "audit.log").read_text().splitlines())
    mine = (line for line in lines if line["objectRef"].get("namespace") == namespace and line["user"]["username"] == user)
    return [line for line in mine if "dryRun" not in line["requestURI"] and line["responseStatus"]["code"] < 300]
