"""What a run will take at most: tokens, GPU memory, bytes on the storage. Plain arithmetic with its sources; nothing is measured.

Bounds are upper bounds where they count tokens (a sample rarely reaches `maxTokens`), and lower bounds where they count memory:
what a library keeps for itself comes on top, which is why `USABLE` of a GPU is counted on and no more. Hours are never guessed:
they follow from a throughput that the user gives.

Training keeps fp32 weights, fp32 gradients and AdamW's two moments: 16 bytes a parameter. ZeRO divides them over the processes
(Rajbhandari et al. 2020, arXiv 1910.02054): stage 1 the moments, stage 2 the gradients too, stage 3 the weights too. Stages 1
and 2 of DeepSpeed 0.19 keep one more fp32 copy of each process's part of the weights; stage 3 does not where the weights are
fp32 already (seen in its source).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tpt_runtime.core.choices import Method, TrainData, TrainingEngine
from tpt_runtime.core.spec import Spec, Training

FP32 = 4
BF16 = 2
MOMENTS = 2
USABLE = 0.9
"""Share of a GPU's memory that is counted on, as vLLM does by default."""
LAYER_ACTIVATIONS = 68
"""Bytes that one token leaves in one layer while it is worked on, per unit of hidden size, in fp32: twice the 34 of 16 bits, less
the attention matrix, which fused attention does not keep (Korthikanti et al. 2022, arXiv 2205.05198)."""
TEXT_BYTES = 12
"""Bytes on the storage per sampled token, roughly: its text and its id."""
CHECKPOINT_BYTES = 16
"""Bytes a parameter of a checkpoint to resume from: weights twice (the model's and the optimizer's), and two moments."""


@dataclass(frozen=True)
class Shape:
    """What is known of a model."""

    parameters: int
    layers: int | None = None
    hidden: int | None = None
    kv_width: int | None = None
    """Key-value heads times their size: what one layer caches of one token is twice that."""


@dataclass(frozen=True)
class Prompts:
    """How many questions there are; None where it is not known."""

    train: int | None = None
    validation: int | None = None
    eval: int | None = None

    @property
    def evaluated(self) -> int | None:
        """Questions of one evaluation; None when one of the sets is not known."""
        if self.validation is None or self.eval is None:
            return None
        return self.validation + self.eval


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes of one training process."""

    device: int
    """Weights, gradients and optimizer on its GPU."""
    host: int
    """What was offloaded to the machine's memory."""
    activations: int | None
    """On its GPU, with activations recomputed in the backward pass; None when the model's shape is not known."""


@dataclass(frozen=True)
class SamplingMemory:
    """Bytes of one GPU of a sampler."""

    weights: int
    cache_per_token: int | None
    """Of the whole sampler, for each token of each sequence in progress; None when the model's shape is not known."""


