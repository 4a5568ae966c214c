"""The two that are measured: the operator with its runs, and JobSet with a chain of Jobs of the same length."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import psutil
import yaml

from benchmarks.fleet.cluster import NAMESPACE, Cluster, until
from benchmarks.fleet.figures import Counts, Request
from benchmarks.fleet.kube import Json, Kube, Refused

ROOT: Final = Path(__file__).parents[2]
CHAIN: Final = ("prepare", "sample", "prune", "train", "evaluate", "grade", "finalize")
"""The steps of a run of one round, each one Job of one pod."""
TTL: Final = 60
"""Seconds after which a finished Job is cleaned up: both sides are measured with clean-up going on."""
POD: Final[Json] = {"fake/duration": "24h"}
"""Annotations: KWOK has the pod run, and the benchmark ends it."""
STOP_SECONDS: Final = 30.0


class Side(Protocol):
    """One of the two."""

    name: str
    kind: str
    """Of what it carries out."""
    path: str
    """Where those are."""
    messages: Mapping[str, str]
    """The termination messages that pods end with, by step."""

    @property
    def process(self) -> psutil.Process:
        """Its process."""

    def manifest(self, name: str) -> Json:
        """Return one more thing for it to carry out: seven Jobs, one after the other."""

    def own(self, requests: Counts) -> Counts:
        """Return those requests that were its own; Events apart, of which every controller writes some."""


class Operator:
    """This project's operator: a process of its own, under its own account, which may do what the chart lets it."""

    name = "the operator"
    kind = "SelfImprovementRun"
    path = f"/apis/tpt.dev/v1alpha1/namespaces/{NAMESPACE}/selfimprovementruns"

    def __init__(self, folder: Path) -> None:
        """Have its words, and how it reaches the cluster, in `folder`."""
        self.messages: Mapping[str, str] = {step: json.dumps(summary(step)) for step in CHAIN}
        self._log, self._config = folder / "operator.log", folder / "operator.kubeconfig"
        with socket.create_server(("127.0.0.1", 0)) as held:
            self.port: int = held.getsockname()[1]
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> psutil.Process:
        """Its process."""
        if self._running is None:
            raise RuntimeError("the operator does not run")
        if self._running.poll() is not None:
            raise RuntimeError(f"the operator has ended with {self._running.returncode}; see {self._log}")
        return psutil.Process(self._running.pid)

    async def set_up(self, kube: Kube) -> None:
        """Install the CRD, an account with the chart's permissions and a claim; start the operator."""
        definition = yaml.safe_load((ROOT / "crds/tpt.dev_selfimprovementruns.yaml").read_text(encoding="utf-8"))
        await kube.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        for path, body in (*_account(), *_claim()):
            await kube.post(path, body, exists=True)
        await until(lambda: _served(kube, self.path), "the CRD is served")
        token = await kube.post(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/tpt-operator/token", {"spec": {}})
        self._config.write_text(json.dumps(_kubeconfig(kube.cluster, token["status"]["token"])))
        self.start()

    def start(self) -> None:
        """Start its process."""
        images = [f"--{role}-image={role}:1" for role in ("sampler", "pruner", "trainer")]
        chosen = [f"--lease-namespace={NAMESPACE}", f"--port={self.port}", "--log-level=WARNING"]
        environment = {**os.environ, "KUBECONFIG": str(self._config), "PYTHONPATH": f"{ROOT}:{ROOT / 'operator'}"}
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "tpt_operator", *images, *chosen]
            self._running = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def stop(self) -> None:
        """Ask it to stop, as a roll-out does, and wait for its end."""
        if self._running is None:
            return
        self._running.send_signal(signal.SIGTERM)
        try:
            self._running.wait(STOP_SECONDS)
        finally:
            self._running.kill()
            self._running.wait()
            self._running = None

    def manifest(self, name: str) -> Json:
        """Return a run of one round."""
        worker = {"annotations": POD}
        spec = {
            "maxRounds": 1,
            "model": {"uri": "model"},
            "dataset": {"train": {"uri": "data/train.jsonl"}, "prompt": {"template": "{{ question }}"}},
            "storage": {"persistentVolumeClaim": {"claimName": "runs"}},
            "worker": worker,
            "retention": {"jobTTLSecondsAfterFinished": TTL},
        }
        return {"apiVersion": "tpt.dev/v1alpha1", "kind": "SelfImprovementRun", "metadata": {"name": name}, "spec": spec}

    def own(self, requests: Counts) -> Counts:
        """Return what only the operator asks for. Other programs write the status of Jobs, delete them, and renew Leases too."""
        mine = {"selfimprovementruns/status", "services", "networkpolicies"}
        return {kind: count for kind, count in requests.items() if kind.resource in mine or _of_jobs(kind)}


