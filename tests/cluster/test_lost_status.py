"""A status that is lost in mid-run: the run goes back to its first step, finds everything, and makes nothing twice."""

import pytest

from tests.cluster.conftest import condition, until
from tests.cluster.kube import RUNS
from tests.cluster.kubelet import DONE, label

STEPS = ["prepare-r0-0", "sample-r1-0", "sample-r1-1", "prune-r1-0", "train-r1-0", "sample-r2-0", "sample-r2-1", "prune-r2-0"]
STEPS += ["train-r2-0", "evaluate-r2-0", "evaluate-r2-1", "grade-r2-0", "finalize-r2-0"]


def held_at(step, number):
    """Return a script in which a step of one round does not end by itself."""
    return lambda pod, before: None if (label(pod, "step"), label(pod, "round")) == (step, str(number)) else DONE


@pytest.mark.parametrize(("step", "number"), [("train", 1), ("prune", 2), ("grade", 2)])
def test_when_all_finished_jobs_are_gone_too_nothing_is_generated_again(cluster, step, number):
    cluster.operator()
    kubelet = cluster.kubelet(held_at(step, number))
    cluster.create(maxRounds=2, sampling={"shards": 2}, retention={"jobTTLSecondsAfterFinished": 0})
    held = cluster.wait(lambda run: runs(run, step, number))
    done = list(kubelet.ended)
    assert sorted(done) == sorted(STEPS[: STEPS.index(f"{step}-r{number}-0")])
    until(lambda: len(cluster.jobs()) == 1)

    wipe(cluster)
    again = cluster.wait(lambda run: runs(run, step, number))
    assert sorted(kubelet.ended) == sorted(2 * done), "each step before is looked at once more, and no other"
    assert sorted(kubelet.worked) == sorted(done), "but it has found what it made"
    assert figures(again) == figures(held)
    assert again["status"]["resolved"] == held["status"]["resolved"]

    kubelet.end(cluster.pod_of(step, number=number))
    run = cluster.wait_for("Complete")
    assert run["status"]["round"] == "2/2"
    assert sorted(kubelet.worked) == sorted(STEPS)


def test_a_step_that_still_has_its_job_is_not_even_started_again(cluster):
    cluster.operator()
    kubelet = cluster.kubelet(held_at("prune", 1))
    cluster.create(maxRounds=1)
    cluster.wait(lambda run: runs(run, "prune", 1))
    wipe(cluster)
    cluster.wait(lambda run: runs(run, "prune", 1))
    kubelet.end(cluster.pod_of("prune"))
    cluster.wait_for("Complete")
    assert len(kubelet.ended) == len(set(kubelet.ended))


def test_a_status_that_is_lost_after_the_end_comes_back_the_same(cluster):
    cluster.operator()
    kubelet = cluster.kubelet()
    cluster.create(maxRounds=1, retention={"jobTTLSecondsAfterFinished": 0})
    before = cluster.wait_for("Complete")
    done = list(kubelet.worked)
    until(lambda: not cluster.jobs())
    wipe(cluster)
    after = cluster.wait_for("Complete")
    assert figures(after) == figures(before)
    assert [after["status"][name] for name in ("bestRound", "round", "phase")] == [1, "1/1", "Complete"]
    assert kubelet.worked == done


def runs(run, step, number):
    status = run.get("status", {})
    there = (status.get("step"), status.get("currentRound")) == (step, number)
    return there and condition(run, "Running")["status"] == "True"


def figures(run):
    kept = ("round", "metrics", "samples", "examples", "model")
    return [{name: entry.get(name) for name in kept} for entry in run["status"]["rounds"]]


def wipe(cluster):
    """Remove the status, as a restored backup would."""
    found = cluster.kube.patch(f"{RUNS.format(cluster.namespace)}/example/status", {"status": None})
    assert "rounds" not in found.get("status", {})
