"""The quickstart's files for clusters, as a real API server and the operator's own checks take them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.cluster.conftest import Cluster
from tests.cluster.kube import JOBS, RUNS, Json
from tpt_operator import checks, pods
from tpt_runtime import __version__
from tpt_runtime.core.resource import parse_run

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"


def read(name: str) -> Json:
    found: Json = yaml.safe_load((QUICKSTART / "cluster" / name).read_text(encoding="utf-8"))
    return found


@pytest.fixture
def made() -> Json:
    """What `kubectl apply -k` sends."""
    kubectl = shutil.which("kubectl", path=os.environ.get("KUBEBUILDER_ASSETS")) or shutil.which("kubectl")
    assert kubectl
    text = subprocess.run([kubectl, "kustomize", QUICKSTART], capture_output=True, text=True, timeout=60, check=True).stdout
    found: Json = yaml.safe_load(text)
    return found


def test_the_patched_run_is_accepted_and_can_be_carried_out(cluster: Cluster, made: Json):
    created = cluster.kube.post(RUNS.format(cluster.namespace), made)
    run = parse_run(created, "run")
    assert checks.problems(run) == []
    training = run.spec.training
    processes = training.nodes * training.processes_per_node
    assert training.batch_size % (training.micro_batch_size * processes) == 0
    assert (run.spec.max_rounds, run.spec.sampling.shards, training.nodes) == (2, 2, 2)


def test_the_patch_changes_nothing_that_results_depend_on(made: Json):
    whole = yaml.safe_load((QUICKSTART / "run.yaml").read_text(encoding="utf-8"))["spec"]
    changed = {
        section: {name for name, value in made["spec"][section].items() if whole[section].get(name) != value}
        for section in ("sampling", "training")
    }
    assert changed == {"sampling": {"shards", "worker"}, "training": {"nodes", "microBatchSize", "worker"}}
    others = {name: value for name, value in made["spec"].items() if name not in ("sampling", "training", "maxRounds", "worker")}
    assert others == {name: value for name, value in whole.items() if name not in ("sampling", "training", "maxRounds")}


def test_the_pods_of_a_shard_and_of_a_node_fit_two_cores_together(made: Json):
    for section, count in (("sampling", "shards"), ("training", "nodes")):
        requested = made["spec"][section]["worker"]["resources"]["requests"]
        assert made["spec"][section][count] * int(requested["cpu"].removesuffix("m")) < 2000


def test_claim_and_filling_are_accepted_in_a_restricted_namespace(cluster: Cluster):
    claim, fill = read("claim.yaml"), read("fill.yaml")
    claims = f"/api/v1/namespaces/{cluster.namespace}/persistentvolumeclaims"
    cluster.kube.post(claims, claim, fieldValidation="Strict")
    created = cluster.kube.post(JOBS.format(cluster.namespace), fill, fieldValidation="Strict", dryRun="All")
    pod = {"metadata": {"name": "fill"}, "spec": created["spec"]["template"]["spec"]}
    enforced = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    cluster.kube.patch(f"/api/v1/namespaces/{cluster.namespace}", enforced)
    assert cluster.kube.post(f"/api/v1/namespaces/{cluster.namespace}/pods", pod, dryRun="All")["metadata"]["name"] == "fill"


def test_what_is_filled_is_what_runs_read_and_can_write_to(made: Json):
    spec = read("fill.yaml")["spec"]["template"]["spec"]
    (volume,) = (item for item in spec["volumes"] if "persistentVolumeClaim" in item)
    claim = read("claim.yaml")["metadata"]["name"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim
    assert made["spec"]["storage"] == {"persistentVolumeClaim": {"claimName": claim}}
    assert spec["securityContext"]["fsGroup"] == pods.GROUP
    (container,) = spec["containers"]
    assert container["image"] == f"localhost/tpt-trainer:{__version__}-cpu"
    assert container["command"] == ["tpt", "demo-model", "/storage"]
