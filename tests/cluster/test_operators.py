"""One operator or two, here or gone for a while, in one namespace or in all: runs do not notice."""

import asyncio
from collections import Counter
from functools import partial

from tests.cluster.conftest import RULES, SETTINGS, Operator, account, condition, until
from tests.cluster.kube import JOBS, PODS, RUNS
from tests.cluster.kubelet import DONE, label, write
from tpt_operator.controller import Controller


def test_two_operators_at_once_do_no_harm(cluster):
    cluster.operator()
    cluster.operator()
    kubelet = cluster.kubelet()
    cluster.create(maxRounds=2, sampling={"shards": 2})
    cluster.wait_for("Complete", seconds=90)
    assert Counter(kubelet.ended).most_common(1)[0][1] == 1, "a step ran twice"
    assert len(cluster.jobs()) == len({(label(job, "step"), label(job, "round")) for job in cluster.jobs()})
    said = cluster.said()
    assert len(said) == len(set(said)), "something was said twice"


def test_a_watch_of_jobs_that_lags_behind_those_of_runs_and_pods_has_no_attempt_taken_for_ended(cluster, monkeypatch):
    told, heard = Controller.seen, set()
    lags = {"pods": 0.0, "selfimprovementruns": 0.3, "jobs": 0.6}

    def hear(controller, kind, item):
        told(controller, kind, item)
        if kind.plural == "jobs" and label(item, "step") == "prune":
            heard.add(controller)

    def hear_late(controller, kind, item):
        asyncio.get_running_loop().call_later(lags[kind.plural], hear, controller, kind, item)

    monkeypatch.setattr(Controller, "seen", hear_late)
    cluster.operator()
    cluster.operator()
    kubelet = cluster.kubelet(lambda pod, before: None if label(pod, "step") == "prune" and not before else DONE)
    cluster.create(maxRounds=1, sampling={"shards": 2})
    until(lambda: len(heard) == 2)
    (pod,) = [pod for pod in cluster.kube.items(PODS.format(cluster.namespace)) if label(pod, "step") == "prune"]
    write(cluster.kube, pod, DONE)
    run = cluster.wait_for("Complete")
    assert {step["attempts"] for entry in run["status"]["rounds"] for step in entry["steps"]} == {1}
    assert len(kubelet.ended) == len(set(kubelet.ended)), "a step ran twice"


def test_a_run_made_while_no_operator_ran_is_carried_out_and_one_left_behind_goes_on(cluster):
    cluster.create(maxRounds=1)
    first = cluster.operator()
    cluster.wait_for_job("prepare")
    first.stop()
    kubelet = cluster.kubelet()
    until(lambda: "prepare-r0-0" in kubelet.ended)
    cluster.operator()
    cluster.wait_for("Complete")
    assert len(kubelet.ended) == len(set(kubelet.ended))


def test_a_run_of_another_manager_is_left_alone(cluster):
    cluster.operator()
    theirs = cluster.create(managedBy="example.com/other")
    ours = {**theirs, "metadata": {"name": "ours"}, "spec": {**theirs["spec"], "managedBy": "tpt.dev/operator"}}
    cluster.kube.post(RUNS.format(cluster.namespace), ours)
    cluster.wait_for_job("prepare")
    assert "status" not in cluster.run("example")
    assert {label(job, "run") for job in cluster.jobs()} == {"ours"}


def test_a_deleted_run_takes_along_all_that_was_made_for_it(cluster):
    cluster.operator()
    cluster.kubelet(lambda pod, before: None if label(pod, "step") == "train" else DONE)
    cluster.create(maxRounds=1, training={"nodes": 2})
    cluster.wait_for_job("train")
    services = f"/api/v1/namespaces/{cluster.namespace}/services"
    policies = f"/apis/networking.k8s.io/v1/namespaces/{cluster.namespace}/networkpolicies"
    assert len(cluster.kube.items(services)) == len(cluster.kube.items(policies)) == 1
    assert "finalizers" not in cluster.run()["metadata"]
    cluster.kube.delete(f"{RUNS.format(cluster.namespace)}/example")
    for path in (services, policies, JOBS.format(cluster.namespace), PODS.format(cluster.namespace)):
        until(partial(_empty, cluster, path))


def _empty(cluster, path):
    return not cluster.kube.items(path)


def test_finished_jobs_are_released_only_after_their_summary_is_in_the_status(cluster):
    cluster.operator()
    cluster.kubelet(lambda pod, before: None if label(pod, "step") == "sample" else DONE)
    cluster.create(maxRounds=1, retention={"jobTTLSecondsAfterFinished": 300})
    run = cluster.wait(lambda run: run.get("status", {}).get("step") == "sample")
    assert run["status"]["resolved"]["counts"] == {"train": 10}
    until(
        lambda: [job["spec"].get("ttlSecondsAfterFinished") for job in cluster.jobs() if label(job, "step") == "prepare"] == [300]
    )
    (sample,) = [job for job in cluster.jobs() if label(job, "step") == "sample"]
    assert "ttlSecondsAfterFinished" not in sample["spec"]


def test_clean_up_of_finished_jobs_loses_nothing(cluster):
    cluster.operator()
    kubelet = cluster.kubelet()
    cluster.create(maxRounds=1, retention={"jobTTLSecondsAfterFinished": 0})
    cluster.wait_for("Complete")
    until(lambda: not cluster.jobs())
    assert condition(cluster.run(), "Complete")["status"] == "True"
    assert len(kubelet.ended) == len(set(kubelet.ended))


def test_cluster_wide_the_shipped_rules_as_a_cluster_role_are_enough(cluster):
    token = account(cluster.kube, cluster.namespace)
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    name = f"tpt-operator-{cluster.namespace}"
    cluster.kube.post(f"{rbac}/clusterroles", {"metadata": {"name": name}, "rules": RULES})
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "tpt-operator", "namespace": cluster.namespace}],
    }
    cluster.kube.post(f"{rbac}/clusterrolebindings", binding)
    with Operator(cluster.plane, token, SETTINGS):
        cluster.kubelet()
        cluster.create(maxRounds=1, training={"nodes": 2})
        cluster.wait_for("Complete")
        until(lambda: any("all 1 rounds are done" in message for message in cluster.said()))


def test_the_shipped_rules_hold_no_wild_card_and_nothing_of_secrets(cluster):
    assert RULES
    for rule in RULES:
        assert set(rule) == {"apiGroups", "resources", "verbs"}
        assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])
        assert "secrets" not in rule["resources"]
