"""Tokens go from Secrets into the environment of one container, and nowhere else: they are searched for everywhere.

The prepare step is the real program, run as its pod says, with the environment that a kubelet would make of it.
"""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.conftest import ROOT, condition
from tests.cluster.kubelet import DONE, Outcome, label
from tests.steps.conftest import problems, write_model
from tests.steps.hub_double import Hub

MARKER = "marker-of-a-token-that-nobody-may-see"
TOKEN = f"hf_{MARKER}"
SECRETS = {
    "hf-token": {"HF_TOKEN": TOKEN},
    "tracking": {"WANDB_API_KEY": f"wandb-{MARKER}"},
}
EVERYTHING = [
    *(f"/api/v1/namespaces/{{}}/{plural}" for plural in ("pods", "events", "services", "configmaps")),
    "/apis/batch/v1/namespaces/{}/jobs",
    "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "/apis/tpt.dev/v1alpha1/namespaces/{}/selfimprovementruns",
    "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
]


@pytest.fixture
def hub(tmp_path):
    folder = write_model(tmp_path / "elsewhere")
    model = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    rows = "".join(json.dumps(row) + "\n" for row in problems(60))
    hub = Hub({"models/org/model": model, "datasets/org/data": {"train.jsonl": rows.encode()}}, token=TOKEN)
    server = hub.start()
    yield hub
    server.shutdown()
    server.server_close()


class Container:
    """Runs the one container of a pod as a process, as a kubelet would: with its arguments and its environment."""

    def __init__(self, cluster, folder: Path) -> None:
        self._kube, self._secrets, self._folder = cluster.kube, f"/api/v1/namespaces/{cluster.namespace}/secrets", folder
        self.said = ""

    def run(self, pod) -> Outcome:
        (container,) = pod["spec"]["containers"]
        told = json.loads(container["args"][0])
        told |= {name: self._here(told[name]) for name in ("storage", "root")}
        termination = self._folder / "termination"
        own = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TPT_TERMINATION_LOG": str(termination), "TMPDIR": "/tmp"}
        command = [sys.executable, *container["command"][1:], json.dumps(told)]
        environment = self._environment(container) | own
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        self.said += done.stdout + done.stderr
        return Outcome(done.returncode, message=termination.read_text())

    def _here(self, path: str) -> str:
        return str(self._folder / path.lstrip("/"))

    def _environment(self, container) -> dict[str, str]:
        found: dict[str, str] = {}
        for source in container.get("envFrom", ()):
            found |= self._secret(source["secretRef"]["name"])
        for variable in container["env"]:
            if "value" in variable:
                value = variable["value"]
                found[variable["name"]] = self._here(value) if value.startswith("/scratch") else value
            else:
                reference = variable["valueFrom"]["secretKeyRef"]
                found[variable["name"]] = self._secret(reference["name"])[reference["key"]]
        return found

    def _secret(self, name: str) -> dict[str, str]:
        data = self._kube.get(f"{self._secrets}/{name}")["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}


@pytest.mark.parametrize("accepted", [True, False], ids=["a token that is accepted", "a token that is refused"])
def test_a_token_is_found_nowhere_but_in_its_secret(cluster, processes, hub, tmp_path, accepted):
    hub.token = TOKEN if accepted else "another"
    for name, data in SECRETS.items():
        secret = {"metadata": {"name": name}, "stringData": data}
        cluster.kube.post(f"/api/v1/namespaces/{cluster.namespace}/secrets", secret)
    node = tmp_path / "node"
    node.mkdir()
    container = Container(cluster, node)
    processes.start("--log-level=DEBUG")
    cluster.kubelet(lambda pod, before: container.run(pod) if label(pod, "step") == "prepare" else DONE)
    cluster.create(
        maxRounds=1,
        model={"uri": "hf://org/model", "secretRef": {"name": "hf-token"}},
        dataset={"train": {"uri": "hf://org/data"}, "prompt": {"mode": "Completion"}},
        worker={"env": [{"name": "HF_ENDPOINT", "value": hub.url}], "envFrom": [{"secretRef": {"name": "tracking"}}]},
    )
    run = cluster.wait_for("Complete" if accepted else "Failed", seconds=90)
    if not accepted:
        assert "key HF_TOKEN" in condition(run, "Failed")["message"]

    found = {path: cluster.kube.text(path.format(cluster.namespace)) for path in EVERYTHING}
    assert all(json.loads(text)["items"] for path, text in found.items() if not path.endswith(("leases", "services")))
    found |= {"the operator's log": processes.logs(), "the step's log": container.said}
    files = [path for path in node.rglob("*") if path.is_file()]
    assert len(files) > 5 or not accepted
    found |= {str(path): path.read_bytes().decode(errors="replace") for path in files}
    assert all(found[log] for log in ("the operator's log", "the step's log"))
    hidden = [MARKER, base64.b64encode(TOKEN.encode()).decode()]
    assert [place for place, text in found.items() if any(word in text for word in hidden)] == []
