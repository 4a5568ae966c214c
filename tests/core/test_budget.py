"""The arithmetic of `tpt plan`, against published parameter counts and figures worked out by hand."""

from typing import Any

import pytest

from tpt_runtime.core.budget import (
    Prompts,
    Shape,
    evaluated_tokens,
    evaluations,
    fewest_processes,
    most_examples,
    round_bytes,
    sampled_tokens,
    sampling_memory,
    sequences_at_once,
    shape_from_config,
    trained_tokens,
    training_memory,
)
from tpt_runtime.core.spec import Spec, Training

GB = 10**9
GEMMA_2B: dict[str, Any] = {
    "model_type": "gemma2",
    "hidden_size": 2304,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "intermediate_size": 9216,
    "vocab_size": 256000,
}
LLAMA_70B: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 8192,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "intermediate_size": 28672,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}
SMOLLM_135M: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 576,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "intermediate_size": 1536,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
}
BILLION = Shape(10**9)


def spec(**sections: dict[str, Any]) -> Spec:
    required = {
        "model": {"uri": "model"},
        "dataset": {"train": {"uri": "train.jsonl"}},
        "storage": {"persistentVolumeClaim": {"claimName": "runs"}},
    }
    return Spec.from_wire({**required, **sections})


def training(**fields: Any) -> Training:
    return Training.from_wire(fields)


@pytest.mark.parametrize(
    ("config", "published"),
    [(GEMMA_2B, 2_614_341_888), (LLAMA_70B, 70_553_706_496), (SMOLLM_135M, 134_515_008)],
    ids=["Gemma 2 2B", "Llama 3.1 70B", "SmolLM2 135M"],
)
def test_parameters_are_counted_as_published(config: dict[str, Any], published: int) -> None:
    shape = shape_from_config(config)
    assert shape is not None
    assert shape.parameters == pytest.approx(published, rel=1e-3)


def test_a_language_model_inside_another_is_found() -> None:
    assert shape_from_config({"text_config": LLAMA_70B, "vision_config": {}}) == shape_from_config(LLAMA_70B)


def test_cached_width_follows_key_value_heads() -> None:
    shape = shape_from_config(LLAMA_70B)
    assert shape is not None
    assert shape.kv_width == 8 * 128


@pytest.mark.parametrize(
    "config",
    [{}, {"model_type": "gpt2", "n_embd": 768}, {**LLAMA_70B, "num_local_experts": 8}, {**LLAMA_70B, "hidden_size": "wide"}],
    ids=["nothing", "another architecture", "a mixture of experts", "mistyped"],
)
def test_an_unknown_architecture_is_not_guessed(config: dict[str, Any]) -> None:
    assert shape_from_config(config) is None


class TestTrainingMemory:
    @pytest.mark.parametrize(
        ("stage", "per_process"),
        [
            (0, 16.0),  # everything everywhere
            (1, 8 + 12 / 4),  # moments and the optimizer's copy divided by 4
            (2, 4 + 16 / 4),  # gradients too
            (3, 16 / 4),  # everything, and no copy
        ],
    )
    def test_each_stage_divides_what_it_says(self, stage: int, per_process: float) -> None:
        needed = training_memory(BILLION, training(deepspeed={"zeroStage": stage}), processes=4)
        assert needed.device == per_process * GB
        assert needed.host == 0

    def test_plain_training_divides_nothing(self) -> None:
        assert training_memory(BILLION, training(engine="Torch"), processes=1).device == 16 * GB

    def test_offloading_moves_moments_and_the_optimizers_weights_to_the_host(self) -> None:
        needed = training_memory(BILLION, training(deepspeed={"zeroStage": 3, "offloadOptimizer": True}), processes=4)
        assert (needed.device, needed.host) == (2 * GB, 3 * GB)

    def test_lora_keeps_the_frozen_weights(self) -> None:
        assert training_memory(BILLION, training(method="LoRA", lora={"rank": 8}), processes=1).device == 4 * GB

    def test_activations_grow_with_the_micro_batch(self) -> None:
        shape = Shape(10**9, layers=10, hidden=1000, kv_width=1000)
        one, four = (training_memory(shape, training(microBatchSize=n, maxLength=100), processes=1).activations for n in (1, 4))
        assert one == 100 * 1000 * (4 * 10 + 68)
        assert four == 4 * one

    def test_activations_of_an_unknown_shape_are_not_guessed(self) -> None:
        assert training_memory(BILLION, training(), processes=1).activations is None

    def test_a_70b_model_needs_24_gpus_of_80_gb_or_16_of_141(self) -> None:
        shape = shape_from_config(LLAMA_70B)
        assert shape is not None
        settings = training(batchSize=24, microBatchSize=1, maxLength=1600, deepspeed={"zeroStage": 3})
        assert fewest_processes(shape, settings, 80 * GB) == 24
        assert fewest_processes(shape, training(**{**settings.wire(), "batchSize": 16}), 80 * GB) is None
        assert fewest_processes(shape, training(**{**settings.wire(), "batchSize": 16}), 141 * GB) == 16

    def test_only_numbers_that_divide_the_batch_are_named(self) -> None:
        settings = training(batchSize=6, deepspeed={"zeroStage": 3})
        assert fewest_processes(BILLION, settings, int(16 * GB / 4 / 0.9) + 1) == 6


