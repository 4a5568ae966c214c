"""Operators that take turns, as processes of their own: what counts is the order in which they are active."""

import os
import signal

import pytest

from tests.cluster.conftest import until
from tests.cluster.kube import Refused


@pytest.fixture
def start(cluster, processes):
    """Start operators that share a Lease; each returns its process."""
    flags = (f"--lease-namespace={cluster.namespace}", "--lease-seconds=3")
    return lambda *more: processes.start(*flags, *more)


def holder(cluster, name="tpt-operator"):
    try:
        lease = cluster.kube.get(f"/apis/coordination.k8s.io/v1/namespaces/{cluster.namespace}/leases/{name}")
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


def test_a_standby_that_is_asked_to_stop_exits_well_and_leaves_the_lease_alone(cluster, processes, start):
    first, second = start(), start()
    leader = until(lambda: holder(cluster))
    standby = first if second.pid == leader else second
    until(lambda: "waits for the Lease" in processes.log(standby))
    standby.send_signal(signal.SIGTERM)
    assert standby.wait(20) == 0
    assert holder(cluster) == leader


def test_operators_whose_leases_have_different_names_do_not_wait_for_each_other(cluster, start):
    one, other = start("--lease-name=one"), start("--lease-name=other")
    until(lambda: (holder(cluster, "one"), holder(cluster, "other")) == (one.pid, other.pid))


def test_a_leader_that_loses_its_lease_ends_its_process(cluster, start):
    only = start()
    until(lambda: holder(cluster) == only.pid)
    path = f"/apis/coordination.k8s.io/v1/namespaces/{cluster.namespace}/leases/tpt-operator"
    cluster.kube.patch(path, {"spec": {"holderIdentity": "another-1", "leaseDurationSeconds": 3600}})
    assert only.wait(30) != 0
