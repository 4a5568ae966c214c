"""The full-size examples, applied as they are, on nodes that claim eight GPUs each: what every step of a round is given."""

import subprocess
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from tests.cluster.conftest import ROOT, until
from tests.cluster.control_plane import scheduler
from tests.cluster.kube import PODS
from tests.cluster.kubelet import DONE, Outcome, config, index, label

GPU = "nvidia.com/gpu"
NODES = 3
GPUS_OF_A_NODE = 8
ENOUGH = Outcome(64, message='{"error": "one round is enough", "exitCode": 64}')


@dataclass(frozen=True)
class Size:
    """What an example asks for."""

    shards: int
    gpus_of_a_shard: int
    nodes: int
    processes: int
    zero: int
    batch: int
    micro: int
    model: str


SIZES = {
    "gemma2-2b-gsm8k": Size(4, 1, 1, 4, 2, 8, 2, "hf://google/gemma-2-2b-it"),
    "gemma2-9b-gsm8k": Size(4, 1, 1, 4, 3, 8, 2, "hf://google/gemma-2-9b-it"),
    "llama31-70b-gsm8k": Size(6, 4, 3, 8, 3, 24, 1, "hf://meta-llama/Llama-3.1-70B-Instruct"),
}


@pytest.fixture(scope="module")
def scheduling(plane, tmp_path_factory):
    """Have a real scheduler place pods on nodes with GPUs."""
    if not (plane.programs / "kube-scheduler").is_file():
        pytest.skip(f"there is no kube-scheduler in {plane.programs}: the full-size examples are left out")
    kube = plane.kube()
    names = [f"gpu-{number}" for number in range(NODES)]
    for name in names:
        kube.post("/api/v1/nodes", {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}})
        kube.patch(f"/api/v1/nodes/{name}/status", {"status": ready()})
    until(lambda: not any(node["spec"].get("taints") for node in kube.items("/api/v1/nodes")))
    with scheduler(plane, tmp_path_factory.mktemp("scheduler")):
        yield
    for name in names:
        kube.delete(f"/api/v1/nodes/{name}")


def ready():
    amount = {GPU: str(GPUS_OF_A_NODE), "cpu": "96", "memory": "1Ti", "pods": "110"}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    times = {"lastHeartbeatTime": now, "lastTransitionTime": now}
    condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "", **times}
    return {"capacity": amount, "allocatable": amount, "conditions": [condition]}


def claim(cluster):
    """Make the claim that the examples name, which several nodes can have."""
    size = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    name = f"runs-{cluster.namespace}"
    place = {"nfs": {"server": "127.0.0.1", "path": "/"}, "capacity": {"storage": "4Ti"}}
    cluster.kube.post("/api/v1/persistentvolumes", {"metadata": {"name": name}, "spec": {**size, **place}})
    wanted = {**size, "volumeName": name, "resources": {"requests": {"storage": "4Ti"}}}
    claims = f"/api/v1/namespaces/{cluster.namespace}/persistentvolumeclaims"
    cluster.kube.post(claims, {"metadata": {"name": "runs"}, "spec": wanted})
    until(lambda: cluster.kube.items(claims)[0]["status"].get("phase") == "Bound")


@pytest.fixture(params=SIZES)
def one_round(request, cluster, scheduling):
    """Apply an example, carry its first round through, and return its size, Jobs, pods and Services by then."""
    claim(cluster)
    cluster.operator()
    size, pods = SIZES[request.param], []
    together = {"sample": size.shards, "train": size.nodes}

    def script(pod, before):
        pods.append(pod)
        if int(label(pod, "round")) >= 2:
            return ENOUGH
        here = of_step(pods, label(pod, "step"))
        if len(here) < together.get(label(pod, "step"), 1):
            return None  # it works until all of its step have a place: they share the nodes, not one after the other
        for other in here[:-1]:
            kubelet.end(other)
        return DONE

    kubelet = cluster.kubelet(script, placed=True)
    file = ROOT / "examples" / f"{request.param}.yaml"
    kubectl = [cluster.plane.programs / "kubectl", "--kubeconfig", cluster.plane.kubeconfig, "--namespace", cluster.namespace]
    subprocess.run([*kubectl, "apply", "-f", file], check=True, capture_output=True)
    cluster.wait_for("Failed", seconds=90)
    services = cluster.kube.items(f"/api/v1/namespaces/{cluster.namespace}/services")
    jobs = [job for job in cluster.jobs() if label(job, "round") != "2"]
    cluster.kube.delete(PODS.format(cluster.namespace), gracePeriodSeconds=0)  # no kubelet lets go of those that were deleted
    return size, jobs, [pod for pod in pods if label(pod, "round") != "2"], services


