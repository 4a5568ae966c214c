"""The settings of DeepSpeed and of the trainer, as data. Pure; what they must be on a GPU is tested without one.

The rules behind them: rounds chain in fp32, so BF16 is autocast (DeepSpeed's `torch_autocast` block; its `bf16` block would
round the weights), and reductions stay fp32; ZeRO-3 gathers weights when they are saved; one AdamW, PyTorch's, serves
everywhere, so that every engine and stage takes the same steps and no compiler is needed.
"""

import math
from typing import Any

from tpt_runtime.core.choices import Precision, Scheduler, TrainingEngine
from tpt_runtime.core.spec import DeepSpeed
from tpt_runtime.train.batches import Shape
from tpt_runtime.train.job import Job

NEVER = 2**31 - 1
WAIT_SECONDS = 7200
"""How long processes wait for one another: process 0 may write a large model while the others wait."""

SCHEDULERS = {
    Scheduler.COSINE: "cosine",
    Scheduler.LINEAR: "linear",
    Scheduler.CONSTANT: "constant_with_warmup",
}


def deepspeed_settings(job: Job, shape: Shape) -> dict[str, Any] | None:
    """Return DeepSpeed's configuration, or None for plain training."""
    training = job.config.training
    if training.engine is not TrainingEngine.DEEPSPEED:
        return None
    settings: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": shape.micro_batch_size,
        "gradient_accumulation_steps": shape.accumulation,
        "train_batch_size": shape.micro_batch_size * shape.accumulation * shape.processes,
        "gradient_clipping": training.max_grad_norm,
        "zero_optimization": _zero(training.deepspeed, job.device.kind),
        "zero_allow_untested_optimizer": True,
        # Else an offloaded optimizer must be DeepSpeed's own, which is compiled when it is first used.
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": NEVER,
    }
    if training.precision is Precision.BF16:
        # No module's gradients and weights are exchanged in bf16: rounding them costs more than the traffic saved.
        settings["torch_autocast"] = {"enabled": True, "dtype": "bfloat16", "lower_precision_safe_modules": []}
    return settings


def _zero(deepspeed: DeepSpeed, device: str) -> dict[str, Any]:
    zero: dict[str, Any] = {
        "stage": deepspeed.zero_stage,
        "contiguous_gradients": True,
        "overlap_comm": device == "cuda" and deepspeed.zero_stage >= 2,
    }
    if deepspeed.zero_stage == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = True  # its name notwithstanding, fp32 stays fp32
    if deepspeed.offload_optimizer:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": device == "cuda"}
    return zero


def trainer_settings(job: Job, shape: Shape, steps: int, output: str) -> dict[str, Any]:
    """Return the arguments of TRL's `SFTConfig`.

    Args:
        job: the training.
        shape: its processes and micro-batches.
        steps: optimizer steps of the whole training, all epochs together.
        output: folder of the checkpoints.
    """
    config, training = job.config, job.config.training
    plain = training.engine is TrainingEngine.TORCH
    return {
        "output_dir": output,
        "max_steps": steps,
        "per_device_train_batch_size": shape.micro_batch_size,
        "gradient_accumulation_steps": shape.accumulation,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": SCHEDULERS[training.scheduler],
        "warmup_steps": math.ceil(training.warmup_ratio * steps),
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "optim": "adamw_torch_fused",
        "seed": config.seed,
        "use_cpu": job.device.kind == "cpu",
        "ddp_timeout": WAIT_SECONDS,
        "fp16": False,
        # Under DeepSpeed this would ask for its bf16 block; there, autocast is in DeepSpeed's own configuration.
        "bf16": plain and training.precision is Precision.BF16,
        "gradient_checkpointing": job.recompute,
        "deepspeed": deepspeed_settings(job, shape),
        "max_length": None,  # rows are of allowed length, and never cut
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "eval_strategy": "no",
        "save_strategy": "no",  # checkpoints are asked for by the clock
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # a loss that is not finite ends the training instead of being left out
        "disable_tqdm": True,
        "log_level": "error",
        "report_to": training.report_to or "none",
        "run_name": f"{config.run}/round-{config.round:03d}",
        "project": config.run,
    }
