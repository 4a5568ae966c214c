"""A real process that is killed for good, in the midst of whatever it does: the next one ends the run as it would have ended."""

import pytest

from tests.cluster.conftest import condition, essence, until
from tests.cluster.kubelet import DONE, index, label

MOMENTS = {
    "prepare": "when its Job has just been made",
    "sample": "when one of two shards has ended",
    "prune": "when the summary has just been handed in",
    "train": "when both nodes run",
    "finalize": "when its Job has just been made",
}


@pytest.mark.parametrize("rounds", [1])
def test_an_operator_killed_five_times_in_a_run_loses_nothing_and_makes_nothing_twice(cluster, processes, calm, rounds):
    killed = []

    def kill(step):
        if step not in killed:
            processes.running[-1].kill()
            processes.running[-1].wait()
            killed.append(step)

    def script(pod, before):
        step = label(pod, "step")
        if step in MOMENTS and (step != "train" or index(pod) == 1) and (step != "sample" or index(pod) == 0):
            kill(step)
        return DONE

    processes.start()
    kubelet = cluster.kubelet(script)
    cluster.create(maxRounds=rounds, sampling={"shards": 2}, training={"nodes": 2})
    for _ in MOMENTS:
        until(lambda: processes.running[-1].poll() is not None)
        processes.start()
    until(lambda: condition(cluster.run(), "Complete").get("status") == "True")
    assert killed == list(MOMENTS)
    assert essence(cluster.run()) == calm
    assert len(kubelet.ended) == len(set(kubelet.ended)), "a step ran twice"
    jobs = [(label(job, "step"), label(job, "round")) for job in cluster.jobs()]
    assert len(jobs) == len(set(jobs)), "a Job has a twin"
