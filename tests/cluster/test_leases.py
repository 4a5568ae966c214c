"""Operators that take turns, as processes of their own: what counts is the order in which they are active."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.conftest import ROOT, account, until
from tests.cluster.kube import Refused

IMAGES = [f"--{role}-image={role}:1" for role in ("sampler", "pruner", "trainer")]


@pytest.fixture
def start(cluster, tmp_path):
    """Start operators that share a Lease; each returns its process."""
    config = tmp_path / "kubeconfig"
    context = {"cluster": "local", "user": "local"}
    address = {"server": cluster.plane.url, "certificate-authority": str(cluster.plane.authority)}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": address}],
        "users": [{"name": "local", "user": {"token": account(cluster.kube, cluster.namespace)}}],
        "contexts": [{"name": "local", "context": context}],
        "current-context": "local",
    }
    config.write_text(json.dumps(content))
    running: list[subprocess.Popen[bytes]] = []

    def one():
        where = [f"--namespace={cluster.namespace}", f"--lease-namespace={cluster.namespace}", "--lease-seconds=3", "--port=0"]
        environment = {**os.environ, "KUBECONFIG": str(config), "PYTHONPATH": f"{ROOT}:{Path(ROOT, 'operator')}"}
        with (tmp_path / f"operator-{len(running)}.log").open("wb") as log:
            command = [sys.executable, "-m", "tpt_operator", *IMAGES, *where]
            running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        return running[-1]

    yield one
    for process in running:
        process.kill()
        process.wait()


def holder(cluster):
    try:
        lease = cluster.kube.get(f"/apis/coordination.k8s.io/v1/namespaces/{cluster.namespace}/leases/tpt-operator")
    except Refused:
        return 0
    name = lease["spec"].get("holderIdentity") or "-0"
    return int(name.rpartition("-")[2])


def test_a_standby_takes_over_from_a_leader_that_was_killed_and_the_run_goes_on(cluster, start):
    first, second = start(), start()
    leader = until(lambda: holder(cluster))
    standby = ({first.pid, second.pid} - {leader}).pop()
    cluster.create(maxRounds=1)
    cluster.wait_for_job("prepare")
    os.kill(leader, signal.SIGKILL)
    kubelet = cluster.kubelet()
    until(lambda: holder(cluster) == standby)
    cluster.wait_for("Complete")
    assert len(kubelet.ended) == len(set(kubelet.ended))


def test_a_leader_that_is_asked_to_stop_gives_the_lease_back_and_exits_well(cluster, start):
    only = start()
    until(lambda: holder(cluster) == only.pid)
    cluster.create()
    cluster.wait_for_job("prepare")
    only.send_signal(signal.SIGTERM)
    assert only.wait(20) == 0
    assert holder(cluster) == 0


def test_a_leader_that_loses_its_lease_ends_its_process(cluster, start):
    only = start()
    until(lambda: holder(cluster) == only.pid)
    path = f"/apis/coordination.k8s.io/v1/namespaces/{cluster.namespace}/leases/tpt-operator"
    cluster.kube.patch(path, {"spec": {"holderIdentity": "another-1", "leaseDurationSeconds": 3600}})
    assert only.wait(30) != 0


def test_an_operator_that_waits_ends_by_itself_when_it_is_told_to(cluster, start, tmp_path):
    first = start()
    assert until(lambda: holder(cluster)) == first.pid
    second = start()
    until(lambda: "waits for the Lease" in (tmp_path / "operator-1.log").read_text())
    second.send_signal(signal.SIGTERM)
    assert second.wait(timeout=10) == 0
    assert holder(cluster) == first.pid
