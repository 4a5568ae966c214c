"""A run at every stage of its life, as a real operator leaves it, and its health in Argo CD.

With `TPT_RECORD=1` the runs are written into the test data of examples/argocd, with what is said of them.
"""

import os
from pathlib import Path

import pytest

from tests.argocd.engine import CUSTOMIZATION, Lua
from tests.cluster.conftest import Cluster, condition
from tests.cluster.kube import Json
from tests.cluster.kubelet import DONE, Outcome, label
from tpt_runtime.local.yamltext import yaml_text

UNSCHEDULABLE = {"reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."}
TOO_LARGE = "training.batchSize: too large for these data"
STAGES = {
    "new": "Progressing",
    "pending": "Progressing",
    "waiting": "Progressing",
    "running": "Progressing",
    "backing-off": "Progressing",
    "suspend-requested": "Progressing",
    "suspended": "Suspended",
    "complete": "Healthy",
    "complete-and-suspended": "Healthy",
    "raised": "Progressing",
    "failed": "Degraded",
    "mended": "Progressing",
    "invalid": "Degraded",
}
LEFT_OUT = ("managedFields",)


class Story:
    """One run, from its creation over its completion to its failure."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.stages: dict[str, Json] = {}

    def note(self, stage: str) -> None:
        run = self._cluster.run()
        kept = {name: value for name, value in run["metadata"].items() if name not in LEFT_OUT}
        self.stages[stage] = {name: run[name] for name in ("apiVersion", "kind")} | {"metadata": {**kept, "namespace": "team-a"}}
        self.stages[stage] |= {name: run[name] for name in ("spec", "status") if name in run}

    def tell(self) -> None:
        """Tell it all."""
        self._wait()
        self._suspend()
        self._fail()

    def _wait(self) -> None:
        cluster, note = self._cluster, self.note
        cluster.create(maxRounds=2)
        note("new")
        self._operator = cluster.operator()
        pod = cluster.pod_of("prepare")
        cluster.wait(lambda run: run.get("status", {}).get("phase") == "Pending", "pending")
        note("pending")
        cluster.write_pod(pod, {"conditions": [{"type": "PodScheduled", "status": "False", **UNSCHEDULABLE}]})
        cluster.wait_for("ResourcesAvailable", "False")
        note("waiting")

    def _suspend(self) -> None:
        cluster, note = self._cluster, self.note
        held: dict[int, Outcome | None] = {1: None, 3: Outcome(exit_code=64, message=TOO_LARGE)}
        kubelet = cluster.kubelet(lambda pod, _: held.get(_round(pod), DONE) if label(pod, "step") == "train" else DONE)
        train = cluster.pod_of("train")
        cluster.wait(lambda run: run["status"].get("step") == "train" and condition(run, "Running")["status"] == "True")
        note("running")
        kubelet.end(train, Outcome(exit_code=1, message="CUDA out of memory"))
        cluster.wait(lambda run: condition(run, "Running")["reason"] == "BackingOff", "backing off")
        note("backing-off")

        self._operator.stop()
        cluster.change(suspend=True)
        note("suspend-requested")
        self._operator = cluster.operator()
        cluster.wait_for("Suspended")
        note("suspended")
        del held[1]
        cluster.change(suspend=False)
        cluster.wait_for("Complete")
        note("complete")
        cluster.change(suspend=True)
        cluster.wait_for("Suspended")
        note("complete-and-suspended")

    def _fail(self) -> None:
        cluster, note = self._cluster, self.note
        self._operator.stop()
        cluster.change(suspend=False, maxRounds=3)
        note("raised")
        self._operator = cluster.operator()
        cluster.wait_for("Failed")
        note("failed")
        self._operator.stop()
        cluster.change(training={"microBatchSize": 2})
        note("mended")
        cluster.change(training={"worker": {"resources": {"limits": {"nvidia.com/gpu": "2"}}}})
        cluster.operator()
        cluster.wait(lambda run: condition(run, "Failed")["reason"] == "InvalidSpec", "invalid")
        note("invalid")


def _round(pod: Json) -> int:
    return int(label(pod, "round"))


def test_the_health_of_a_run_is_right_at_every_stage_of_its_life(cluster: Cluster, tmp_path: Path):
    story = Story(cluster)
    story.tell()
    assert list(story.stages) == list(STAGES)
    told = {}
    for stage, run in story.stages.items():
        file = tmp_path / f"{stage}.yaml"
        file.write_text(yaml_text(run))
        told[stage] = Lua().health(file)
    assert {stage: health for stage, (health, _) in told.items()} == STAGES
    assert "3 Insufficient nvidia.com/gpu" in told["waiting"][1]
    assert "CUDA out of memory" in told["backing-off"][1]
    assert TOO_LARGE in told["failed"][1]
    assert "nvidia.com/gpu" in told["invalid"][1]
    assert told["complete"][1].startswith("MaxRoundsReached: ")
    if os.environ.get("TPT_RECORD"):
        record(story.stages, told)


@pytest.mark.parametrize("stage", STAGES)
def test_a_recorded_run_is_of_the_stage_that_it_is_named_after(stage: str):
    health, _ = Lua().health(CUSTOMIZATION / "testdata" / f"{stage}.yaml")
    assert health == STAGES[stage]


def record(stages: dict[str, Json], told: dict[str, tuple[str, str]]) -> None:
    tests = []
    for stage, run in stages.items():
        (CUSTOMIZATION / "testdata" / f"{stage}.yaml").write_text(yaml_text(run))
        health, message = told[stage]
        tests.append({"healthStatus": {"status": health, "message": message}, "inputPath": f"testdata/{stage}.yaml"})
    (CUSTOMIZATION / "health_test.yaml").write_text(yaml_text({"tests": tests}))
    for before, action, suspend in (("running", "suspend", True), ("suspended", "resume", False)):
        changed = {**stages[before], "spec": {**stages[before]["spec"], "suspend": suspend}}
        (CUSTOMIZATION / "actions" / "testdata" / f"{before}-{action}.yaml").write_text(yaml_text(changed))
