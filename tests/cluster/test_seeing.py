"""`tpt status` and `tpt watch` against a real API server, and the same by the real kubectl's plugin."""

import os
import socket
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner

from tests.cluster.conftest import ROOT, condition
from tests.cluster.control_plane import kubeconfig
from tests.cluster.kube import RUNS, Json
from tests.cluster.kubelet import DONE, label
from tpt_viewer.plugin import main


@pytest.fixture
def tpt(cluster, monkeypatch):
    """The plugin's commands, in the namespace of the test."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.plane.kubeconfig))
    return lambda *arguments: CliRunner().invoke(main, [*arguments, "--namespace", cluster.namespace])


@pytest.fixture
def kubectl(cluster, tmp_path):
    """The real kubectl, with the program that the distribution installs on its PATH."""
    program = tmp_path / "kubectl-tpt"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from tpt_viewer.plugin import main; main()" "$@"\n')
    program.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'operator'}"}
    environment |= {"KUBECONFIG": str(cluster.plane.kubeconfig)}
    return [cluster.plane.programs / "kubectl", "tpt"], environment


def test_runs_are_listed_and_one_is_described(cluster, tpt):
    assert tpt("status").stderr == f"no run in namespace {cluster.namespace}\n"
    cluster.operator()
    cluster.kubelet(lambda pod, before: None if label(pod, "step") == "train" else DONE)
    cluster.create(maxRounds=1)
    cluster.wait(lambda run: run.get("status", {}).get("step") == "train" and condition(run, "Running")["status"] == "True")
    heading, line = tpt("status").stdout.splitlines()
    assert heading.split() == ["NAME", "PHASE", "ROUND", "STEP", "PROGRESS", "BEST", "AGE"]
    assert line.split()[:4] == ["example", "Running", "1/1", "train"]
    everywhere = tpt("status", "--all-namespaces").stdout
    assert f"\n{cluster.namespace}" in everywhere
    described = tpt("status", "example").stdout
    assert described.startswith(f"example (namespace {cluster.namespace}): Running, round 1/1\n  round 1: train, for ")
    assert "10 of 40" in described, "what prune kept stands in the table"


def test_kubectl_follows_a_run_to_its_end(cluster, kubectl):
    program, environment = kubectl
    cluster.operator()
    kubelet = cluster.kubelet(lambda pod, before: None if label(pod, "step") == "train" else DONE)
    cluster.create(maxRounds=1)
    command = [*program, "watch", "example", "--namespace", cluster.namespace]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stderr
        assert watching.stdout
        told = []
        for line in watching.stderr:
            told.append(line)
            if line == "round 1: train: running\n":
                kubelet.end(cluster.pod_of("train"))
        last = watching.stdout.read()
    assert watching.returncode == 0, told
    assert "MaxRoundsReached: all 1 rounds are done" in last
    assert "best model, round 1, pass@1 30.0 %: round-001/" in last
    assert any("prepare started" in line for line in told), "its Events are told"


def test_kubectl_describe_says_why_of_every_condition_and_what_has_happened(cluster):
    cluster.operator()
    cluster.kubelet(lambda pod, before: None if label(pod, "step") == "train" else DONE)
    cluster.create(maxRounds=1)
    cluster.wait(lambda run: run.get("status", {}).get("step") == "train" and condition(run, "Running")["status"] == "True")
    command = [cluster.plane.programs / "kubectl", "--kubeconfig", cluster.plane.kubeconfig, "-n", cluster.namespace]
    done = subprocess.run([*command, "describe", "sir", "example"], capture_output=True, text=True, timeout=60, check=True)
    messages = [line.partition(":")[2].strip() for line in done.stdout.splitlines() if line.strip().startswith("Message:")]
    assert len(messages) == 5
    assert all(messages), "every condition says why"
    events = done.stdout.partition("\nEvents:\n")[2]
    assert "Round 1: kept 10 of 40 samples (model 0: validation pass@1 20.0 %)" in events
    assert "round 1: train started" in events


def test_kubectl_ends_with_1_where_the_run_has_failed(cluster, kubectl):
    program, environment = kubectl
    cluster.create()
    failed: Json = {"type": "Failed", "status": "True", "reason": "AttemptsExhausted", "message": "the GPU fell over"}
    failed |= {"observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    cluster.kube.patch(
        f"{RUNS.format(cluster.namespace)}/example/status", {"status": {"phase": "Failed", "conditions": [failed]}}
    )
    command = [*program, "watch", "example", "-n", cluster.namespace]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "AttemptsExhausted: the GPU fell over" in done.stdout


def test_a_run_that_is_deleted_ends_the_watching_with_a_word(cluster, kubectl):
    program, environment = kubectl
    cluster.create()
    cluster.kube.patch(f"{RUNS.format(cluster.namespace)}/example/status", {"status": {"step": "prepare"}})
    command = [*program, "watch", "example", "-n", cluster.namespace]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stderr
        assert watching.stderr.readline() == "prepare: running\n"
        cluster.kube.delete(f"{RUNS.format(cluster.namespace)}/example")
        told = watching.stderr.read()
    assert (watching.returncode, told) == (64, "tpt: example: the run was deleted\n")


def may_see_runs(cluster):
    """Return the token of an account that may read runs, and nothing else."""
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{cluster.namespace}"
    accounts = f"/api/v1/namespaces/{cluster.namespace}/serviceaccounts"
    rules = [{"apiGroups": ["tpt.dev"], "resources": ["selfimprovementruns"], "verbs": ["get", "list", "watch"]}]
    binding = {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "viewer"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": cluster.namespace}],
    }
    cluster.kube.post(f"{rbac}/roles", {"metadata": {"name": "viewer"}, "rules": rules})
    cluster.kube.post(f"{rbac}/rolebindings", {"metadata": {"name": "viewer"}, **binding})
    return cluster.kube.post(f"{accounts}/default/token", {"spec": {}})["status"]["token"]


class TestRefusals:
    def test_a_name_that_is_not_there_comes_with_those_that_are(self, cluster, tpt):
        cluster.create()
        result = tpt("status", "exmaple")
        assert result.exit_code == 64
        assert f"exmaple: no such run in namespace {cluster.namespace} of the cluster https://127.0.0.1" in result.stderr
        assert "there are: example" in result.stderr

    def test_who_may_not_read_runs_is_told_what_to_ask_for(self, cluster, tpt, tmp_path, monkeypatch):
        accounts = f"/api/v1/namespaces/{cluster.namespace}/serviceaccounts"
        token = cluster.kube.post(f"{accounts}/default/token", {"spec": {}})["status"]["token"]
        config = tmp_path / "kubeconfig"
        config.write_text(kubeconfig(cluster.plane, token))
        monkeypatch.setenv("KUBECONFIG", str(config))
        result = tpt("status", "example")
        assert result.exit_code == 64
        assert f"does not let you get selfimprovementruns.tpt.dev in namespace {cluster.namespace}" in result.stderr
        assert "ask whoever runs it for the verb get on selfimprovementruns.tpt.dev" in result.stderr
        assert token not in result.output

    def test_who_may_not_read_events_still_sees_the_run(self, cluster, tmp_path, kubectl):
        token = may_see_runs(cluster)
        config = tmp_path / "kubeconfig"
        config.write_text(kubeconfig(cluster.plane, token))
        cluster.operator()
        cluster.kubelet()
        cluster.create(maxRounds=1)
        program, environment = kubectl
        command = [*program, "watch", "example", "-n", cluster.namespace, "--kubeconfig", str(config)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("does not let you list events") == 1
        assert "MaxRoundsReached" in done.stdout

    def test_credentials_that_are_no_longer_good_are_told(self, cluster, tpt, tmp_path, monkeypatch):
        config = tmp_path / "kubeconfig"
        config.write_text(kubeconfig(cluster.plane, "not-a-token"))
        monkeypatch.setenv("KUBECONFIG", str(config))
        result = tpt("status")
        assert result.exit_code == 64
        assert "does not know you (Unauthorized); renew the credentials" in result.stderr

    def test_a_cluster_that_does_not_answer_is_named(self, cluster, tpt, tmp_path, monkeypatch):
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        told = yaml.safe_load(cluster.plane.kubeconfig.read_text())
        told["clusters"][0]["cluster"]["server"] = f"https://{address}"
        config = tmp_path / "kubeconfig"
        config.write_text(yaml.safe_dump(told))
        monkeypatch.setenv("KUBECONFIG", str(config))
        result = tpt("status")
        assert result.exit_code == 1
        assert f"the cluster https://{address} (context local) does not answer" in result.stderr


def test_a_context_that_is_not_there_is_told(cluster, tpt):
    result = tpt("status", "--context", "elsewhere")
    assert result.exit_code == 64
    assert "elsewhere" in result.stderr
    assert "kubectl config get-contexts" in result.stderr
