"""Jobs and pods as the API server tells them, in the planner's words."""

from datetime import UTC, datetime

import pytest

from tests.tpt_operator.runs import IMAGES, run, start
from tpt_operator import manifests
from tpt_operator.observe import Said, complete_view, observed, observed_job
from tpt_operator.views import JobView, PodView, job_view, pod_view
from tpt_runtime.core.observed import FailureKind, JobState, Span

CREATED = "2026-01-01T00:00:00Z"
LATER = "2026-01-01T00:05:00Z"
SUMMARY = '{"step": "sample", "shard": 0}'


def job(step="sample", indexes=1, **status):
    made = manifests.job(run(), start(step, indexes), IMAGES)
    made["metadata"] |= {"uid": "job", "resourceVersion": "5", "creationTimestamp": CREATED}
    return {**made, "status": status}


def ended(kind, reason="", message=""):
    return {"conditions": [{"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": LATER}]}


def pod(  # noqa: PLR0917 - the parts of a status, most of which a test leaves out
    of, index=0, phase="Failed", code=None, message="", reason="", finished=LATER, **more
):
    labels = {
        **of["spec"]["template"]["metadata"]["labels"],
        "batch.kubernetes.io/job-name": of["metadata"]["name"],
        "batch.kubernetes.io/job-completion-index": str(index),
    }
    terminated = {"exitCode": code, "startedAt": CREATED, "finishedAt": finished, "message": message, "reason": reason}
    state = {"terminated": terminated} if code is not None else more.pop("state", {})
    status = {"phase": phase, "containerStatuses": [{"name": "step", "state": state}], **more}
    metadata = {
        "name": f"pod-{index}-{finished}",
        "namespace": "team",
        "uid": f"{index}",
        "resourceVersion": "9",
        "labels": labels,
    }
    return {"metadata": {**metadata, "creationTimestamp": CREATED}, "status": status}


def the_job(of) -> JobView:
    view = job_view(of)
    assert view is not None
    return view


def the_pod(of) -> PodView:
    view = pod_view(of)
    assert view is not None
    return view


def seen(of, *pods, told=None):
    said = Said({of["metadata"]["name"]: told} if told else {})
    return observed_job(the_job(of), [the_pod(item) for item in pods], said)


DISRUPTED = {
    "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "preempted"}]
}


def test_a_new_job_is_pending_with_what_its_labels_say():
    found = seen(job())
    assert (found.state, found.step, found.round, found.attempt) == (JobState.PENDING, "sample", 1, 1)
    assert found.created == datetime(2026, 1, 1, tzinfo=UTC)
    assert (found.deleting, found.released, found.blocked) == (False, False, None)


def test_a_job_runs_once_a_container_has_begun():
    of = job(active=1)
    assert seen(of, pod(of, phase="Pending", state={"waiting": {"reason": "ContainerCreating"}})).state is JobState.PENDING
    assert seen(of, pod(of, phase="Running", state={"running": {"startedAt": LATER}})).started == datetime(
        2026, 1, 1, 0, 5, tzinfo=UTC
    )


def test_a_training_on_several_nodes_runs_once_all_of_them_have_begun():
    of = job("train", 2, active=2, ready=1)
    first = pod(of, 0, phase="Running", state={"running": {"startedAt": LATER}})
    second = pod(of, 1, phase="Pending", state={"waiting": {"reason": "ContainerCreating"}})
    half = seen(of, first, second, told="FailedAttachVolume: Multi-Attach error for volume x")
    assert half.state is JobState.PENDING
    assert "Multi-Attach" in half.blocked
    begun = pod(of, 1, phase="Running", state={"running": {"startedAt": LATER}})
    assert seen(of, first, begun).state is JobState.RUNNING
    assert seen(job("train", 2, active=1, failed=1), first).state is JobState.RUNNING


def test_shards_run_once_one_of_them_has_begun():
    of = job("sample", 2, active=2, ready=1)
    assert seen(of, pod(of, 0, phase="Running", state={"running": {"startedAt": LATER}})).state is JobState.RUNNING


def test_failure_target_is_not_the_end():
    of = job(**ended("FailureTarget", "BackoffLimitExceeded"), failed=1)
    assert seen(of).state is JobState.RUNNING


