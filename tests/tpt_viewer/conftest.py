"""A run of three rounds whose artifacts lie in a folder, in a bucket, or on a claim behind a pod."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.object_store import Bucket, Wire, make_bucket, stores, wire
from tests.steps.conftest import SilentJournal, commands, run_of
from tests.steps.stored import BELOW, put_folder
from tests.steps.test_finalize import ROUNDS, build
from tpt_operator.pods import STORAGE
from tpt_runtime.artifacts import objects
from tpt_runtime.artifacts.manifest import write_manifest
from tpt_runtime.core.commands import Commands
from tpt_runtime.step.context import Context
from tpt_viewer.places import ClusterPlace

__all__ = ["commands", "run_of", "stores", "wire"]

BEST = 2
TIME = "2026-01-01T00:00:00Z"


@dataclass
class FakeCluster:
    """One run, and a claim that is a folder here; a program in the pod is a program here."""

    item: dict[str, Any]
    claim: Path
    namespace: str = "team"
    pods: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Files that were asked for."""
    damage: Callable[[bytes], bytes] = lambda data: data

    def run(self, name: str) -> dict[str, Any]:
        return self.item

    @contextmanager
    def pod(self, manifest: dict[str, Any]) -> Iterator[str]:
        self.pods.append(manifest)
        try:
            yield "reader-1"
        finally:
            self.pods.append({"deleted": True})

    def run_in(self, pod: str, container: str, command: list[str]) -> Iterator[bytes]:
        root, files, patterns = json.loads(command[-1])
        self.asked += files
        here = json.dumps([str(self.claim / Path(root).relative_to(f"{STORAGE}/team/test")), files, patterns])
        done = subprocess.run([sys.executable, *command[1:-1], here], check=True, capture_output=True)
        data = self.damage(done.stdout)
        yield from (data[first : first + 1000] for first in range(0, len(data), 1000))


@dataclass(frozen=True)
class Scene:
    """The run, where its artifacts are, and how they are seen."""

    root: Path
    commands: Commands
    item: dict[str, Any]
    cluster: FakeCluster

    @property
    def place(self) -> Any:
        return ClusterPlace(self.cluster, "test")  # type: ignore[arg-type]

    @property
    def best(self) -> Path:
        return self.root / self.commands.paths.model_dir(BEST)


@pytest.fixture
def scene(commands: Callable[..., Commands], monkeypatch: pytest.MonkeyPatch) -> Scene:
    """The run on a claim."""
    monkeypatch.setattr("vl_convert.javascript_bundle", lambda code: code)  # takes seconds, and is the same everywhere
    sections = {"pruning": {"minExamples": 1}, "evaluation": {"samplesPerPrompt": 1}, "sampling": {"samplesPerPrompt": 2}}
    built = commands(**sections)
    root = build(built, Context(SilentJournal()))
    model = root / built.paths.model_dir(BEST)
    (model / "config.json").write_text("{}")
    write_manifest(model.parent, built.paths.train(BEST), summary=trained_summary(built))
    write_manifest(root / built.prepare(1).path, built.paths.prepare, summary={})
    metadata = {"name": "test", "namespace": "team", "uid": "uid-1", "generation": 1, "creationTimestamp": TIME}
    spec = built.run.spec.wire()
    item = {"apiVersion": "tpt.dev/v1alpha1", "kind": "SelfImprovementRun", "metadata": metadata, "spec": spec}
    trained = {"name": "train", "completionTime": TIME}
    rounds = [{"round": 0}, *({"round": number, "steps": [trained]} for number in range(1, ROUNDS + 1))]
    status = {"rounds": rounds, "bestRound": BEST, "bestModel": built.paths.model_dir(BEST)}
    item["status"] = {**status, "resolved": {"images": {"pruner": "pruner:1"}}}
    return Scene(root, built, item, FakeCluster(item, root))


@pytest.fixture
def bucket(stores: Callable[[str], str]) -> Bucket:
    """An empty bucket in a real object store, where there is one."""
    return make_bucket(stores("versitygw" if os.environ.get("TPT_E2E_CLUSTER") else "moto"))


def trained_summary(commands: Commands) -> dict[str, Any]:
    return {"step": "train", "digest": commands.paths.train(BEST), "metrics": [{"name": "train/loss", "value": 0.5}]}


@pytest.fixture
def stored(scene: Scene, bucket: Bucket, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """The same run with its artifacts in a bucket."""
    monkeypatch.setattr(objects, "RETRIES", {"max_retries": 0})
    scene.item["spec"]["storage"] = {"uri": f"s3://{bucket.name}/runs"}
    put_folder(bucket, scene.root)
    assert BELOW == "runs/team/test"
    return scene
