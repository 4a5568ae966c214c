"""A Job's `spec.suspend` belongs to others: the operator waits, says so, and never writes it."""

from tests.cluster.conftest import condition, until
from tests.cluster.kube import JOBS, PODS
from tests.cluster.kubelet import DONE, label


def test_a_job_that_somebody_else_suspends_leaves_the_run_pending_with_words_and_goes_on_for_free(cluster):
    cluster.operator()
    cluster.kubelet(lambda pod, before: None if label(pod, "step") == "prepare" and not before else DONE)
    cluster.create(maxRounds=1)
    cluster.wait_for("Running")
    (job,) = cluster.jobs()
    path = f"{JOBS.format(cluster.namespace)}/{job['metadata']['name']}"
    cluster.kube.patch(path, {"spec": {"suspend": True}})
    run = cluster.wait_for("ResourcesAvailable", "False")
    assert run["status"]["phase"] == "Pending"
    assert condition(run, "Running")["reason"] == "WaitingForResources"
    words = f"somebody else has suspended the Job {job['metadata']['name']}"
    assert words in condition(run, "ResourcesAvailable")["message"]
    until(lambda: not cluster.kube.items(PODS.format(cluster.namespace)))
    assert cluster.kube.get(path)["spec"]["suspend"] is True

    cluster.kube.patch(path, {"spec": {"suspend": False}})
    run = cluster.wait(lambda run: run["status"].get("step") == "sample", "in the next step")
    (prepare,) = run["status"]["rounds"][0]["steps"]
    assert (prepare["attempts"], prepare.get("failures", 0), prepare.get("disruptions", 0)) == (1, 0, 0)
