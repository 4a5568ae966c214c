"""Runs from beginning to end on a real control plane."""


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