def of_step(items, step):
    return [item for item in items if label(item, "step") == step]


def container(pod):
    (only,) = pod["spec"]["containers"]
    return only


def environment(pod):
    return {variable["name"]: variable for variable in container(pod)["env"]}


def test_every_step_of_a_round_has_its_shards_nodes_gpus_and_command(one_round):
    size, jobs, pods, services = one_round
    wanted = {  # step: indexes, GPUs of each, program, image
        "prepare": (1, None, "tpt_runtime.prepare", "pruner:1"),
        "sample": (size.shards, size.gpus_of_a_shard, "tpt_runtime.sample", "sampler:1"),
        "prune": (1, None, "tpt_runtime.prune", "pruner:1"),
        "train": (size.nodes, size.processes, "tpt_runtime.train", "trainer:1"),
    }
    assert {label(job, "step") for job in jobs} == wanted.keys()
    for step, (indexes, gpus, program, image) in wanted.items():
        (job,) = of_step(jobs, step)
        spec = job["spec"]
        assert (spec["completions"], spec["parallelism"]) == (indexes, indexes)
        assert spec["completionMode"] == ("Indexed" if step in ("sample", "train") else "NonIndexed")
        mine = of_step(pods, step)
        assert sorted(index(pod) for pod in mine) == list(range(indexes))
        for pod in mine:
            limits = container(pod).get("resources", {}).get("limits", {})
            assert limits == ({} if gpus is None else {GPU: str(gpus)})
            assert container(pod)["command"] == ["python", "-m", program]
            assert container(pod)["image"] == image
            assert {"name": "storage", "persistentVolumeClaim": {"claimName": "runs"}} in pod["spec"]["volumes"]
            assert ("HF_TOKEN" in environment(pod)) is (step == "prepare")

    the_token(size, *of_step(pods, "prepare"))
    the_samplings_settings(size, of_step(pods, "sample"))
    the_trainings_settings(size, of_step(pods, "train"))
    the_meeting_of_nodes(size, of_step(pods, "train"), services)


def the_samplings_settings(size, pods):
    told = config(pods[0])
    assert all(config(pod) == told for pod in pods), "the shard is in the environment, not in the arguments"
    assert (told["shards"], told["tensorParallelSize"], told["engine"]) == (size.shards, size.gpus_of_a_shard, "VLLM")
    assert [(part["purpose"], part["samplesPerPrompt"], part["temperature"], part["maxTokens"]) for part in told["parts"]] == [
        ("evaluate", 20, 0.7, 1500),
        ("train", 10, 0.8, 1500),
    ]
    used = Counter(pod["spec"]["nodeName"] for pod in pods)
    assert max(used.values()) * size.gpus_of_a_shard <= GPUS_OF_A_NODE


def the_trainings_settings(size, pods):
    training = config(pods[0])["training"]
    assert training["nodes"] == size.nodes
    assert training["processesPerNode"] == size.processes
    assert (training["batchSize"], training["microBatchSize"]) == (size.batch, size.micro)
    assert training["deepspeed"]["zeroStage"] == size.zero
    assert size.batch % (size.nodes * size.processes * size.micro) == 0
    assert config(pods[0])["learningRate"] == 1e-6
    assert len({pod["spec"]["nodeName"] for pod in pods}) == size.nodes, "eight GPUs are a node of their own"


def the_meeting_of_nodes(size, pods, services):
    if size.nodes == 1:
        assert services == []
        assert all("TPT_RENDEZVOUS" not in environment(pod) for pod in pods)
        return
    (service,) = services
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    name = service["metadata"]["name"]
    for pod in pods:
        assert pod["spec"]["subdomain"] == name
        assert pod["spec"]["hostname"] == f"{pod['metadata']['labels']['batch.kubernetes.io/job-name']}-{index(pod)}"
        assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    first = next(pod for pod in pods if index(pod) == 0)
    assert {environment(pod)["TPT_RENDEZVOUS"]["value"] for pod in pods} == {f"{first['spec']['hostname']}.{name}:29500"}


def the_token(size, pod):
    assert config(pod)["model"]["uri"] == size.model
    reference = {"secretKeyRef": {"name": "hf-token", "key": "HF_TOKEN"}}
    assert environment(pod)["HF_TOKEN"] == {"name": "HF_TOKEN", "valueFrom": reference}
