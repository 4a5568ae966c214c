"""`tpt fetch` from a claim on a real node: a kubelet runs the pod that reads it, and sends the files through the API server."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.kube import PODS
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import RUNNING, Ended

pytestmark = pytest.mark.e2e
SECONDS = 300.0


def test_the_best_model_and_the_report_come_through_a_pod(
    cluster: Cluster, quickstart: Ended, reader: str, tmp_path: Path
) -> None:
    where = ["--namespace", RUNNING, "--kubeconfig", str(cluster.kubeconfig)]
    command = [sys.executable, "-m", "tpt_viewer", "fetch", "quickstart", *where, "--output", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "serve it: vllm serve" in done.stdout

    best = quickstart.run["status"]["bestModel"]
    manifest = f"/storage/{RUNNING}/quickstart/{best.rpartition('/')[0]}/manifest.json"
    listed = json.loads(cluster.kubectl("exec", "-n", RUNNING, reader, "--", "cat", manifest))["files"]
    expected = {name.removeprefix("model/"): entry["sha256"] for name, entry in listed.items() if name.startswith("model/")}
    model = tmp_path / "out" / "model"
    found = {
        path.relative_to(model).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in model.rglob("*")
        if path.is_file()
    }
    assert found == expected
    assert any(name.endswith(".safetensors") for name in found)
    assert "vegaEmbed" in (tmp_path / "out" / "report" / "report.html").read_text(encoding="utf-8")
    mine = cluster.kube.items(PODS.format(RUNNING), labelSelector="app.kubernetes.io/managed-by=tpt-viewer")
    assert [pod for pod in mine if "deletionTimestamp" not in pod["metadata"]] == []
