"""What keeps a step from running or from ending: told with the cluster's own words and the way out, and bounded."""

from datetime import timedelta

from tests.cluster.conftest import condition, record, until
from tests.cluster.kube import EVENTS, JOBS, PODS
from tests.cluster.kubelet import DONE, NOT_BEGUN, NOW, at, index, label


def waiting(reason, message):
    container = {"name": "step", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    return {
        "phase": "Pending",
        "containerStatuses": [{**container, "state": {"waiting": {"reason": reason, "message": message}}}],
    }


def test_what_the_scheduler_says_is_in_the_condition(cluster):
    cluster.operator()
    cluster.create()
    job = cluster.wait_for_job("prepare")
    (pod,) = until(lambda: cluster.kube.items(PODS.format(cluster.namespace)))
    said = {"reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."}
    status = {"conditions": [{"type": "PodScheduled", "status": "False", **said}]}
    cluster.kube.patch(f"{PODS.format(cluster.namespace)}/{pod['metadata']['name']}/status", {"status": status})
    run = cluster.wait_for("ResourcesAvailable", "False")
    assert "3 Insufficient nvidia.com/gpu" in condition(run, "ResourcesAvailable")["message"]
    assert condition(run, "Running")["reason"] == "WaitingForResources"
    assert job["metadata"]["name"] == record(run, 0, "prepare")["jobName"]


def test_an_exceeded_quota_is_told_though_there_is_no_pod_to_ask(cluster):
    quotas = f"/api/v1/namespaces/{cluster.namespace}/resourcequotas"
    cluster.kube.post(quotas, {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}})
    until(lambda: cluster.kube.items(quotas)[0].get("status", {}).get("hard"))
    cluster.operator()
    cluster.create()
    run = cluster.wait_for("ResourcesAvailable", "False")
    assert "exceeded quota: none" in condition(run, "ResourcesAvailable")["message"]


def test_a_deadline_for_waiting_fails_the_run(cluster):
    cluster.operator()
    cluster.create(failurePolicy={"pendingDeadlineSeconds": 1})
    failed = condition(cluster.wait_for("Failed"), "Failed")
    assert failed["reason"] == "PendingDeadlineExceeded"
    until(lambda: not cluster.jobs())


def test_an_image_that_cannot_be_pulled_is_told_with_the_way_out_and_that_way_works(cluster):
    cluster.operator()
    cluster.create(worker={"image": "smapler:1"})
    words = 'Back-off pulling image "smapler:1": not found'
    cluster.write_pod(cluster.pod_of("prepare"), waiting("ImagePullBackOff", words))
    run = cluster.wait_for("ResourcesAvailable", "False")
    said = condition(run, "ResourcesAvailable")["message"]
    assert f"ImagePullBackOff: {words} (correct spec.worker.image" in said
    assert "then suspend the run and resume it" in said

    cluster.change(worker={"image": "sampler:1"}, suspend=True)
    cluster.wait_for("Suspended")
    cluster.change(suspend=False)
    second = cluster.wait_for_job("prepare", attempt=2)
    assert second["spec"]["template"]["spec"]["containers"][0]["image"] == "sampler:1"
    assert record(cluster.run(), 0, "prepare").get("failures", 0) == 0


def test_a_secret_that_is_missing_is_named(cluster):
    cluster.operator()
    cluster.create(model={"uri": "hf://org/model", "secretRef": {"name": "hf-token"}})
    cluster.write_pod(cluster.pod_of("prepare"), waiting("CreateContainerConfigError", 'secret "hf-token" not found'))
    run = cluster.wait_for("ResourcesAvailable", "False")
    assert 'secret "hf-token" not found (create it' in condition(run, "ResourcesAvailable")["message"]


def test_a_claim_that_only_one_node_can_have_is_told_by_the_events_of_the_pod_that_waits_for_it(cluster, monkeypatch):
    monkeypatch.setattr("tpt_operator.obstacles.NO_START", timedelta(0))
    cluster.operator()
    nodes = {0: None, 1: NOT_BEGUN}
    cluster.kubelet(lambda pod, before: nodes[index(pod)] if label(pod, "step") == "train" else DONE)
    cluster.create(maxRounds=1, training={"nodes": 2})
    pod = cluster.pod_of("train", shard=1)
    words = 'Multi-Attach error for volume "pvc-1": Volume is already used by pod(s) on another node'
    cluster.kube.post(EVENTS.format(cluster.namespace), warning(pod, "FailedAttachVolume", words))
    cluster.write_pod(pod, {"conditions": [{"type": "PodScheduled", "status": "True"}]})
    run = cluster.wait_for("ResourcesAvailable", "False")
    said = condition(run, "ResourcesAvailable")["message"]
    assert f"FailedAttachVolume: {words}" in said
    assert "ReadWriteMany" in said
    assert condition(run, "Running")["status"] == "False", "one node of two is no training"


