"""Runs from beginning to end on a real control plane."""

import json

from tests.cluster.kube import SECRETS


def test_a_run_of_two_rounds_is_carried_through_to_complete(cluster):
    cluster.operator()
    kubelet = cluster.kubelet()
    cluster.create(maxRounds=2, sampling={"shards": 2})
    run = cluster.wait_for("Complete")

    status = run["status"]
    assert (status["phase"], status["round"]) == ("Complete", "2/2")
    assert status["observedGeneration"] == run["metadata"]["generation"]
    assert status["bestRound"] == 2
    assert status["resolved"]["images"] == {"sampler": "sampler:1", "pruner": "pruner:1", "trainer": "trainer:1"}
    assert status["resolved"]["counts"] == {"train": 10}
    assert sorted(set(kubelet.ended)) == sorted(kubelet.ended), "a step ran twice"
    steps = list(dict.fromkeys(name.rpartition("-")[0] for name in kubelet.ended))
    assert steps == [
        *("prepare-r0", "sample-r1", "prune-r1", "train-r1", "sample-r2", "prune-r2", "train-r2"),
        *("evaluate-r2", "grade-r2", "finalize-r2"),
    ]


def test_the_pods_of_a_run_in_an_object_store_have_its_keys_and_no_claim(cluster):
    secret = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "a-secret-that-nobody-may-see"}
    cluster.kube.post(SECRETS.format(cluster.namespace), {"metadata": {"name": "keys"}, "stringData": secret})
    cluster.operator()
    cluster.kubelet()
    storage = {"persistentVolumeClaim": None, "uri": "s3://bucket/runs", "secretRef": {"name": "keys"}}
    cluster.create(maxRounds=1, storage=storage)
    run = cluster.wait_for("Complete")

    jobs = cluster.jobs()
    assert len(jobs) == 7
    for job in jobs:
        pod = job["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        config = json.loads(container["args"][0])
        assert config["root"] == f"s3://bucket/runs/{cluster.namespace}/example"
        assert not [volume for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
        told = {item["name"]: item.get("valueFrom") for item in container["env"]}
        assert told["AWS_SECRET_ACCESS_KEY"] == {"secretKeyRef": {"name": "keys", "key": "AWS_SECRET_ACCESS_KEY"}}
    policies = cluster.kube.items(f"/apis/networking.k8s.io/v1/namespaces/{cluster.namespace}/networkpolicies")
    (out,) = [policy for policy in policies if policy["spec"]["egress"] == [{}]]
    assert len(out["spec"]["podSelector"]["matchExpressions"][0]["values"]) == 7
    assert secret["AWS_SECRET_ACCESS_KEY"] not in json.dumps([run, jobs, policies, cluster.said()])
