"""What is told of a run before it is there."""

import json
from pathlib import Path

import pytest

from tests.tpt_operator.runs import IMAGES, run
from tpt_operator import manifests, preview
from tpt_operator.settings import ROLES
from tpt_runtime.artifacts.yaml import read_resources
from tpt_runtime.core.errors import InvalidResource
from tpt_runtime.core.resource import parse_run

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = [*sorted(FOLDER.glob("*.yaml")), *sorted((FOLDER / "methods").glob("*.yaml"))]
SEQUENCE = [
    *(("prepare", 0), ("sample", 1), ("prune", 1), ("train", 1), ("sample", 2), ("prune", 2), ("train", 2)),
    *(("evaluate", 2), ("grade", 2), ("finalize", 2)),
]


def steps(given):
    return [(start.step.value, start.round) for start in preview.starts(given)]


def configs(found):
    jobs = [item for item in found if item["kind"] == "Job"]
    read = [json.loads(job["spec"]["template"]["spec"]["containers"][0]["args"][0]) for job in jobs]
    return {(config["step"], config["round"]): config for config in read}


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"suspend": True},
        {"objective": {"goal": 0.000001, "earlyStopping": {"patienceRounds": 1, "minDelta": 0.5}}},
        {"failurePolicy": {"runDeadlineSeconds": 60}},
        {"objective": {"metric": "pass@4"}, "evaluation": {"k": [1, 4], "samplesPerPrompt": 4}},
    ],
)
def test_the_run_is_followed_to_its_last_round_whatever_could_end_or_stop_it(spec):
    assert steps(run(maxRounds=2, **spec)) == SEQUENCE


def test_the_longest_run_is_followed():
    assert len(steps(run(maxRounds=64))) == 1 + 64 * 3 + 3


def test_a_run_that_has_begun_is_told_of_from_its_beginning():
    begun = run(maxRounds=2).model_copy(update={"status": {"phase": "Complete", "currentRound": 2}})
    assert steps(begun) == SEQUENCE


def test_jobs_are_those_that_the_operator_makes():
    given = run(maxRounds=1, sampling={"shards": 3})
    found = preview.objects(given, IMAGES.by_role)
    assert found == [
        *manifests.network_policies(given),
        *(manifests.job(given, start, IMAGES) for start in preview.starts(given)),
    ]
    assert {job["spec"]["completions"] for job in found if job["kind"] == "Job"} == {1, 3}


def test_models_are_compared_with_the_best_before_and_the_last_is_reported_as_the_best():
    told = configs(preview.objects(run(maxRounds=3), {}))
    assert (told["prune", 3]["grade"]["compareRound"], told["grade", 3]["grade"]["compareRound"]) == (1, 2)
    assert told["finalize", 3]["bestRound"] == 3
    assert told["finalize", 3]["seconds"] == {}


def test_the_service_is_there_before_the_first_training_of_several_nodes_and_only_then():
    found = [item["kind"] for item in preview.objects(run(maxRounds=2, training={"nodes": 2}), {})]
    assert found.count("Service") == 1
    assert found[found.index("Service") + 1 :] == ["Job"] * 7
    assert "Service" not in [item["kind"] for item in preview.objects(run(), {})]


def test_placeholders_stand_for_what_is_not_known():
    given = run(maxRounds=1)
    unborn = given.model_copy(update={"metadata": given.metadata.model_copy(update={"uid": ""})})
    found = preview.objects(unborn, {"pruner": "pruner:1"})
    assert {item["metadata"]["ownerReferences"][0]["uid"] for item in found} == {preview.UID}
    jobs = [item for item in found if item["kind"] == "Job"]
    images = {job["spec"]["template"]["spec"]["containers"][0]["image"] for job in jobs}
    assert images == {"pruner:1", "SAMPLER-IMAGE", "TRAINER-IMAGE"}
    assert set(ROLES) == {"sampler", "pruner", "trainer"}


def test_what_the_operator_would_refuse_is_refused_all_at_once():
    limits = {"resources": {"limits": {"nvidia.com/gpu": "2"}}}
    with pytest.raises(InvalidResource) as refused:
        preview.objects(run(managedBy="else.where/x", training={"worker": limits}), {})
    assert [problem.path for problem in refused.value.problems] == [
        "spec.training.worker.resources.limits[nvidia.com/gpu]",
        "spec.managedBy",
    ]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_of_every_full_size_example_all_rounds_are_told(path):
    (document,) = read_resources(path)
    given = parse_run(document, path.name)
    assert len(EXAMPLES) > 5
    rounds = {start.round for start in preview.starts(given)}
    assert rounds == set(range(given.spec.max_rounds + 1))
    kinds = {item["kind"] for item in preview.objects(given, {})}
    assert kinds >= {"Job", "NetworkPolicy"}
    assert ("Service" in kinds) == (given.spec.training.nodes > 1)
