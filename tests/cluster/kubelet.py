"""Stands in for the kubelet: pods begin and end because their status is written, as a script says. So every failure is certain.

Summaries are those of a step that does nothing: what a real step hands in is tested elsewhere.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.cluster.kube import PODS, Json, Kube, Refused

NOW = "2026-01-01T00:00:00Z"
"""When containers began and ended; the time does not matter, only its order does to whom it matters."""


@dataclass(frozen=True)
class Outcome:
    """How a pod ends."""

    exit_code: int = 0
    message: str | None = None
    """Its termination message; None: the summary of its step."""
    reason: str | None = None
    """The container's, such as OOMKilled."""
    disrupted: bool = False
    """Whether it was evicted."""


DONE = Outcome()
Script = Callable[[Json, int], Outcome | None]
"""From a pod and how many pods of its step, round and index came before it to its end; None: it runs on."""


def label(item: Json, name: str) -> str:
    return str(item["metadata"]["labels"][f"tpt.dev/{name}"])


def config(pod: Json) -> Json:
    read: Json = json.loads(pod["spec"]["containers"][0]["args"][0])
    return read


def index(pod: Json) -> int:
    return int(pod["metadata"]["labels"].get("batch.kubernetes.io/job-completion-index", 0))


def summary(pod: Json) -> str:
    told, step, number = config(pod), label(pod, "step"), int(label(pod, "round"))
    said: Json = {"step": step, "digest": told.get("digest", "0")}
    match step:
        case "prepare":
            said["resolved"] = {"counts": {"train": 10}}
        case "sample" | "evaluate":
            said |= {"shard": index(pod), "prompts": 5, "samples": 20, "tokens": 100}
        case "prune" | "grade":
            model = number if step == "grade" else number - 1
            said["outcome"] = "GradedOnly"
            if told.get("grade"):
                said["metrics"] = [{"name": "validation/pass@1", "value": 0.2 + 0.1 * model, "low": 0.1, "high": 0.9}]
            if step == "prune":
                said |= {"outcome": "Trainable", "samples": {"total": 40, "correct": 20}, "examples": 10}
        case "train":
            said["metrics"] = [{"name": "train/loss", "value": 1.0 / number}]
    return json.dumps(said)


class Kubelet:
    """Ends the pods of one namespace, in a thread of its own."""

    def __init__(self, kube: Kube, namespace: str, script: Script) -> None:
        self._kube, self._path, self._script = kube, PODS.format(namespace), script
        self._seen: set[str] = set()
        self._count: Counter[str] = Counter()
        self.ended: list[str] = []
        """STEP-rROUND-INDEX of every pod that was ended, in order."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> "Kubelet":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)

    def _work(self) -> None:
        while not self._stop.is_set():
            for event in self._kube.watch(self._path, 0.5):
                if event["type"] != "DELETED":
                    self._look(event["object"])

    def _look(self, pod: Json) -> None:
        metadata = pod["metadata"]
        if metadata["uid"] in self._seen or "deletionTimestamp" in metadata:
            return
        self._seen.add(metadata["uid"])
        name = f"{label(pod, 'step')}-r{label(pod, 'round')}-{index(pod)}"
        outcome = self._script(pod, self._count[name])
        self._count[name] += 1
        try:
            write(self._kube, pod, outcome)
        except Refused as refused:
            if refused.status != 404:
                raise
            return
        if outcome is not None:
            self.ended.append(name)


def write(kube: Kube, pod: Json, outcome: Outcome | None) -> None:
    """Write the status of a pod that runs, or has ended."""
    state: Json = {"running": {"startedAt": NOW}}
    phase = "Running"
    conditions: list[Any] = []
    if outcome is not None:
        message = summary(pod) if outcome.message is None and outcome.exit_code == 0 else outcome.message or ""
        ended = {"exitCode": outcome.exit_code, "startedAt": NOW, "finishedAt": NOW, "message": message}
        state = {"terminated": ended | ({"reason": outcome.reason} if outcome.reason else {})}
        phase = "Failed" if outcome.exit_code else "Succeeded"
    if outcome is not None and outcome.disrupted:
        said = {"reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}
        conditions = [{"type": "DisruptionTarget", "status": "True", "lastTransitionTime": NOW, **said}]
    container = {"name": "step", "image": "x", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    status = {"phase": phase, "startTime": NOW, "conditions": conditions, "containerStatuses": [container]}
    metadata = pod["metadata"]
    path = f"{PODS.format(metadata['namespace'])}/{metadata['name']}/status"
    kube.patch(path, {"status": status})
