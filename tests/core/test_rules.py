"""Rules over several fields: each holds for its accepting example, and its rejecting one breaks it alone."""

import pytest

from tests.core.corpus import BASE, patched
from tpt_runtime.core.crd import resource_schema, schema_at
from tpt_runtime.core.errors import InvalidResource
from tpt_runtime.core.resource import parse_run
from tpt_runtime.core.rules import RULES

SCHEMA = resource_schema()
EVERY_RULE = [pytest.param(rule, id=f"{rule.where or rule.path}: {rule.message[:40]}") for rule in RULES]


def problems_of(patch):
    with pytest.raises(InvalidResource) as caught:
        parse_run(patched(BASE, patch), "run.yaml")
    return caught.value.problems


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_the_accepting_example_is_accepted(rule):
    parse_run(patched(BASE, rule.accepts), "run.yaml")


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_the_rejecting_example_breaks_this_rule_and_no_other(rule):
    (problem,) = problems_of(rule.rejects)
    assert problem.path == rule.where
    assert rule.message in problem.message


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_the_accepting_example_gives_what_the_rule_is_about(rule):
    given = patched(BASE, rule.accepts)
    for name in filter(None, rule.path.split(".")):
        given = given[name]
    names = [path.split(".")[0] for path in rule.reads]
    assert any(name in given for name in names), "with none of its fields given, a rule would hold by default"


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_cel_reads_only_fields_that_exist_and_asks_before_it_reads_an_optional_one(rule):
    node = schema_at(SCHEMA, rule.path)
    assert rule.reads
    for path in rule.reads:
        *sections, name = path.split(".")
        section = schema_at(node, ".".join(sections))
        field = section["properties"][name]
        always_there = name in section.get("required", ()) or "default" in field or path == "metadata.name"
        assert always_there or f"has(self.{path})" in rule.cel


def test_no_two_rules_say_the_same():
    assert len({(rule.path, rule.cel) for rule in RULES}) == len(RULES)


def test_what_a_rule_reads_is_seen_from_its_cel():
    reads = {rule.where: rule.reads for rule in RULES}
    assert reads["spec.training.batchSize"] == ("batchSize", "microBatchSize", "nodes", "processesPerNode")
    assert reads["spec.objective.metric"] == ("objective.metric", "evaluation.k")
    assert reads["spec.dataset.train.split"] == ("split", "uri")


@pytest.mark.parametrize(
    ("uri", "accepted"),
    [
        ("models/base", True),
        ("./models/base", True),
        ("a..b/c", True),
        ("hf://org/name-1.0_x", True),
        ("hf://gpt2", True),
        ("s3://bucket/a/b", True),
        ("file:///a/../b", True),
        ("models/a:b", True),
        ("a/..\n", True),  # a name of three characters, not a way up
        ("a/../b", False),
        ("../b", False),
        ("/b", False),
        ("hf://org/name\n", False),
        ("hf://org/name/file", False),
        ("hf://", False),
        ("s3://Bucket/a", False),
        ("s3://bucket/", False),
        ("file://host/a", False),
        ("https://x/y", False),
        ("c:/models", False),
        ("gs://a/b", False),
    ],
)
def test_a_uri_is_a_hub_name_a_key_a_file_or_a_path_inside_the_storage(uri, accepted):
    patch = {"spec": {"model": {"uri": uri}}}
    if accepted:
        assert parse_run(patched(BASE, patch), "run.yaml").spec.model.uri == uri
    else:
        (problem,) = problems_of(patch)
        assert problem.path == "spec.model.uri"


@pytest.mark.parametrize(
    ("settings", "accepted"),
    [
        ({"batchSize": 24, "microBatchSize": 1, "nodes": 3, "processesPerNode": 8}, True),
        ({"batchSize": 24, "microBatchSize": 2, "nodes": 3, "processesPerNode": 8}, False),
        ({"batchSize": 8, "microBatchSize": 16}, False),
        ({"nodes": 2, "engine": "Torch"}, False),
        ({"processesPerNode": 2, "engine": "Torch"}, False),
        ({"deepspeed": {"zeroStage": 3}, "engine": "Torch"}, True),
    ],
)
def test_the_batch_is_shared_out_evenly_over_the_processes(settings, accepted):
    patch = {"spec": {"training": settings}}
    if accepted:
        parse_run(patched(BASE, patch), "run.yaml")
    else:
        assert len(problems_of(patch)) == 1
