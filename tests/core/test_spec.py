"""The models of the spec: frozen, camelCase on the wire, described, and sorted into what decides the outcome and the rest."""

from types import NoneType
from typing import get_args

import pytest
from pydantic import ValidationError

from tests.core.corpus import BASE
from tpt_runtime.core.model import Model, fixed_settings, is_mutable
from tpt_runtime.core.resource import parse_run
from tpt_runtime.core.sampling import Sampling
from tpt_runtime.core.spec import Run, Spec, Training


def models(model, found=None):
    found = {} if found is None else found
    found[model.__name__] = model
    for info in model.model_fields.values():
        for kind in (*get_args(info.annotation), info.annotation):
            if kind is not NoneType and isinstance(kind, type) and issubclass(kind, Model) and kind.__name__ not in found:
                models(kind, found)
    return found


EVERY_MODEL = models(Run)


@pytest.fixture
def minimal() -> Spec:
    return parse_run(BASE, "run.yaml").spec


def test_all_the_models_are_found():
    assert {"Spec", "Sampling", "Verifier", "Lora", "DeepSpeed", "EarlyStopping", "Validation", "Metadata"} <= set(EVERY_MODEL)


@pytest.mark.parametrize("model", EVERY_MODEL.values(), ids=EVERY_MODEL)
def test_every_field_has_a_description_and_a_camel_case_name(model):
    for name, info in model.model_fields.items():
        assert info.description, f"{model.__name__}.{name}"
        assert info.alias is not None
        assert "_" not in info.alias


def test_a_spec_cannot_be_changed_in_place(minimal):
    with pytest.raises(ValidationError):
        minimal.max_rounds = 5


def test_the_default_sections_are_whole(minimal):
    assert minimal.sampling == Sampling()
    assert minimal.training.deepspeed.zero_stage == 2
    assert minimal.objective.metric == "pass@1"


def test_the_wire_form_leaves_out_what_was_not_given_and_the_full_one_spells_it_out(minimal):
    assert minimal.wire() == BASE["spec"]
    assert minimal.full_wire()["sampling"]["samplesPerPrompt"] == 10
    assert "topK" not in minimal.full_wire()["sampling"]
    assert Spec.from_wire(minimal.full_wire()) == minimal


def test_a_python_keyword_is_written_without_its_underscore():
    assert Training.from_wire({"from": "Base"}).wire() == {"from": "Base"}


def test_fixed_settings_leave_out_defaults_and_what_may_change():
    sampling = Sampling(samples_per_prompt=10, seed=7, shards=4, tensor_parallel_size=2, stop=["\n"])
    assert fixed_settings(sampling) == {"seed": 7, "stop": ["\n"]}


def test_fixed_settings_look_into_sections_and_leave_out_those_that_say_nothing(minimal):
    training = Training.from_wire({"deepspeed": {"zeroStage": 3}, "method": "LoRA", "lora": {"rank": 8}, "nodes": 2})
    assert fixed_settings(training) == {"method": "LoRA", "lora": {"rank": 8}}
    assert fixed_settings(minimal.model_copy(update={"suspend": True, "max_rounds": 9})) == fixed_settings(minimal)


@pytest.mark.parametrize(
    ("model", "field", "mutable"),
    [
        (Spec, "suspend", True),
        (Spec, "max_rounds", True),
        (Spec, "objective", True),
        (Spec, "sampling", False),
        (Sampling, "shards", True),
        (Sampling, "samples_per_prompt", False),
        (Training, "micro_batch_size", True),
        (Training, "batch_size", False),
    ],
)
def test_the_mark_sorts_how_a_run_is_carried_out_from_what_comes_of_it(model, field, mutable):
    assert is_mutable(model, field) is mutable