def test_summaries_are_in_the_order_of_the_indexes_and_none_where_there_is_none():
    of = job(indexes=3, **ended("Complete"))
    found = seen(of, pod(of, 2, "Succeeded", 0, SUMMARY), pod(of, 0, "Succeeded", 0, "no json"), pod(of, 1, "Failed", 1, SUMMARY))
    assert found.state is JobState.SUCCEEDED
    assert found.summaries == (None, None, {"step": "sample", "shard": 0})


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"code": 64, "message": '{"error": "no such model"}'}, FailureKind.CONFIGURATION, "no such model"),
        ({"code": 78, "message": ""}, FailureKind.CONFIGURATION, "exit code 78"),
        ({"code": 79, "message": "x"}, FailureKind.CRASH, "ended with exit code 79: x"),
        ({"code": 1, "message": "line 1\nSegmentation fault\n"}, FailureKind.CRASH, "Segmentation fault"),
        ({"code": 137, "reason": "OOMKilled"}, FailureKind.CRASH, "out of memory (OOMKilled): raise resources.limits.memory"),
        ({"code": 143}, FailureKind.DISRUPTION, "asked to stop"),
        ({"code": 137, **DISRUPTED}, FailureKind.DISRUPTION, "PreemptionByScheduler: preempted"),
        ({"reason": "", "message": ""}, FailureKind.CRASH, "the pod failed without a word"),
    ],
)
def test_how_a_pod_ended_is_said_in_words(given, kind, words):
    of = job("prune", **ended("Failed", "BackoffLimitExceeded"))
    failure = seen(of, pod(of, **given)).failure
    assert failure.kind is kind
    assert words in failure.message


def test_of_several_shards_the_one_that_the_user_can_mend_speaks_and_is_named():
    of = job(indexes=3, **ended("Failed", "PodFailurePolicy"))
    pods = [pod(of, 0, code=143), pod(of, 1, code=64, message='{"error": "bad"}'), pod(of, 2, code=1, message="boom")]
    failure = seen(of, *pods).failure
    assert failure.kind is FailureKind.CONFIGURATION
    assert failure.message == "index 1 of 3: bad"


def test_of_several_nodes_the_evicted_one_speaks_for_those_that_it_crashed():
    of = job("train", 2, **ended("Failed", "BackoffLimitExceeded"))
    failure = seen(of, pod(of, 0, code=1, message="connection reset by peer"), pod(of, 1, code=137, **DISRUPTED)).failure
    assert failure.kind is FailureKind.DISRUPTION


def test_the_last_of_several_crashes_speaks():
    of = job("sample", **ended("Failed", "FailedIndexes"))
    early, late = "2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z"
    failure = seen(of, pod(of, code=1, message="second", finished=late), pod(of, code=1, message="first", finished=early)).failure
    assert failure.message.endswith("second")


@pytest.mark.parametrize(
    ("reason", "message", "kind"),
    [
        ("PodFailurePolicy", "Pod a/b has condition DisruptionTarget matching FailJob rule at index 0", FailureKind.DISRUPTION),
        (
            "PodFailurePolicy",
            "Container step for pod a/b failed with exit code 64 matching FailJob rule at index 1",
            FailureKind.CONFIGURATION,
        ),
        ("BackoffLimitExceeded", "Job has reached the specified backoff limit", FailureKind.CRASH),
    ],
)
def test_a_job_whose_pods_are_gone_is_understood_by_its_condition(reason, message, kind):
    failure = seen(job("train", 2, **ended("Failed", reason, message))).failure
    assert failure.kind is kind
    assert message in failure.message


def test_what_blocks_a_job_is_the_schedulers_or_the_kubelets_word():
    of = job(active=1)
    unschedulable = {
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}]
    }
    assert seen(of, pod(of, phase="Pending", **unschedulable)).blocked == "Unschedulable: 0/2 nodes"
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    assert seen(of, pod(of, phase="Pending", state=waiting)).blocked.startswith("ImagePullBackOff: no such image (correct spec.")
    assert seen(of, told="no pod can be made: forbidden").blocked == "no pod can be made: forbidden"


