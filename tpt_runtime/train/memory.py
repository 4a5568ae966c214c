"""What a training needs at least, so that one that cannot fit is refused before a process is started. Pure but for file headers.

Only what is certain is counted: fp32 weights, gradients and AdamW's two moments (16 bytes a parameter), divided as the ZeRO stage
divides them. Activations come on top; whether they are recomputed is decided by an estimate.
"""

import json
import math
import struct
from pathlib import Path

from tpt_runtime.core.choices import Method, TrainingEngine
from tpt_runtime.core.errors import ArtifactError
from tpt_runtime.core.spec import Training

FP32 = 4
ACTIVATION_BYTES = 68
"""Bytes that one token leaves in one layer for the backward pass, per unit of hidden size, in fp32: 34 in 16 bits without the
attention matrix, which fused attention does not keep (Korthikanti et al. 2022, arXiv 2205.05198)."""
ACTIVATION_SHARE = 0.25
"""Share of a machine's memory that activations may take before they are recomputed instead."""


def parameter_count(model: Path) -> int | None:
    """Return how many parameters the safetensors files in `model` hold, or None where it has none."""
    files = sorted(model.glob("*.safetensors"))
    return sum(_parameters(file) for file in files) if files else None


def _parameters(file: Path) -> int:
    """Count from the header: 8 bytes with its length, then JSON (the safetensors format)."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length))
        return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    except (ValueError, struct.error, AttributeError, KeyError, TypeError, MemoryError, OverflowError) as error:
        raise ArtifactError(f"{file}: no safetensors file ({error}); the step that writes it has to run again") from error


def bytes_needed(parameters: int, training: Training, processes: int) -> int:
    """Return the bytes that one process keeps for weights, gradients and optimizer at least, on its own device."""
    stage = training.deepspeed.zero_stage if training.engine is TrainingEngine.DEEPSPEED else 0
    weights = FP32 * parameters // (processes if stage == 3 else 1)
    if training.method is Method.LORA:
        return weights
    gradients = FP32 * parameters // (processes if stage >= 2 else 1)
    moments = 2 * FP32 * parameters // (processes if stage >= 1 else 1)
    offloaded = stage >= 1 and training.deepspeed.offload_optimizer
    return weights + gradients + (0 if offloaded else moments)


def activation_bytes(layers: int, hidden: int, tokens: int) -> int:
    """Return roughly what `tokens` tokens keep for the backward pass, in fp32."""
    return layers * hidden * tokens * ACTIVATION_BYTES


def gigabytes(count: int) -> str:
    """Return bytes in words: `16.2 GB`."""
    return f"{count / 1e9:.1f} GB"