class TestSamplingMemory:
    def test_weights_are_spread_in_bf16(self) -> None:
        assert sampling_memory(BILLION, 4).weights == GB // 2

    def test_the_cache_holds_keys_and_values_of_every_layer(self) -> None:
        shape = shape_from_config(LLAMA_70B)
        assert shape is not None
        assert sampling_memory(shape, 4).cache_per_token == 2 * 2 * 80 * 1024

    def test_what_is_left_holds_sequences(self) -> None:
        shape = Shape(10**9, layers=10, hidden=1000, kv_width=1000)
        settings = spec(training={"maxLength": 2000})
        assert sequences_at_once(shape, settings, 10 * GB) == int((9 * GB - 2 * GB) // (40_000 * 2000))

    def test_weights_that_do_not_fit_leave_room_for_no_sequence(self) -> None:
        assert sequences_at_once(Shape(10**10, 10, 1000, 1000), spec(), 10 * GB) == 0

    def test_an_unknown_shape_is_not_guessed(self) -> None:
        assert sequences_at_once(BILLION, spec(), 10 * GB) is None


class TestTokens:
    def test_a_round_samples_prompts_times_samples_times_tokens(self) -> None:
        settings = spec(sampling={"samplesPerPrompt": 4, "maxTokens": 100}, training={"maxLength": 200})
        assert sampled_tokens(settings, Prompts(train=30)) == 30 * 4 * 100

    def test_an_evaluation_samples_both_sets(self) -> None:
        settings = spec(sampling={"maxTokens": 100}, evaluation={"samplesPerPrompt": 8}, training={"maxLength": 200})
        assert evaluated_tokens(settings, Prompts(validation=10, eval=20)) == 30 * 8 * 100

    @pytest.mark.parametrize("prompts", [Prompts(), Prompts(validation=3), Prompts(eval=3)])
    def test_unknown_numbers_of_prompts_stay_unknown(self, prompts: Prompts) -> None:
        assert sampled_tokens(spec(), prompts) is None
        assert evaluated_tokens(spec(), prompts) is None

    def test_accumulated_examples_are_trained_on_again(self) -> None:
        fields = {"maxLength": 1600, "epochs": 2}
        latest, accumulated = (spec(training={**fields, "data": data}) for data in ("Latest", "Accumulated"))
        prompts = Prompts(train=100)
        assert trained_tokens(latest, prompts, 3) == 100 * 2 * 1600
        assert trained_tokens(accumulated, prompts, 3) == 3 * trained_tokens(latest, prompts, 3)

    @pytest.mark.parametrize(
        ("prompts", "each", "cap", "expected"),
        [(100, 1, 2000, 100), (100, 4, 250, 250), (100, 50, 2000, 1000), (None, 1, 70, 70)],
    )
    def test_examples_are_bounded_by_cap_prompts_and_samples(
        self, prompts: int | None, each: int, cap: int, expected: int
    ) -> None:
        settings = spec(pruning={"maxCorrectPerPrompt": each, "maxExamples": cap}, sampling={"samplesPerPrompt": 10})
        assert most_examples(settings, Prompts(train=prompts)) == expected


@pytest.mark.parametrize(("every", "rounds", "expected"), [(1, 4, 5), (2, 4, 3), (3, 4, 3), (8, 4, 2)])
def test_the_base_and_the_last_model_are_always_evaluated(every: int, rounds: int, expected: int) -> None:
    assert evaluations(spec(evaluation={"everyRounds": every}, maxRounds=rounds)) == expected  # type: ignore[arg-type]


def test_a_round_puts_the_model_in_fp32_on_the_storage() -> None:
    found = round_bytes(BILLION, spec(), Prompts())
    assert found == {"model": 4 * GB, "samples": None, "checkpoint": 16 * GB}


def test_samples_take_twelve_bytes_a_token() -> None:
    settings = spec(sampling={"samplesPerPrompt": 2, "maxTokens": 50}, evaluation={"samplesPerPrompt": 3})
    found = round_bytes(BILLION, settings, Prompts(train=10, validation=1, eval=1))
    assert found["samples"] == 12 * (10 * 2 * 50 + 2 * 3 * 50)