def test_a_job_that_kueue_holds_back_says_for_which_queue():
    of = job()
    of["spec"]["suspend"] = True
    assert seen(of).blocked.startswith(f"somebody else has suspended the Job {of['metadata']['name']}")
    of["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "team-a"
    assert seen(of).blocked == "waits for admission by the queue team-a"
    assert seen(of).queue == ("team-a", None)
    of["metadata"]["labels"]["kueue.x-k8s.io/priority-class"] = "high"
    assert seen(of).queue == ("team-a", "high")
    of["spec"]["suspend"] = False
    assert seen(of).queue is None, "it was admitted"


def turned(held, at=LATER):
    return {"conditions": [{"type": "Suspended", "status": str(held), "lastTransitionTime": at}]}


def test_a_job_whose_place_was_taken_away_waits_again_whatever_it_had_done_before():
    of = job(indexes=2, succeeded=1, **turned(held=True))
    of["spec"]["suspend"] = True
    done = pod(of, 0, "Succeeded", 0, SUMMARY)
    found = seen(of, done)
    assert (found.state, found.started is None, bool(found.blocked)) == (JobState.PENDING, False, True)
    assert found.waiting_since == datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
    leaving = pod(of, 1, "Running", state={"running": {"startedAt": CREATED}})
    assert seen(of, done, leaving).state is JobState.RUNNING


def test_a_job_that_is_to_be_suspended_runs_until_it_is():
    of = job(ready=1)
    of["spec"]["suspend"] = True
    assert seen(of).state is JobState.RUNNING


def test_time_before_a_job_was_let_go_on_is_not_counted():
    of = job(indexes=2, succeeded=1, ready=1, **turned(held=False))
    before, after = (pod(of, 0, "Succeeded", 0, SUMMARY), pod(of, 1, "Running", state={"running": {"startedAt": LATER}}))
    assert seen(of, before, after).started == datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
    assert seen(job(**turned(held=False))).waiting_since == datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
    assert seen(job()).waiting_since == datetime(2026, 1, 1, tzinfo=UTC)


def test_gpus_are_those_of_the_limits_and_times_those_of_the_containers():
    of = job(indexes=2)
    of["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "4", "memory": "1Gi"}}
    found = seen(
        of, pod(of, 0, "Failed", 1), pod(of, 1, "Running", state={"running": {"startedAt": LATER}}), pod(of, 2, "Pending")
    )
    began, ended_at = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
    assert found.gpus == 4
    assert found.ran == (Span(began, ended_at), Span(ended_at, None))
    assert (seen(job()).gpus, seen(job()).ran) == (0, ())


def test_a_pod_has_an_address_while_its_container_runs():
    of = job()
    running = pod(of, 0, "Running", state={"running": {"startedAt": LATER}}, podIP="192.0.2.1")
    assert the_pod(running).address == "192.0.2.1"
    assert the_pod(pod(of, 0, "Pending", state={"waiting": {"reason": "ContainerCreating"}}, podIP="192.0.2.1")).address is None
    assert the_pod(pod(of, 0, "Succeeded", 0, SUMMARY, podIP="192.0.2.1")).address is None


def test_progress_is_the_shards_that_are_done():
    progress = seen(job(indexes=4, succeeded=3, ready=1)).progress
    assert (progress.completed, progress.total) == (3, 4)
    assert seen(job(ready=1)).progress is None


def test_pods_of_a_job_that_is_gone_keep_the_step_from_starting_anew():
    of = job("train", 2)
    running, over = pod(of, 0, "Running", deletion=1), pod(of, 1, "Failed", 1)
    running["metadata"]["deletionTimestamp"] = LATER
    (ghost,) = observed([], [the_pod(running), the_pod(over)]).jobs
    assert (ghost.name, ghost.deleting, ghost.state) == (of["metadata"]["name"], True, JobState.RUNNING)
    assert ghost.deleting_since == datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
    assert observed([], [the_pod(over)]).jobs == ()


def test_an_end_whose_pods_were_not_seen_to_end_is_looked_at_anew():
    of = job(indexes=2, **ended("Complete"))
    first, second = pod(of, 0, "Succeeded", 0, SUMMARY), pod(of, 1, "Succeeded", 0, SUMMARY)
    assert not complete_view(the_job(of), [the_pod(first)])
    assert complete_view(the_job(of), [the_pod(first), the_pod(second)])
    failed = job(**ended("Failed"))
    assert not complete_view(the_job(failed), [])
    assert complete_view(the_job(failed), [the_pod(pod(failed, code=1))])
    assert complete_view(the_job(job()), [])


def test_what_is_not_of_a_run_is_passed_over():
    foreign = job()
    foreign["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "tpt-operator"}
    assert job_view(foreign) is None


def test_a_released_job_is_known_by_its_ttl():
    of = job(**ended("Complete"))
    of["spec"]["ttlSecondsAfterFinished"] = 0
    assert seen(of).released
