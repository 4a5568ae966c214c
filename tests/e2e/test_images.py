"""Each image as a cluster may start it: as a user it does not know, without a writable root, and with what its role needs."""

import textwrap

import pytest

from tests.cluster.kube import PODS, Json
from tests.e2e.archives import ORDER, REGISTRY
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import RUNNING

pytestmark = pytest.mark.e2e
SECONDS = 240.0
STRANGER = 1234567
LARGEST_OPERATOR = 200_000_000
"""Bytes, as a registry keeps it, with its base."""

ANY = """
    import errno, getpass, json, os, pathlib, pwd, shutil, subprocess, sys
    assert os.getuid() == {stranger}, os.getuid()
    assert getpass.getuser() == "tpt"
    assert pwd.getpwnam("tpt").pw_uid == 10001
    try:
        pathlib.Path("/x").touch()
    except OSError as error:
        assert error.errno == errno.EROFS, error
    else:
        raise AssertionError("the root can be written to")
    assert [name for name in ("cc", "gcc", "c++", "g++", "clang", "nvcc") if shutil.which(name)] == []
    listed = {{part["name"] for part in json.loads(pathlib.Path("/usr/share/sbom/tpt.cdx.json").read_text())["components"]}}
    assert {{"pydantic", "tpt-operator", "libc6"}} <= listed, sorted(listed)

    def said(*command):
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr
"""
OF_ROLE = {
    "operator": """
    import importlib.util
    code, text = said("-m", "tpt_operator", "--help")
    assert code == 0 and "--sampler-image" in text, text
    assert importlib.util.find_spec("torch") is None
    """,
    "sampler": """
    import torch, vllm, vllm._C
    from tpt_runtime.sample.vllm_engine import VllmEngine
    assert hasattr(torch.ops._C, "init_cpu_memory_env")  # a library that is missing costs a warning here, and the engine later
    code, text = said("-m", "tpt_runtime.sample", "{}")
    assert 64 <= code <= 78 and "Traceback" not in text, text
    """,
    "pruner": """
    import math_verify, pyarrow, tokenizers, vl_convert
    for step in ("prepare", "prune", "finalize"):
        code, text = said("-m", f"tpt_runtime.{step}", "{}")
        assert 64 <= code <= 78 and "Traceback" not in text, text
    walls = subprocess.run(["tpt", "sandbox"], capture_output=True, text=True)  # generated programs are contained here too
    assert walls.returncode == 0 and "BROKEN" not in walls.stdout and "held" in walls.stdout, walls.stdout + walls.stderr
    """,
    "trainer": """
    import trl
    from deepspeed.ops.op_builder.cpu import ShareMemCommBuilder
    assert ShareMemCommBuilder().load().__file__.startswith("/opt/tpt/")  # built before: there is no compiler here
    code, text = said("-m", "tpt_runtime.train", "{}")
    assert 64 <= code <= 78 and "Traceback" not in text, text
    """,
}


def pod(role: str, image: str) -> Json:
    script = textwrap.dedent(ANY.format(stranger=STRANGER)) + textwrap.dedent(OF_ROLE[role])
    container = {
        "name": "check",
        "image": image,
        "command": ["python", "-c", script],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "shm", "mountPath": "/dev/shm"}],
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": STRANGER,
            "runAsGroup": 0,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "shm", "emptyDir": {"medium": "Memory"}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"check-{role}"}, "spec": spec}


@pytest.mark.parametrize("role", OF_ROLE)
def test_an_image_starts_as_a_stranger_and_brings_what_its_role_needs(role: str, cluster: Cluster, loaded: None):
    cluster.apply(pod(role, ORDER.image(role)), namespace=RUNNING)
    phases = (
        event["object"]["status"].get("phase")
        for event in cluster.kube.watch(PODS.format(RUNNING), SECONDS, fieldSelector=f"metadata.name=check-{role}")
    )
    ended = next((phase for phase in phases if phase in {"Succeeded", "Failed"}), "nothing")
    assert ended == "Succeeded"  # what it said stands in the report
    cluster.kubectl("delete", "pod", "-n", RUNNING, f"check-{role}", "--wait=false")


def test_the_operators_image_is_small(cluster: Cluster, request: pytest.FixtureRequest):
    if not cluster.is_ours or REGISTRY is not None:
        pytest.skip("the images of a cluster that was named were built somewhere else")
    (archive,) = [path for path in request.getfixturevalue("archives") if path.name.startswith("tpt-operator-")]
    assert archive.stat().st_size < LARGEST_OPERATOR