class JobSets:
    """The peer: JobSets whose Jobs depend on each other's completion."""

    name = kind = "JobSet"
    messages: Mapping[str, str] = {}
    path = f"/apis/jobset.x-k8s.io/v1alpha2/namespaces/{NAMESPACE}/jobsets"

    def __init__(self) -> None:
        """Nothing runs before `set_up`."""
        self._process: psutil.Process | None = None

    @property
    def process(self) -> psutil.Process:
        """Its process."""
        if self._process is None:
            raise RuntimeError("JobSet does not run")
        return self._process

    async def set_up(self, cluster: Cluster, kube: Kube) -> None:
        """Install and start it."""
        await cluster.program("jobset")
        self._process = psutil.Process(int((cluster.folder / "jobset.pid").read_text()))
        await until(lambda: _served(kube, self.path), "JobSets are served")

    def manifest(self, name: str) -> Json:
        """Return a chain of Jobs."""
        pod = {"restartPolicy": "Never", "containers": [{"name": "step", "image": "step:1"}]}
        template = {"metadata": {"annotations": POD}, "spec": pod}
        jobs: list[Json] = []
        for before, step in zip((None, *CHAIN), CHAIN, strict=False):
            job: Json = {"name": step, "replicas": 1, "template": {"spec": {"backoffLimit": 0, "template": template}}}
            jobs.append(job if before is None else {**job, "dependsOn": [{"name": before, "status": "Complete"}]})
        spec = {"replicatedJobs": jobs, "network": {"enableDNSHostnames": False}, "ttlSecondsAfterFinished": TTL}
        return {"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {"name": name}, "spec": spec}

    def own(self, requests: Counts) -> Counts:
        """Return what only JobSet asks for."""
        mine = {"jobsets/status", "jobsets", "services"}
        made_here = Request("POST", "jobsets", dry=False)
        return {
            kind: count for kind, count in requests.items() if (kind.resource in mine or _of_jobs(kind)) and kind != made_here
        }


def summary(step: str) -> Json:
    """Return what a step of a run of one round would hand in."""
    said: Json = {"step": step, "digest": "0"}
    match step:
        case "prepare":
            said["resolved"] = {"counts": {"train": 7473}}
        case "sample" | "evaluate":
            said |= {"shard": 0, "prompts": 7473, "samples": 74730, "tokens": 14946000}
        case "prune" | "grade":
            value = 0.5 if step == "grade" else 0.4
            said["outcome"] = "GradedOnly" if step == "grade" else "Trainable"
            said["metrics"] = [{"name": "validation/pass@1", "value": value, "low": value - 0.05, "high": value + 0.05}]
            if step == "prune":
                said |= {"samples": {"total": 74730, "correct": 30000, "wrong": 44730}, "examples": 2000}
        case "train":
            said["metrics"] = [{"name": "train/loss", "value": 0.7}]
    return said


def _of_jobs(kind: Request) -> bool:
    """Return whether a Job was made or patched; the Job controller writes its status only, and clean-up deletes."""
    return kind.resource == "jobs" and kind.verb in ("POST", "PATCH", "APPLY", "PUT")


async def _served(kube: Kube, path: str) -> bool:
    try:
        await kube.get(path, limit="1")
    except Refused:
        return False
    return True


def _account() -> list[tuple[str, Json]]:
    rules: Any = yaml.safe_load((ROOT / "charts/tpt-operator/files/rbac-rules.yaml").read_text(encoding="utf-8"))
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    metadata = {"name": "tpt-operator"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "tpt-operator"}
    subject = {"kind": "ServiceAccount", "name": "tpt-operator", "namespace": NAMESPACE}
    return [
        (f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": metadata}),
        (f"{rbac}/clusterroles", {"metadata": metadata, "rules": rules}),
        (f"{rbac}/clusterrolebindings", {"metadata": metadata, "roleRef": role, "subjects": [subject]}),
    ]


def _claim() -> list[tuple[str, Json]]:
    """Return a claim, bound by name, so that the scheduler lets pods have it; nothing is ever mounted."""
    shared: Json = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    reference = {"namespace": NAMESPACE, "name": "runs"}
    volume = {**shared, "capacity": {"storage": "1Ti"}, "hostPath": {"path": "/nowhere"}, "claimRef": reference}
    claim = {**shared, "resources": {"requests": {"storage": "1Ti"}}, "volumeName": "runs"}
    metadata = {"name": "runs"}
    return [
        ("/api/v1/persistentvolumes", {"metadata": metadata, "spec": volume}),
        (f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims", {"metadata": metadata, "spec": claim}),
    ]


def _kubeconfig(cluster: Json, token: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": cluster}],
        "users": [{"name": "local", "user": {"token": token}}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": "local"}}],
        "current-context": "local",
    }
