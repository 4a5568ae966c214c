"""Runs whose Jobs a real Kueue admits, takes back and admits again: nobody fights, and nothing is lost or done twice."""

import os
from collections import Counter

import pytest

from tests.cluster import binaries
from tests.cluster.conftest import condition, define, namespace_of, until
from tests.cluster.control_plane import control_plane
from tests.cluster.kube import JOBS, PODS
from tests.cluster.kubelet import DONE, index, label, write
from tests.cluster.kueue import QUEUE, Queue, audit_arguments, furnish, is_true, job_writes, kueue, script


@pytest.fixture(scope="module")
def queued_plane(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kueue")
    assets, _ = binaries.find(os.environ)
    start = script()
    assert start is not None
    with control_plane(assets, folder, *audit_arguments(folder)) as plane, kueue(start, plane, folder):
        define(plane.kube())
        furnish(plane.kube())
        yield plane, folder


@pytest.fixture
def cluster(queued_plane):
    plane, folder = queued_plane
    with namespace_of(plane) as made:
        yield made
        _nobody_fought(made, folder)


def _nobody_fought(cluster, folder):
    """Fail if the operator has touched what is Kueue's, or has made or deleted a Job more often than it was asked to."""
    operator = f"system:serviceaccount:{cluster.namespace}:tpt-operator"
    writes = job_writes(folder, cluster.namespace, operator)
    created = [write["objectRef"]["name"] for write in writes if write["verb"] == "create"]
    assert created
    assert not any(write["requestObject"]["spec"]["suspend"] for write in writes if write["verb"] == "create")
    changes = [write["requestObject"] for write in writes if write["verb"] in ("update", "patch")]
    assert all(set(change) == {"spec"} and set(change["spec"]) == {"ttlSecondsAfterFinished"} for change in changes), changes
    assert len(created) == len(set(created)), f"a Job was made twice: {Counter(created)}"
    deleted = {write["objectRef"]["name"] for write in writes if write["verb"] == "delete"}
    assert len(deleted) == cluster.asked_to_delete, deleted


@pytest.fixture
def queue(cluster):
    """Return the queue of a namespace, with room for two pods."""
    cluster.asked_to_delete = 0
    made = Queue(cluster.kube, cluster.namespace, pods=2)
    yield made
    made.remove()


class Held:
    """A script of pods: those of one step of one run stay until they are let go."""

    def __init__(self, cluster, step, run="example", but=()):
        self._cluster, self._step, self._run, self._but = cluster, step, run, but
        self._open = False

    def __call__(self, pod, before):
        mine = (label(pod, "run"), label(pod, "step")) == (self._run, self._step)
        return None if mine and index(pod) not in self._but and not self._open else DONE

    def run(self, pods=1):
        """Wait until so many of them run, and their run says so: before, it may only be about to, and have no place yet."""
        until(lambda: [pod["status"]["phase"] for pod in self.pods()] == ["Running"] * pods)

        def told(run):
            running = condition(run, "Running").get("status") == "True"
            return run["metadata"]["name"] == self._run and running and run["status"].get("step") == self._step

        self._cluster.wait(told, f"{self._run}: {self._step} runs")

    def let_go(self):
        self._open = True
        until(self._ended)

    def _ended(self):
        left = self.pods()
        for pod in left:
            if pod["status"]["phase"] == "Running":  # one that is pending was not looked at yet, or is about to run
                write(self._cluster.kube, pod, DONE)
        return not left

    def pods(self):
        selector = f"tpt.dev/run={self._run},tpt.dev/step={self._step}"
        found = self._cluster.kube.items(PODS.format(self._cluster.namespace), labelSelector=selector)
        return [pod for pod in found if pod.get("status", {}).get("phase") in ("Pending", "Running")]


def wait_for(cluster, name, kind, status="True", seconds=90.0):
    def holds(run):
        return run["metadata"]["name"] == name and condition(run, kind).get("status") == status

    return cluster.wait(holds, f"{name}: {kind}={status}", seconds)


def steps(run):
    return {(entry["round"], step["name"]): step for entry in run["status"]["rounds"] for step in entry["steps"]}


def costs(run):
    """Return attempts, failures and disruptions of every step that took more than one attempt."""
    counts = {
        key: tuple(step.get(name, 0) for name in ("attempts", "failures", "disruptions")) for key, step in steps(run).items()
    }
    return {key: count for key, count in counts.items() if count != (1, 0, 0)}


def outcome(run):
    """Return what a run has come to."""
    return [(entry["round"], entry.get("samples"), entry.get("metrics")) for entry in run["status"]["rounds"]]


def pods_at_once(cluster):
    return [pod for pod in cluster.kube.items(PODS.format(cluster.namespace)) if pod["status"]["phase"] in ("Pending", "Running")]


def test_of_two_runs_with_room_for_one_the_second_waits_for_the_queue_and_says_so(cluster, queue):
    queue.give(1)
    cluster.operator()
    held = Held(cluster, "sample", run="first")
    kubelet = cluster.kubelet(held)
    cluster.create("first", maxRounds=1, queue={"name": QUEUE})
    held.run()
    cluster.create("second", maxRounds=1, queue={"name": QUEUE})
    waiting = wait_for(cluster, "second", "ResourcesAvailable", "False")
    assert condition(waiting, "ResourcesAvailable")["message"].endswith(f"waits for admission by the queue {QUEUE}")
    assert waiting["status"]["phase"] == "Pending"
    assert [label(pod, "run") for pod in pods_at_once(cluster)] == ["first"]

    held.let_go()
    ends = [wait_for(cluster, name, "Complete") for name in ("first", "second")]
    assert [costs(run) for run in ends] == [{}, {}]
    assert set(Counter(kubelet.ended).values()) <= {1, 2}


@pytest.mark.parametrize("how", ["its queue is drained", "its Workload is deactivated"])
def test_what_kueue_takes_back_goes_on_in_the_same_job_and_keeps_the_shards_that_are_done(cluster, queue, how):
    cluster.operator()
    held = Held(cluster, "sample", but=[0])
    kubelet = cluster.kubelet(held)
    cluster.create(maxRounds=1, sampling={"shards": 2}, queue={"name": QUEUE})
    cluster.wait(lambda run: run.get("status", {}).get("progress", {}).get("completed") == 1, "in its second shard")
    (workload,) = [item for item in queue.workloads() if is_true(item, "Admitted")]
    job = cluster.wait_for_job("sample")

    queue.stop("HoldAndDrain") if how.startswith("its queue") else queue.activate(workload, active=False)
    run = wait_for(cluster, "example", "ResourcesAvailable", "False")
    assert condition(run, "Running")["reason"] == "WaitingForResources"
    assert condition(run, "ResourcesAvailable")["message"].endswith(f"waits for admission by the queue {QUEUE}")
    until(lambda: not pods_at_once(cluster))

    held.let_go()
    queue.stop("None") if how.startswith("its queue") else queue.activate(workload, active=True)
    run = wait_for(cluster, "example", "Complete")
    assert costs(run) == {}
    assert kubelet.ended.count("sample-r1-0") == 1
    assert cluster.wait_for_job("sample")["metadata"]["uid"] == job["metadata"]["uid"]


def test_a_run_that_its_user_suspends_gives_its_place_to_another_and_gets_one_again(cluster, queue):
    queue.give(1)
    cluster.operator()
    held = Held(cluster, "prune", run="first")
    cluster.kubelet(held)
    cluster.create("first", maxRounds=1, queue={"name": QUEUE})
    held.run()
    cluster.create("second", maxRounds=1, queue={"name": QUEUE})
    wait_for(cluster, "second", "ResourcesAvailable", "False")

    cluster.asked_to_delete = 1
    cluster.change("first", suspend=True)
    wait_for(cluster, "first", "Suspended")
    second = wait_for(cluster, "second", "Complete")
    until(
        lambda: (
            not [item for item in queue.workloads() if "r1-prune" in item["metadata"]["name"] and not is_true(item, "Finished")]
        )
    )
    held.let_go()
    cluster.change("first", suspend=False)
    first = wait_for(cluster, "first", "Complete")
    assert (costs(first), costs(second)) == ({(1, "prune"): (2, 0, 1)}, {})


def test_a_run_that_waits_in_the_queue_can_be_suspended_and_leaves_the_queue(cluster, queue):
    queue.stop("Hold")
    cluster.operator()
    cluster.kubelet()
    cluster.create(maxRounds=1, queue={"name": QUEUE})
    wait_for(cluster, "example", "ResourcesAvailable", "False")
    cluster.asked_to_delete = 1
    cluster.change(suspend=True)
    wait_for(cluster, "example", "Suspended")
    until(lambda: not cluster.jobs() and not queue.workloads())
    queue.stop("None")
    cluster.change(suspend=False)
    assert costs(wait_for(cluster, "example", "Complete")) == {(0, "prepare"): (2, 0, 1)}


def test_a_run_that_waits_in_a_queue_that_does_not_exist_goes_on_once_it_names_the_right_one(cluster, queue):
    cluster.operator()
    cluster.kubelet()
    cluster.create(maxRounds=1, queue={"name": "taem-a"})
    waiting = wait_for(cluster, "example", "ResourcesAvailable", "False")
    assert condition(waiting, "ResourcesAvailable")["message"].endswith("waits for admission by the queue taem-a")
    cluster.asked_to_delete = 1
    cluster.change(queue={"name": QUEUE})
    assert costs(wait_for(cluster, "example", "Complete")) == {(0, "prepare"): (2, 0, 1)}


def test_a_training_on_two_nodes_that_a_higher_priority_displaces_goes_on_afterwards_for_free(cluster, queue):
    cluster.operator()
    held = Held(cluster, "train", run="low")
    kubelet = cluster.kubelet(held)
    cluster.create(
        "low", maxRounds=1, training={"nodes": 2}, queue={"name": QUEUE, "priorityClass": "low"}, failurePolicy={"maxAttempts": 1}
    )
    held.run(pods=2)
    cluster.create("high", maxRounds=1, queue={"name": QUEUE, "priorityClass": "high"})
    wait_for(cluster, "low", "ResourcesAvailable", "False")
    high = wait_for(cluster, "high", "Complete")
    held.let_go()
    low = wait_for(cluster, "low", "Complete")
    assert (costs(low), costs(high)) == ({}, {})
    assert outcome(low) == outcome(high)
    assert kubelet.ended.count("train-r1-0") == 2  # one of each run


def test_a_training_on_two_nodes_is_admitted_whole_or_not_at_all(cluster, queue):
    queue.give(1)
    cluster.operator()
    cluster.kubelet()
    cluster.create(maxRounds=1, training={"nodes": 2}, queue={"name": QUEUE})
    cluster.wait_for_job("train", seconds=90.0)
    until(
        lambda: any(
            "train" in workload["metadata"]["name"] and is_true(workload, "QuotaReserved", "False")
            for workload in queue.workloads()
        )
    )
    cluster.wait(lambda run: "train" in condition(run, "ResourcesAvailable")["message"], "waiting with its training")
    assert not pods_at_once(cluster)
    queue.give(2)
    assert costs(wait_for(cluster, "example", "Complete")) == {}


def test_a_job_deleted_by_hand_while_it_is_admitted_gives_its_place_to_the_next_attempt(cluster, queue):
    queue.give(1)
    cluster.operator()
    held = Held(cluster, "prepare")
    cluster.kubelet(held)
    cluster.create(maxRounds=1, queue={"name": QUEUE})
    held.run()
    (job,) = cluster.jobs()
    cluster.kube.delete(f"{JOBS.format(cluster.namespace)}/{job['metadata']['name']}", propagationPolicy="Foreground")
    cluster.wait_for_job("prepare", attempt=2)
    held.let_go()
    assert costs(wait_for(cluster, "example", "Complete")) == {(0, "prepare"): (2, 0, 1)}


def test_an_admitted_job_that_somebody_else_suspends_is_started_again_by_kueue_for_free(cluster, queue):
    cluster.operator()
    held = Held(cluster, "prepare")
    cluster.kubelet(held)
    cluster.create(maxRounds=1, queue={"name": QUEUE})
    held.run()
    (job,), (first,) = cluster.jobs(), held.pods()
    cluster.kube.patch(f"{JOBS.format(cluster.namespace)}/{job['metadata']['name']}", {"spec": {"suspend": True}})
    until(lambda: [pod for pod in held.pods() if pod["metadata"]["uid"] != first["metadata"]["uid"]])
    held.let_go()
    run = cluster.wait(lambda run: run["status"].get("step") == "sample", "in the next step")
    assert (costs(run), job["metadata"]["name"] in [item["metadata"]["name"] for item in cluster.jobs()]) == ({}, True)
