"""The rows of the design's failure table, one by one, on a real control plane: how pods end is written, the rest happens."""

import json

import pytest

from tests.cluster.conftest import condition, record, until
from tests.cluster.kube import JOBS
from tests.cluster.kubelet import DONE, Outcome, at, label, summary

EVICTED = Outcome(exit_code=137, disrupted=True)
CRASHED = Outcome(exit_code=1, message='{"error": "the GPU fell over", "exitCode": 1}')


@pytest.mark.parametrize(("name", "shard"), [("prune", 0), ("sample", 1)], ids=["the only pod of a step", "one of two shards"])
def test_a_pod_that_is_evicted_is_replaced_within_the_attempt_and_costs_nothing(cluster, name, shard):
    cluster.operator()
    kubelet = cluster.kubelet(at(name, EVICTED, shard=shard))
    cluster.create(maxRounds=1, sampling={"shards": 2}, failurePolicy={"maxAttempts": 1})
    run = cluster.wait_for("Complete", seconds=90)
    assert kubelet.ended.count(f"{name}-r1-{shard}") == 2
    done = record(run, 1, name)
    assert (done["attempts"], done.get("failures", 0), done.get("disruptions", 0)) == (1, 0, 0)


def test_one_evicted_node_of_two_ends_the_attempt_and_the_next_one_is_free(cluster):
    cluster.operator()
    cluster.kubelet(at("train", EVICTED, shard=1))
    cluster.create(maxRounds=1, training={"nodes": 2})
    done = record(cluster.wait_for("Complete"), 1, "train")
    assert (done["attempts"], done["failures"], done["disruptions"]) == (2, 0, 1)


def test_a_configuration_error_fails_the_run_at_once_with_the_steps_own_words(cluster):
    cluster.operator()
    words = "spec.model.uri: there is no model at models/base"
    kubelet = cluster.kubelet(at("prepare", Outcome(64, message=f'{{"error": "{words}", "exitCode": 64}}')))
    cluster.create()
    failed = condition(cluster.wait_for("Failed"), "Failed")
    assert failed["reason"] == "ConfigurationError"
    assert words in failed["message"]
    assert kubelet.ended == ["prepare-r0-0"]


def test_a_gated_model_fails_at_once_with_its_licence_page_its_secret_and_the_key(cluster):
    cluster.operator()
    page = "https://huggingface.co/google/gemma-2-2b-it"
    words = f"spec.model.uri: gated; accept its licence at {page}, and see the token in Secret 'hf-token', key HF_TOKEN"
    kubelet = cluster.kubelet(at("prepare", Outcome(64, message=json.dumps({"error": words, "exitCode": 64}))))
    cluster.create(model={"uri": "hf://google/gemma-2-2b-it", "secretRef": {"name": "hf-token"}})
    failed = condition(cluster.wait_for("Failed"), "Failed")
    assert failed["reason"] == "ConfigurationError"
    assert words in failed["message"]
    assert kubelet.ended == ["prepare-r0-0"]


def prunes(number, outcome, correct, kept):
    """Return a script in which the prune step of round `number` keeps too little to train on."""

    def script(pod, before):
        if (label(pod, "step"), label(pod, "round")) != ("prune", str(number)):
            return DONE
        little = {"outcome": outcome, "samples": {"total": 40, "correct": correct}, "examples": kept}
        return Outcome(message=json.dumps(json.loads(summary(pod)) | little))

    return script


TOO_LITTLE = [("NoCorrectSamples", 0, 0, "none of 40 samples"), ("TooFewExamples", 9, 7, "7 examples were kept of 40 samples")]


@pytest.mark.parametrize(("reason", "correct", "kept", "words"), TOO_LITTLE)
def test_too_little_to_train_on_in_the_first_round_fails_the_run(cluster, reason, correct, kept, words):
    cluster.operator()
    kubelet = cluster.kubelet(prunes(1, reason, correct, kept))
    cluster.create(maxRounds=2)
    failed = condition(cluster.wait_for("Failed"), "Failed")
    assert failed["reason"] == reason
    assert f"round 1: {words}" in failed["message"]
    assert kubelet.ended[-1] == "prune-r1-0"


@pytest.mark.parametrize(("reason", "correct", "kept", "words"), TOO_LITTLE)
def test_too_little_to_train_on_later_completes_the_run_with_the_best_round_so_far(cluster, reason, correct, kept, words):
    cluster.operator()
    kubelet = cluster.kubelet(prunes(2, reason, correct, kept))
    cluster.create(maxRounds=3)
    run = cluster.wait_for("Complete")
    complete = condition(run, "Complete")
    assert (complete["reason"], run["status"]["bestRound"]) == (reason, 1)
    assert f"round 2: {words}" in complete["message"]
    assert [name for name in kubelet.ended if name.startswith("train")] == ["train-r1-0"]
    assert kubelet.ended[-1].startswith("finalize")


def test_a_crash_is_tried_again_up_to_max_attempts_then_the_run_fails_with_the_last_words(cluster):
    cluster.operator()
    cluster.kubelet(at("train", CRASHED))
    cluster.create(maxRounds=1, failurePolicy={"maxAttempts": 1})
    failed = condition(cluster.wait_for("Failed"), "Failed")
    assert failed["reason"] == "AttemptsExhausted"
    assert "the GPU fell over" in failed["message"]


