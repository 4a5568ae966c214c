"""What keeps a step from running, in words: who is asked why, and what is advised."""

from datetime import datetime, timedelta

import pytest

from tests.tpt_operator.test_observe import CREATED, LATER, ended, job, pod, seen, the_job, the_pod
from tpt_operator.obstacles import NO_END, NO_PODS, NO_START, silent, with_way_out
from tpt_runtime.core.observed import JobState

BEGAN, WENT = datetime.fromisoformat(CREATED), datetime.fromisoformat(LATER)
CREATING = {"waiting": {"reason": "ContainerCreating"}}


def quiet(of, *pods):
    return silent(the_job(of), [the_pod(item) for item in pods])


def test_a_job_without_pods_is_asked_after_some_seconds():
    found = quiet(job(active=1))
    assert (found.kind, found.uid, found.ask_from) == ("Job", "job", BEGAN + NO_PODS)
    assert found.fields.endswith(",reason=FailedCreate")


def test_a_pod_that_is_being_created_for_long_is_asked_as_its_volume_may_be_elsewhere():
    of = job("train", 2, active=2)
    running = pod(of, 0, phase="Running", state={"running": {"startedAt": CREATED}})
    found = quiet(of, running, pod(of, 1, phase="Pending", state=CREATING))
    assert (found.kind, found.uid) == ("Pod", "1")
    assert found.ask_from == BEGAN + NO_START > BEGAN + timedelta(seconds=10)
    assert "type=Warning" in found.fields


@pytest.mark.parametrize("status", [{"active": 1, "ready": 1}, ended("Complete"), ended("Failed")])
def test_a_job_that_has_counted_pods_or_has_ended_is_not_asked(status):
    assert quiet(job(**status)) is None


def test_a_pod_that_says_itself_why_it_waits_is_not_asked():
    of = job(active=1)
    assert quiet(of, pod(of, phase="Pending", state={"waiting": {"reason": "ErrImagePull"}})) is None


def test_pods_that_do_not_go_are_told_of_after_a_while_with_what_to_do():
    of = job("train", 2, active=0, ready=2)
    running = {"phase": "Running", "state": {"running": {"startedAt": CREATED}}}
    gone = [pod(of, number, **running) for number in (0, 1)]
    gone[0]["metadata"]["deletionTimestamp"] = LATER
    assert quiet(of, *gone) is None, "one of them still works"
    gone[1]["metadata"]["deletionTimestamp"] = "2026-01-01T00:06:00Z"
    found = quiet(of, *gone)
    assert found.ask_from == WENT + NO_END
    assert f"kubectl delete pod --force --selector batch.kubernetes.io/job-name={of['metadata']['name']}" in found.words
    told = seen(of, *gone, told=found.words)
    assert (told.state, told.waiting_since) == (JobState.PENDING, WENT)
    assert told.blocked == found.words
    assert seen(of, *gone).state is JobState.RUNNING, "they have some time to end"


def test_the_latest_event_speaks():
    events = [
        {"reason": "FailedMount", "message": "old", "lastTimestamp": "2026-01-01T00:00:01Z"},
        {"reason": "FailedAttachVolume", "message": "new", "eventTime": "2026-01-01T00:00:02.5Z"},
    ]
    of = job(active=1)
    assert quiet(of, pod(of, phase="Pending", state=CREATING)).told(events) == "FailedAttachVolume: new"
    assert quiet(job()).told(events) == "no pod can be made: new"
    assert quiet(job()).told([]) is None


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("Unschedulable: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", "once others have ended or nodes are added"),
        ("FailedAttachVolume: Multi-Attach error for volume pvc-1: Volume is already used", "ReadWriteMany"),
        ("Unschedulable: 0/2 nodes are available: 1 node(s) had volume node affinity conflict.", "ReadWriteMany"),
        ('Unschedulable: persistentvolumeclaim "runs" not found', "create the claim"),
        ('ImagePullBackOff: Back-off pulling image "sampler:2"', "correct spec.worker.image"),
        ('CreateContainerConfigError: secret "hf-token" not found', "create it"),
        ("CreateContainerConfigError: couldn't find key HF_TOKEN in Secret team/hf-token", "the key that is missing"),
        ("no pod can be made: pods is forbidden: exceeded quota: gpus", "raise the quota"),
        ("Unschedulable: 0/2 nodes are available: 2 node(s) had untolerated taint(s).", "tolerations"),
    ],
)
def test_an_obstacle_that_is_known_comes_with_the_way_out(words, advice):
    said = with_way_out(words)
    assert said.startswith(f"{words} (")
    assert advice in said


def test_an_obstacle_that_is_not_known_stays_in_the_clusters_words():
    assert with_way_out("a word nobody knows") == "a word nobody knows"
