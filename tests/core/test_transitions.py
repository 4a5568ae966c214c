"""What may change during a run, said twice: in Python for the local runner, in CEL for the API server."""

import pytest

from tests.core.corpus import BASE, before_and_after, corpus
from tpt_runtime.core.crd import resource_schema, schema_at
from tpt_runtime.core.resource import parse_run
from tpt_runtime.core.transitions import MAX_ROUNDS, changed_fixed_fields, max_rounds_too_low, transitions

CHANGES = corpus("changes")

MAY_CHANGE = {
    "spec.suspend",
    "spec.maxRounds",
    "spec.objective",
    "spec.model.secretRef",
    "spec.dataset.train.secretRef",
    "spec.dataset.validation.secretRef",
    "spec.dataset.eval.secretRef",
    "spec.sampling.shards",
    "spec.sampling.tensorParallelSize",
    "spec.training.microBatchSize",
    "spec.training.checkpointEverySeconds",
    "spec.training.deepspeed",
    "spec.training.nodes",
    "spec.training.processesPerNode",
    "spec.training.reportTo",
    "spec.pruning.verifier.sandbox",
    "spec.storage.secretRef",
    "spec.failurePolicy",
    "spec.retention",
    "spec.worker",
    "spec.sampling.worker",
    "spec.pruning.worker",
    "spec.training.worker",
    "spec.queue",
    "spec.publish",
}
"""Everything that may change; a field that is added must be sorted here or in changes.yaml on purpose."""


def fields(schema, path):
    for name, field in schema.get("properties", {}).items():
        below = f"{path}.{name}"
        if "properties" in field:
            yield from fields(field, below)
        else:
            yield below


def may_change(path):
    return any(path == mutable or path.startswith(f"{mutable}.") for mutable in MAY_CHANGE)


EVERY_FIELD = list(fields(schema_at(resource_schema(), "spec"), "spec"))


@pytest.mark.parametrize("entry", CHANGES)
def test_a_change_is_refused_for_exactly_its_fixed_fields(entry):
    before, after = (parse_run(version, "run.yaml").spec for version in before_and_after(entry))
    assert changed_fixed_fields(before, after) == entry["refused"]


@pytest.mark.parametrize("path", EVERY_FIELD)
def test_every_field_is_changed_in_the_corpus_and_refused_or_not_as_the_design_says(path):
    refused = {name for entry in CHANGES for name in entry.values[0]["refused"]}
    allowed = {name for entry in CHANGES if not entry.values[0]["refused"] for name in touched(entry.values[0])}
    if may_change(path):
        assert path not in refused
        assert any(path == name or path.startswith(f"{name}.") for name in allowed)
    else:
        assert path in refused or path == "spec.storage.persistentVolumeClaim.claimName"


def touched(entry):
    for name, value in entry.get("after", {}).items():
        yield name
        if isinstance(value, dict):
            yield from (f"{name}.{below}" for below in value)


def test_there_is_one_rule_for_every_fixed_field_and_for_every_optional_section():
    places = [f"{rule.path}{rule.field_path}" for rule in transitions() if rule is not MAX_ROUNDS]
    optional = {"spec.dataset.eval", "spec.sampling.rationalization", "spec.training.lora", "spec.storage.persistentVolumeClaim"}
    optional |= {"spec.dataset.decontaminate"}
    optional |= {"spec.pruning.verifier.code", "spec.pruning.verifier.command"}
    assert sorted(places) == sorted({path for path in EVERY_FIELD if not may_change(path)} | optional)


def test_a_rule_lies_at_the_parent_and_looks_at_both_sides_of_what_may_be_left_out():
    schema = resource_schema()
    for rule in transitions():
        if rule is MAX_ROUNDS:
            continue
        section, name = schema_at(schema, rule.path), rule.field_path.removeprefix(".")
        always_there = name in section.get("required", ()) or "default" in section["properties"][name]
        assert f"oldSelf.{name}" in rule.cel
        assert (f"has(self.{name}) == has(oldSelf.{name})" in rule.cel) is not always_there
        assert name in rule.message


def test_a_section_that_comes_or_goes_is_named_itself_not_its_fields():
    alone, with_eval = (
        parse_run(version, "x").spec for version in before_and_after({"after": {"spec.dataset.eval.uri": "test.jsonl"}})
    )
    assert changed_fixed_fields(alone, with_eval) == ["spec.dataset.eval"]
    assert changed_fixed_fields(with_eval, alone) == ["spec.dataset.eval"]


@pytest.mark.parametrize(
    ("old", "new", "current", "too_low"),
    [
        (4, 2, 3, True),
        (4, 3, 3, False),
        (4, 5, 3, False),
        (4, 1, 0, False),
        (4, 4, 5, False),  # unchanged: a status beyond it must still be written
    ],
)
def test_rounds_never_fall_below_the_round_in_progress_and_an_unchanged_number_always_passes(old, new, current, too_low):
    spec = parse_run(BASE, "run.yaml").spec
    before, after = (spec.model_copy(update={"max_rounds": number}) for number in (old, new))
    assert max_rounds_too_low(before, after, current) is too_low


def test_the_rule_on_rounds_lies_at_the_root_and_lets_an_unchanged_number_pass_first():
    assert MAX_ROUNDS.path == ""
    assert MAX_ROUNDS.cel.startswith("self.spec.maxRounds == oldSelf.spec.maxRounds || ")
