"""Reading a resource: every problem at once, each with path, value, what is allowed and a hint; and nothing coerced."""

import copy
import json
import math
from datetime import UTC, datetime
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.corpus import BASE, changed, corpus, patched, place
from tpt_runtime.core.choices import PromptMode
from tpt_runtime.core.errors import ConfigurationError, InvalidResource
from tpt_runtime.core.resource import parse_run

REQUIRED = ["spec.model", "spec.model.uri", "spec.dataset", "spec.dataset.train", "spec.dataset.train.uri", "spec.storage"]
REQUIRED += ["spec.storage.persistentVolumeClaim.claimName", "metadata", "metadata.name", "apiVersion", "kind"]


def problems_of(resource):
    with pytest.raises(InvalidResource) as caught:
        parse_run(resource, "run.yaml")
    return caught.value.problems


def read_or_problems(resource):
    try:
        return parse_run(resource, "run.yaml"), ()
    except InvalidResource as error:
        return None, error.problems


def spec(**sections):
    return {**BASE, "spec": {**BASE["spec"], **sections}}


def value_at(resource, path):
    for name in path.split("."):
        resource = resource[name]
    return resource


@pytest.mark.parametrize("entry", corpus("bad"))
def test_a_bad_resource_is_refused_with_one_problem_at_its_place(entry):
    (problem,) = problems_of(changed(entry))
    assert problem.path == place(entry)
    assert entry["says"] in str(problem)


@pytest.mark.parametrize("entry", corpus("good"))
def test_a_good_resource_is_read(entry):
    run = parse_run(changed(entry), "run.yaml")
    if "reads" in entry:
        found = value_at(run.full_wire(), place(entry))
        assert found == entry["reads"]
        assert type(found) is type(entry["reads"]) or isinstance(found, float)


def test_the_corpus_is_large():
    assert len(corpus("bad")) >= 150


def test_every_problem_of_a_file_is_reported_at_once():
    resource = spec(
        model={"uri": "gs://bucket/x"},
        sampling={"samplesPerPrompts": 4, "temperature": "0.8"},
        evaluation={"k": [1, 100]},
        training={"batchSize": 8, "microBatchSize": 3, "method": "full"},
        storage={"uri": "s3://bucket", "persistentVolumeClaim": {"claimName": "runs"}},
    )
    paths = [problem.path for problem in problems_of({**resource, "metadata": {"name": "A"}})]
    assert sorted(paths) == [
        "metadata.name",
        "spec.evaluation.k",
        "spec.model.uri",
        "spec.sampling.samplesPerPrompts",
        "spec.sampling.temperature",
        "spec.storage",
        "spec.training.batchSize",
        "spec.training.method",
    ]


def test_the_error_names_the_file_and_counts_the_problems():
    with pytest.raises(InvalidResource) as caught:
        parse_run(spec(maxRounds=0, suspend="yes"), "runs/first.yaml")
    lines = str(caught.value).splitlines()
    assert lines[0] == "runs/first.yaml: 2 problems"
    assert lines[1] == '  spec.suspend: must be true or false, found "yes" (write true without quotes)'
    assert lines[2] == "  spec.maxRounds: must be a whole number from 1 to 64, found 0"
    assert isinstance(caught.value, ConfigurationError)
    assert caught.value.exit_code == 64


def test_a_rule_is_not_reported_while_a_field_that_it_reads_is_mistyped():
    resource = spec(sampling={"temperature": 0, "samplesPerPrompt": "1"})
    assert [problem.path for problem in problems_of(resource)] == ["spec.sampling.samplesPerPrompt"]


def test_a_rule_is_not_reported_while_a_field_that_it_reads_is_misspelt():
    resource = spec(sampling={"temperature": 0, "samples_per_prompt": 1})
    assert [problem.path for problem in problems_of(resource)] == ["spec.sampling.samples_per_prompt"]


def test_a_rule_is_not_reported_while_an_item_of_a_list_that_it_reads_is_mistyped():
    resource = spec(evaluation={"k": [100, "1"]}, objective={"metric": "pass@3"})
    assert [problem.path for problem in problems_of(resource)] == ["spec.evaluation.k[1]"]


def test_a_rule_is_not_reported_while_a_section_that_it_reads_is_no_mapping():
    resource = spec(evaluation="often", objective={"metric": "pass@3"})
    assert [problem.path for problem in problems_of(resource)] == ["spec.evaluation"]


@pytest.mark.parametrize("path", REQUIRED)
def test_rules_elsewhere_are_checked_although_a_required_field_is_missing(path):
    resource = patched(BASE, {"spec": {"training": {"microBatchSize": 3}}})
    sections = path.split(".")
    del value_at({"": resource}, ".".join(["", *sections[:-1]]))[sections[-1]]
    assert [problem.path for problem in problems_of(resource)] == [path, "spec.training.batchSize"]