def warning(pod, reason, message):
    metadata = pod["metadata"]
    about = {name: metadata[name] for name in ("namespace", "name", "uid")}
    made = {"metadata": {"generateName": "seen-", "namespace": metadata["namespace"]}, "involvedObject": {"kind": "Pod", **about}}
    return {**made, "type": "Warning", "reason": reason, "message": message, "lastTimestamp": NOW}


def test_no_attempt_starts_beside_pods_of_an_unreachable_node_and_after_a_while_it_is_said_what_to_do(cluster, monkeypatch):
    monkeypatch.setattr("tpt_runtime.core.plan.TERMINATING_NOTICE", timedelta(seconds=1))
    cluster.operator()
    kubelet = cluster.kubelet(at("sample", None))
    cluster.create(maxRounds=1)
    cluster.wait(lambda run: run.get("status", {}).get("step") == "sample" and condition(run, "Running")["status"] == "True")
    pod = cluster.pod_of("sample")
    path = f"{PODS.format(cluster.namespace)}/{pod['metadata']['name']}"
    held = [*pod["metadata"].get("finalizers", ()), "example.com/unreachable-node"]
    cluster.kube.patch(path, {"metadata": {"finalizers": held}})
    (job,) = [job for job in cluster.jobs() if label(job, "step") == "sample"]
    cluster.kube.delete(f"{JOBS.format(cluster.namespace)}/{job['metadata']['name']}", propagationPolicy="Foreground")
    run = cluster.wait(lambda run: "its node may be unreachable" in condition(run, "Running").get("message", ""))
    assert condition(run, "Running")["reason"] == "StepTerminating"
    assert "kubectl delete pod --force" in condition(run, "Running")["message"]
    assert {label(job, "attempt") for job in cluster.jobs() if label(job, "step") == "sample"} == {"1"}

    cluster.kube.patch(path, {"metadata": {"finalizers": None}})
    run = cluster.wait_for("Complete")
    done = record(run, 1, "sample")
    assert (done["attempts"], done.get("failures", 0), done["disruptions"]) == (2, 0, 1)
    assert kubelet.ended.count("sample-r1-0") == 1


def test_a_node_that_is_lost_amid_a_step_is_told_of_after_a_while_and_the_run_goes_on_once_the_pod_is_gone(cluster, monkeypatch):
    monkeypatch.setattr("tpt_operator.obstacles.NO_END", timedelta(0))
    cluster.operator()
    cluster.kubelet(at("prune", None))
    cluster.create(maxRounds=1)
    cluster.wait(lambda run: run.get("status", {}).get("step") == "prune" and condition(run, "Running")["status"] == "True")
    pod = cluster.pod_of("prune")
    path = f"{PODS.format(cluster.namespace)}/{pod['metadata']['name']}"
    held = [*pod["metadata"].get("finalizers", ()), "example.com/unreachable-node"]
    cluster.kube.patch(path, {"metadata": {"finalizers": held}})
    cluster.kube.delete(path)
    run = cluster.wait_for("ResourcesAvailable", "False")
    assert "kubectl delete pod --force" in condition(run, "ResourcesAvailable")["message"]
    assert condition(run, "Running")["status"] == "False"
    assert len([job for job in cluster.jobs() if label(job, "step") == "prune"]) == 1

    cluster.kube.patch(path, {"metadata": {"finalizers": None}})
    cluster.wait_for("Complete", seconds=90)


def test_a_quota_of_jobs_is_told_by_an_event_and_the_run_goes_on_once_it_is_raised(cluster):
    quotas = f"/api/v1/namespaces/{cluster.namespace}/resourcequotas"
    cluster.kube.post(quotas, {"metadata": {"name": "no-jobs"}, "spec": {"hard": {"count/jobs.batch": "0"}}})
    until(lambda: cluster.kube.items(quotas)[0].get("status", {}).get("hard"))
    cluster.operator(longest_retry_seconds=0.5)
    cluster.create()
    (said,) = until(lambda: [message for message in cluster.said() if "exceeded quota: no-jobs" in message])
    assert said.startswith("POST /apis/batch/v1/")
    assert condition(cluster.run(), "Failed")["status"] == "False"
    cluster.kube.delete(f"{quotas}/no-jobs")
    cluster.wait_for_job("prepare")