def shape_from_config(config: Mapping[str, Any]) -> Shape | None:
    """Return the shape of a decoder with gated MLPs (Llama, Mistral, Qwen, Gemma, SmolLM and the like) from its config.json.

    The count of parameters leaves out biases and small norms, under 0.1 %. Return None for other architectures, such as mixtures
    of experts.
    """
    text = config.get("text_config")
    found = text if isinstance(text, Mapping) else config
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
    numbers = [found.get(name) for name in names]
    experts = any("expert" in name for name in found)
    if experts or not all(isinstance(number, int) and number > 0 for number in numbers):
        return None
    hidden, layers, heads, inner, vocabulary = (int(number or 0) for number in numbers)
    size = int(found.get("head_dim") or hidden // heads)
    kv_width = int(found.get("num_key_value_heads") or heads) * size
    layer = 2 * hidden * heads * size + 2 * hidden * kv_width + 3 * hidden * inner + 2 * hidden
    tied = found.get("tie_word_embeddings", config.get("tie_word_embeddings", found.get("model_type", "").startswith("gemma")))
    parameters = layers * layer + hidden + hidden * vocabulary * (1 if tied else 2)
    return Shape(parameters, layers, hidden, kv_width)


def evaluations(spec: Spec) -> int:
    """Return how often a model is evaluated: the base, every so many rounds, and the last."""
    every, last = spec.evaluation.every_rounds, spec.max_rounds
    return len({*range(0, last + 1, every), last})


def sampled_tokens(spec: Spec, prompts: Prompts) -> int | None:
    """Return the most tokens that one round samples from the training set."""
    if prompts.train is None:
        return None
    return prompts.train * (spec.sampling.samples_per_prompt + _hinted(spec)) * spec.sampling.max_tokens


def evaluated_tokens(spec: Spec, prompts: Prompts) -> int | None:
    """Return the most tokens that one evaluation samples."""
    if prompts.evaluated is None:
        return None
    return prompts.evaluated * spec.evaluation.samples_per_prompt * spec.sampling.max_tokens


def trained_tokens(spec: Spec, prompts: Prompts, number: int) -> int:
    """Return the most tokens that round `number` trains on."""
    examples = most_examples(spec, prompts)
    rounds = number if spec.training.data is TrainData.ACCUMULATED else 1
    return examples * rounds * spec.training.epochs * spec.training.max_length


def most_examples(spec: Spec, prompts: Prompts) -> int:
    """Return the most examples that one round keeps."""
    cap = spec.pruning.max_examples
    return cap if prompts.train is None else min(cap, prompts.train * examples_per_prompt(spec))


def examples_per_prompt(spec: Spec) -> int:
    """Return the most examples that one round keeps of a question: of its samples, or of those with a hint."""
    return min(spec.pruning.max_correct_per_prompt, max(spec.sampling.samples_per_prompt, _hinted(spec)))


def _hinted(spec: Spec) -> int:
    return spec.sampling.rationalization.samples_per_prompt if spec.sampling.rationalization else 0


def training_memory(shape: Shape, training: Training, processes: int) -> TrainingMemory:
    """Return what each of `processes` training processes keeps, on its GPU and in the machine's memory."""
    count = shape.parameters
    stage = training.deepspeed.zero_stage if training.engine is TrainingEngine.DEEPSPEED else 0
    weights = FP32 * count // (processes if stage == 3 else 1)
    if training.method is Method.LORA:  # the adapter's own states are small beside the frozen weights
        return TrainingMemory(weights, 0, _activations(shape, training))
    gradients = FP32 * count // (processes if stage >= 2 else 1)
    optimizer = MOMENTS * FP32 * count // (processes if stage >= 1 else 1)
    offloaded = stage >= 1 and training.deepspeed.offload_optimizer
    if stage in (1, 2) or offloaded:
        optimizer += FP32 * count // processes
    on_device = weights + gradients + (0 if offloaded else optimizer)
    return TrainingMemory(on_device, optimizer if offloaded else 0, _activations(shape, training))


def _activations(shape: Shape, training: Training) -> int | None:
    if shape.layers is None or shape.hidden is None:
        return None
    tokens = training.micro_batch_size * training.max_length
    return tokens * shape.hidden * (FP32 * shape.layers + LAYER_ACTIVATIONS)


def fewest_processes(shape: Shape, training: Training, gpu_bytes: int) -> int | None:
    """Return the least number of GPUs of `gpu_bytes` that the training fits on, None if no number of them suffices.

    Only numbers that divide `batchSize` by `microBatchSize` are possible.
    """
    most = training.batch_size // training.micro_batch_size
    for processes in range(1, most + 1):
        needed = training_memory(shape, training, processes)
        if most % processes == 0 and needed.device + (needed.activations or 0) <= USABLE * gpu_bytes:
            return processes
    return None


def sampling_memory(shape: Shape, tensor_parallel: int) -> SamplingMemory:
    """Return what each GPU of a sampler holds in BF16, and what every token in progress adds to the sampler."""
    cache = None if shape.layers is None or shape.kv_width is None else 2 * BF16 * shape.layers * shape.kv_width
    return SamplingMemory(math.ceil(BF16 * shape.parameters / tensor_parallel), cache)


def sequences_at_once(shape: Shape, spec: Spec, gpu_bytes: int) -> int | None:
    """Return how many sequences of `training.maxLength` tokens one sampler's caches hold at once; 0: the weights do not fit."""
    size = spec.sampling.tensor_parallel_size
    needed = sampling_memory(shape, size)
    if needed.cache_per_token is None:
        return None
    room = size * (USABLE * gpu_bytes - needed.weights)
    return max(0, int(room // (needed.cache_per_token * spec.training.max_length)))


def round_bytes(shape: Shape, spec: Spec, prompts: Prompts) -> dict[str, int | None]:
    """Return the bytes that a round puts on the storage: the model, samples at most, and a checkpoint while it trains."""
    sampled, evaluated = sampled_tokens(spec, prompts), evaluated_tokens(spec, prompts)
    tokens = None if sampled is None or evaluated is None else sampled + evaluated
    return {
        "model": FP32 * shape.parameters,
        "samples": None if tokens is None else TEXT_BYTES * tokens,
        "checkpoint": FP32 * shape.parameters if spec.training.method is Method.LORA else CHECKPOINT_BYTES * shape.parameters,
    }