def test_rules_elsewhere_are_checked_although_several_sections_are_at_fault():
    resource = patched(BASE, {"spec": {"model": {"uri": None, "secretRef": {}}, "dataset": None, "storage": {"uri": 5}}})
    resource["spec"]["training"] = {"microBatchSize": 3, "lora": {"rank": "8"}}
    assert {problem.path for problem in problems_of(resource)} == {
        "spec.model.uri",
        "spec.model.secretRef.name",
        "spec.dataset",
        "spec.storage.uri",
        "spec.training.lora.rank",
        "spec.training.batchSize",
    }


def test_a_long_value_is_shown_shortened():
    (problem,) = problems_of(spec(model={"uri": "x" * 2000}))
    assert "(2000 characters)" in problem.message
    assert len(problem.message) < 200


def test_another_kind_of_resource_is_one_problem_not_fifty():
    (problem,) = problems_of({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 1}, "data": {}})
    assert 'found "apps/v1" and "Deployment"' in problem.message


def test_null_means_left_out_as_it_does_to_the_api_server():
    run = parse_run(spec(sampling={"seed": 3}, training={}) | {"status": None}, "run.yaml")
    resource = copy.deepcopy(dict(BASE))
    resource["spec"] |= {"sampling": {"seed": 3, "topK": None, "shards": None}, "training": None, "suspend": None}
    assert parse_run(resource, "run.yaml").spec == run.spec


def test_what_the_api_server_adds_is_read_or_passed_over():
    metadata = {
        "name": "example",
        "namespace": "team",
        "uid": "0b6f",
        "generation": 3,
        "resourceVersion": "17",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "deletionTimestamp": None,
        "labels": {"a": "b"},
        "annotations": {"c": "d"},
        "ownerReferences": [{"kind": "X"}],
        "finalizers": ["x/y"],
        "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
    }
    run = parse_run({**BASE, "metadata": metadata, "status": {"phase": "Running"}}, "team/example")
    assert (run.metadata.namespace, run.metadata.uid, run.metadata.generation) == ("team", "0b6f", 3)
    assert run.status == {"phase": "Running"}


@pytest.mark.parametrize("name", ["samples_per_prompt", "max_tokens", "top_p"])
def test_python_names_are_no_names_of_fields(name):
    (problem,) = problems_of(spec(sampling={name: 1}))
    assert problem.path == f"spec.sampling.{name}"
    assert problem.hint is not None
    assert problem.hint.startswith("did you mean")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.nan, "found nan"),
        (math.inf, "found inf"),
        (datetime(2026, 1, 1, tzinfo=UTC), "found datetime"),
        (b"bytes", "found b'bytes'"),
        ({1, 2}, "found {1, 2}"),
        ("\ud800", "found '\\ud800'"),
    ],
)
def test_what_is_not_json_is_a_problem_and_never_a_traceback(value, words):
    (problem,) = problems_of(spec(dataset={"train": {"uri": "a"}, "prompt": {"template": value}}))
    assert problem.path == "spec.dataset.prompt.template"
    assert words in problem.message


def test_a_key_that_is_not_text_is_a_problem():
    (problem,) = problems_of({**BASE, "spec": {**BASE["spec"], 5: "x"}})
    assert problem.path == "spec.5"
    assert 'write "5"' in str(problem)


def test_endless_nesting_is_a_problem_and_never_a_traceback():
    endless: list[object] = []
    endless.append(endless)
    (problem,) = problems_of(spec(sampling=endless))
    assert problem.path.startswith("spec.sampling[0][0]")
    assert "deep" in problem.message


def test_the_data_given_is_not_changed():
    resource = spec(sampling={"seed": 1.0, "topK": None}, model={"nme": 1})
    before = copy.deepcopy(resource)
    problems_of(resource)
    assert resource == before


def test_any_mapping_is_read():
    run = parse_run(MappingProxyType({**BASE, "spec": MappingProxyType(BASE["spec"])}), "run.yaml")
    assert run.spec.dataset.prompt.mode is PromptMode.CHAT


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda below: st.lists(below, max_size=2) | st.dictionaries(st.sampled_from(["uri", "name", "k", "x"]), below, max_size=2),
    max_leaves=4,
)
PLACES = [*REQUIRED, "spec", "spec.evaluation.k", "spec.dataset.validation", "spec.training.lora", "spec.objective.metric"]
PLACES += ["spec.sampling.temperature", "spec.dataset.prompt", "spec.x", "spec.storage.persistentVolumeClaim", "status"]


@settings(max_examples=400, derandomize=True, deadline=None)
@given(st.dictionaries(st.sampled_from(PLACES), JSON, max_size=4))
def test_whatever_stands_in_a_file_it_is_read_or_refused_with_problems(changes):
    resource = json.loads(json.dumps(BASE))
    for path, value in changes.items():
        *sections, last = path.split(".")
        section = resource
        for name in sections:
            section = section.setdefault(name, {}) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section[last] = value
    run, problems = read_or_problems(resource)
    assert all(problem.path and problem.message for problem in problems)
    if run is None:
        assert problems
    else:
        assert parse_run(run.full_wire(), "again").spec == run.spec
