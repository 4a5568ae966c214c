"""What a run meets: a pod of each kind of step evicted, the kubelet restarted, the operator's pod deleted and upgraded."""

import time
from dataclasses import dataclass, field
from typing import Final

from tests.cluster.kube import PODS, RUNS, Json, Refused
from tests.e2e import release
from tests.e2e.cluster import Cluster
from tpt_runtime.core.status import StepName

ENGINES: Final = (StepName.SAMPLE, StepName.TRAIN, StepName.EVALUATE)
"""Steps that are evicted in mid-work, not at their start."""
PROGRESS_SECONDS = 300.0
WINDOW_SECONDS = 5.0
UPGRADED = "DEBUG"
"""The log level that the upgrade sets."""


@dataclass
class Disturbances:
    """What was done."""

    evicted: dict[str, str] = field(default_factory=dict)
    """Pod by step."""
    kubelet_during: str | None = None
    """The pod that worked while the kubelet was away."""
    operator_deleted: str | None = None
    """The operator's pod that was."""
    upgraded_during: str | None = None
    """The pod that worked while the operator's release was upgraded."""


def ended(run: Json) -> bool:
    """Return whether a run is complete or has failed."""
    conditions = {item["type"]: item["status"] for item in run.get("status", {}).get("conditions", ())}
    return "True" in (conditions.get("Complete"), conditions.get("Failed"))


class Disturber:
    """Follows the pods of one run."""

    def __init__(self, cluster: Cluster, namespace: str, operators: str, gpus: int) -> None:
        """Disturb runs in `namespace`; the operator's pods are in the namespace `operators`."""
        self._cluster, self._namespace, self._operators, self._gpus = cluster, namespace, operators, gpus
        self.done = Disturbances()

    def follow(self, name: str, seconds: float) -> Json:
        """Disturb the run `name` until it has ended, within `seconds`; return it as it ended."""
        deadline = time.monotonic() + seconds
        kube = self._cluster.kube
        while True:
            for event in kube.watch(PODS.format(self._namespace), WINDOW_SECONDS, labelSelector=f"tpt.dev/run={name}"):
                if event["type"] != "DELETED" and _works(event["object"]):
                    self._meet(event["object"])
            run = kube.get(f"{RUNS.format(self._namespace)}/{name}")
            if ended(run):
                return run
            assert time.monotonic() < deadline, f"the run has not ended after {seconds:.0f} s: {run.get('status')}"

    def _meet(self, pod: Json) -> None:
        labels = pod["metadata"]["labels"]
        step, number = labels["tpt.dev/step"], int(labels["tpt.dev/round"])
        if step not in self.done.evicted:
            self._evict(pod, step)
        elif (step, number) == (StepName.SAMPLE, 2) and self._cluster.is_ours and self.done.kubelet_during is None:
            self._restart_kubelet(pod)
        elif (step, number) == (StepName.PRUNE, 2) and self.done.operator_deleted is None:
            self._delete_operator()
        elif (step, number) == (StepName.TRAIN, 2) and self.done.upgraded_during is None:
            release.install(self._cluster, self._operators, logLevel=UPGRADED)
            self.done.upgraded_during = pod["metadata"]["name"]

    def _evict(self, pod: Json, step: str) -> None:
        name = pod["metadata"]["name"]
        if step in ENGINES and not self._in_mid_work(name):
            return
        metadata = {"name": name, "namespace": self._namespace}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        self._cluster.kube.post(f"{PODS.format(self._namespace)}/{name}/eviction", eviction)
        self.done.evicted[step] = name

    def _in_mid_work(self, name: str) -> bool:
        """Wait until a pod has done a part of its work; False if it ended before that was seen."""
        path = f"{PODS.format(self._namespace)}/{name}"
        deadline = time.monotonic() + PROGRESS_SECONDS
        while time.monotonic() < deadline:
            if not _works(self._cluster.kube.get(path)):
                return False
            if '"event": "progress"' in self._log(path):
                return True
            time.sleep(1)
        raise AssertionError(f"{name} tells of no progress after {PROGRESS_SECONDS:.0f} s")

    def _log(self, path: str) -> str:
        try:
            return self._cluster.kube.text(f"{path}/log")
        except Refused:  # the container is just starting
            return ""

    def _delete_operator(self) -> None:
        (pod,) = release.pods(self._cluster, self._operators)
        self._cluster.kube.delete(f"{PODS.format(self._operators)}/{pod['metadata']['name']}")
        self.done.operator_deleted = pod["metadata"]["name"]

    def _restart_kubelet(self, pod: Json) -> None:
        self._cluster.restart_kubelet()
        self._cluster.offer_gpus(self._gpus)
        self.done.kubelet_during = pod["metadata"]["name"]


def _works(pod: Json) -> bool:
    running = pod.get("status", {}).get("phase") == "Running"
    return running and "deletionTimestamp" not in pod["metadata"]