def test_a_shard_that_crashes_once_is_tried_again_within_the_attempt(cluster):
    cluster.operator()
    kubelet = cluster.kubelet(at("sample", CRASHED))
    cluster.create(maxRounds=1, failurePolicy={"maxAttempts": 1})
    cluster.wait_for("Complete", seconds=90)
    assert kubelet.ended.count("sample-r1-0") == 2


def test_out_of_memory_is_said_in_words_and_a_failed_run_goes_on_once_there_is_more(cluster):
    cluster.operator()
    kubelet = cluster.kubelet(at("train", Outcome(137, message="", reason="OOMKilled")))
    cluster.create(maxRounds=1, failurePolicy={"maxAttempts": 1})
    failed = condition(cluster.wait_for("Failed"), "Failed")
    assert "out of memory (OOMKilled)" in failed["message"]
    cluster.change(training={"worker": {"resources": {"limits": {"memory": "8Gi"}}}})
    cluster.wait_for("Complete")
    assert kubelet.ended.count("sample-r1-0") == 1
    (job,) = [job for job in cluster.jobs() if label(job, "step") == "train" and label(job, "attempt") == "2"]
    assert job["spec"]["template"]["spec"]["containers"][0]["resources"] == {"limits": {"memory": "8Gi"}}


def test_a_step_without_a_summary_is_run_once_more_and_then_the_run_fails(cluster):
    cluster.operator()
    nothing = Outcome(0, message="")
    kubelet = cluster.kubelet(at("prepare", nothing, nothing))
    cluster.create()
    assert condition(cluster.wait_for("Failed"), "Failed")["reason"] == "SummaryUnavailable"
    assert kubelet.ended == ["prepare-r0-0", "prepare-r0-0"]


def test_a_job_deleted_by_hand_is_started_again_as_a_new_attempt(cluster):
    cluster.operator()
    cluster.kubelet(at("prepare", None))
    cluster.create(maxRounds=1)
    cluster.wait_for("Running")
    (job,) = cluster.jobs()
    cluster.kube.delete(f"{JOBS.format(cluster.namespace)}/{job['metadata']['name']}", propagationPolicy="Foreground")
    run = cluster.wait_for("Complete")
    assert record(run, 0, "prepare")["attempts"] == 2


def test_a_job_that_vanished_while_the_watch_was_broken_is_noticed_by_the_next_list(cluster, monkeypatch):
    monkeypatch.setattr("tpt_operator.controller.Controller.gone", lambda *_: None)
    cluster.operator(resync_seconds=1.0)
    kubelet = cluster.kubelet(at("prepare", None))
    cluster.create(maxRounds=1)
    cluster.wait_for("Running")
    (job,) = cluster.jobs()
    cluster.kube.delete(f"{JOBS.format(cluster.namespace)}/{job['metadata']['name']}", propagationPolicy="Background")
    cluster.wait_for("Complete")
    assert kubelet.ended.count("prepare-r0-0") == 1


def test_suspending_deletes_the_live_job_and_resuming_goes_on_in_the_same_step(cluster):
    cluster.operator()
    kubelet = cluster.kubelet(at("sample", None))
    cluster.create(maxRounds=1)
    cluster.wait(lambda run: run.get("status", {}).get("step") == "sample" and condition(run, "Running")["status"] == "True")
    cluster.change(suspend=True)
    run = cluster.wait_for("Suspended")
    assert run["status"]["phase"] == "Suspended"
    until(lambda: not [job for job in cluster.jobs() if label(job, "step") == "sample"])
    assert condition(cluster.run(), "Running")["reason"] == "SuspendRequested"

    cluster.change(suspend=False)
    run = cluster.wait_for("Complete")
    assert condition(run, "Suspended")["status"] == "False"
    assert kubelet.ended.count("prepare-r0-0") == 1
    said = cluster.said()
    assert "the run is suspended" in said
    assert "the run is no longer suspended" in said


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"worker": {"tolerations": [{"operator": "Sometimes"}]}}, "tolerations[0].operator"),
        ({"training": {"worker": {"affinity": {"nodeAffinity": 5}}}}, "spec.training.worker"),
        ({"worker": {"volumes": [{"name": "a", "emptydir": {}}]}}, 'unknown field "spec.template.spec.volumes'),
        (
            {"sampling": {"worker": {"resources": {"limits": {"nvidia.com/gpu": 2}}}}},
            "spec.sampling.tensorParallelSize (1), found 2",
        ),
    ],
    ids=["an unknown operator", "a number for an affinity", "a misspelled field", "GPUs nobody uses"],
)
def test_a_worker_that_cannot_be_is_refused_before_any_job_and_going_on_is_a_change_away(cluster, spec, words):
    cluster.operator()
    cluster.create(**spec)
    failed = condition(cluster.wait_for("Failed"), "Failed")
    assert failed["reason"] == "InvalidSpec"
    assert words in failed["message"]
    assert cluster.jobs() == []
    ((section, _),) = spec.items()
    cluster.change(**{section: None} if section == "worker" else {section: {"worker": None}})
    cluster.wait_for_job("prepare")


def test_raising_max_rounds_after_completion_goes_on(cluster):
    cluster.operator()
    kubelet = cluster.kubelet()
    cluster.create(maxRounds=1)
    cluster.wait_for("Complete")
    cluster.change(maxRounds=2)
    cluster.wait(lambda run: run["status"]["round"] == "2/2" and condition(run, "Complete")["status"] == "True")
    assert kubelet.ended.count("train-r1-0") == 1
    assert kubelet.ended.count("train-r2-0") == 1
