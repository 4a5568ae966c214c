"""train: settings of DeepSpeed and of the trainer, on hardware that is not here too."""

from pathlib import Path
from typing import Any

import pytest

from tests.steps.training import training_config
from tpt_runtime.train.batches import Shape
from tpt_runtime.train.job import Device, Job
from tpt_runtime.train.settings import deepspeed_settings, trainer_settings

CPU = Device(kind="cpu", memory=8 * 10**9)
GPU = Device(kind="cuda", memory=80 * 10**9, flash_attention=True)
SHAPE = Shape(processes=2, micro_batch_size=2, accumulation=4)


def job(device: Device = CPU, **training: Any) -> Job:
    config = training_config(Path("/runs"), {"engine": "DeepSpeed", "batchSize": 16} | training)
    return Job(config=config, device=device, processes=2, attention="sdpa", recompute=device.kind == "cuda")


def deepspeed(device: Device = CPU, **training: Any) -> dict[str, Any]:
    settings = deepspeed_settings(job(device, **training), SHAPE)
    assert settings is not None
    return settings


def trainer(device: Device = CPU, **training: Any) -> dict[str, Any]:
    return trainer_settings(job(device, **training), SHAPE, steps=100, output="/out")


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_the_stage_is_the_one_asked_for(stage: int) -> None:
    assert deepspeed(deepspeed={"zeroStage": stage})["zero_optimization"]["stage"] == stage


def test_a_step_is_as_large_as_asked_for() -> None:
    settings = deepspeed()
    assert settings["train_micro_batch_size_per_gpu"] == 2
    assert settings["gradient_accumulation_steps"] == 4
    assert settings["train_batch_size"] == 16


@pytest.mark.parametrize("device", [CPU, GPU], ids=["cpu", "gpu"])
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_bf16_is_autocast_and_never_a_block_that_rounds_the_weights(device: Device, stage: int) -> None:
    settings = deepspeed(device, precision="BF16", deepspeed={"zeroStage": stage})
    assert settings["torch_autocast"] == {"enabled": True, "dtype": "bfloat16", "lower_precision_safe_modules": []}
    assert "bf16" not in settings
    assert "fp16" not in settings
    assert trainer(device, precision="BF16")["bf16"] is False


def test_plain_training_in_bf16_is_autocast_of_the_trainer() -> None:
    settings = trainer(engine="Torch", precision="BF16")
    assert settings["bf16"] is True
    assert settings["deepspeed"] is None


def test_fp32_is_plain() -> None:
    assert "torch_autocast" not in deepspeed(precision="FP32")
    assert trainer(precision="FP32")["bf16"] is False


def test_stage_3_gathers_weights_when_they_are_saved() -> None:
    name = "stage3_gather_16bit_weights_on_model_save"
    assert deepspeed(deepspeed={"zeroStage": 3})["zero_optimization"][name] is True
    assert name not in deepspeed(deepspeed={"zeroStage": 2})["zero_optimization"]


def test_an_offloaded_optimizer_needs_no_compiler() -> None:
    settings = deepspeed(GPU, deepspeed={"zeroStage": 3, "offloadOptimizer": True})
    assert settings["zero_optimization"]["offload_optimizer"] == {"device": "cpu", "pin_memory": True}
    assert settings["zero_force_ds_cpu_optimizer"] is False


def test_no_optimizer_of_deepspeeds_own_is_asked_for() -> None:
    assert "optimizer" not in deepspeed()
    assert "scheduler" not in deepspeed()
    assert trainer()["optim"] == "adamw_torch_fused"


def test_gradients_are_clipped_alike_by_both_engines() -> None:
    assert deepspeed(maxGradNorm=0.5)["gradient_clipping"] == trainer(maxGradNorm=0.5)["max_grad_norm"] == 0.5


def test_communication_overlaps_on_gpus_only() -> None:
    assert deepspeed(GPU)["zero_optimization"]["overlap_comm"] is True
    assert deepspeed(CPU)["zero_optimization"]["overlap_comm"] is False


def test_warm_up_is_a_share_of_all_steps_rounded_up() -> None:
    assert trainer(warmupRatio=0.1)["warmup_steps"] == 10
    assert trainer(warmupRatio=0.001)["warmup_steps"] == 1
    assert trainer(warmupRatio=0)["warmup_steps"] == 0


@pytest.mark.parametrize(
    ("scheduler", "name"), [("Cosine", "cosine"), ("Linear", "linear"), ("Constant", "constant_with_warmup")]
)
def test_every_scheduler_is_one_of_the_trainers(scheduler: str, name: str) -> None:
    assert trainer(scheduler=scheduler)["lr_scheduler_type"] == name


def test_trackers_are_passed_through_and_none_is_used_unasked() -> None:
    assert trainer(reportTo=["tensorboard"])["report_to"] == ["tensorboard"]
    assert trainer()["report_to"] == "none"


def test_rows_are_neither_cut_nor_tokenized_again() -> None:
    settings = trainer()
    assert settings["max_length"] is None
    assert settings["dataset_kwargs"] == {"skip_prepare_dataset": True}


def test_activations_are_recomputed_where_the_job_says_so() -> None:
    assert trainer(GPU)["gradient_checkpointing"] is True
    assert trainer(CPU)["gradient_checkpointing"] is False
