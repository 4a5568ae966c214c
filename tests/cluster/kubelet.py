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
    begins: bool = True
    """Whether it gets so far as to run."""


DONE = Outcome()
NOT_BEGUN = Outcome(begins=False)
Script = Callable[[Json, int], Outcome | None]
"""From a pod and how many pods of its step, round and index came before it to its end; None: it runs on."""


def at(name: str, *outcomes: Outcome | None, shard: int = 0) -> Script:
    """Return a script: the pods of one index of step `name` end as `outcomes` say, one after the other; all else goes well."""

    def script(pod: Json, before: int) -> Outcome | None:
        mine = label(pod, "step") == name and index(pod) == shard
        return outcomes[before] if mine and before < len(outcomes) else DONE

    return script


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


def artifacts(pod: Json) -> set[str]:
    """Return what a step leaves on the storage, by the digests that name it; of a shard, its own part."""
    told = config(pod)
    parts = [told, told.get("grade") or {}, told.get("select") or {}, *told.get("parts", ())]
    shard = index(pod) if "parts" in told else 0
    return {f"{part['digest']}/{shard}" for part in parts if "digest" in part}


class Kubelet:
    """Ends the pods of one namespace, in a thread of its own."""

    def __init__(self, kube: Kube, namespace: str, script: Script, *, placed: bool = False) -> None:
        """Do as `script` says; with `placed`, once a scheduler has given a pod its node."""
        self._kube, self._path, self._script, self._placed = kube, PODS.format(namespace), script, placed
        self._seen: set[str] = set()
        self._count: Counter[str] = Counter()
        self.ended: list[str] = []
        """STEP-rROUND-INDEX of every pod that was ended, in order."""
        self.worked: list[str] = []
        """Those of them that did not find all that they make on the storage already."""
        self._storage: set[str] = set()
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
        if self._placed and "nodeName" not in pod["spec"]:
            return
        self._seen.add(metadata["uid"])
        name = f"{label(pod, 'step')}-r{label(pod, 'round')}-{index(pod)}"
        outcome = self._script(pod, self._count[name])
        self._count[name] += 1
        if outcome is not None and not outcome.begins:
            return
        try:
            write(self._kube, pod, outcome)
        except Refused as refused:
            if refused.status != 404:
                raise
            return
        if outcome is not None:
            self.note(pod, outcome)

    def note(self, pod: Json, outcome: Outcome) -> None:
        """Take note of a pod's end: what it made, if it went well."""
        name = f"{label(pod, 'step')}-r{label(pod, 'round')}-{index(pod)}"
        self.ended.append(name)
        if outcome.exit_code == 0:
            if not artifacts(pod) <= self._storage:
                self.worked.append(name)
            self._storage |= artifacts(pod)

    def end(self, pod: Json, outcome: Outcome = DONE) -> None:
        """End a pod that was left running."""
        write(self._kube, pod, outcome)
        self.note(pod, outcome)


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
