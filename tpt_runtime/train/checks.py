"""What can be refused before a process is started. Whoever passes gets a `Job`; nothing here imports torch."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tpt_runtime.artifacts.basemodel import check_base_model
from tpt_runtime.artifacts.manifest import finished, verified
from tpt_runtime.core.choices import Batching, Method, Precision, TrainingEngine
from tpt_runtime.core.configs import TrainConfig
from tpt_runtime.core.errors import ArtifactError, ConfigurationError
from tpt_runtime.core.spec import Training
from tpt_runtime.step.context import Context
from tpt_runtime.step.cores import allowed_cores
from tpt_runtime.train import memory
from tpt_runtime.train.devices import cpu_has_bf16
from tpt_runtime.train.examples import ExampleSet, held_out_set, training_set
from tpt_runtime.train.job import Device, Job

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")


def check(config: TrainConfig, devices: list[Device], context: Context) -> Job:
    """Return the job for `config` on this node's `devices`.

    Raises:
        ConfigurationError: something that only the user can mend.
        ArtifactError: what an earlier step wrote is missing, truncated or edited.
    """
    training, root, device = config.training, Path(config.root), devices[0]
    processes = training.nodes * training.processes_per_node
    _check_options(training)
    _check_processes(training, devices)
    _check_precision(training, device, context)
    model, tokenizer = root / config.model, root / config.tokenizer
    description = read_description(model, config.parent_digest)
    _check_tokenizer(tokenizer)
    rows = read_examples(config, description)
    _check_memory(model, training, device)
    return Job(
        config=config,
        device=device,
        processes=processes,
        attention=attention(description, device, training),
        recompute=recompute(description, device, training, max(rows.lengths)),
        home=str(context.storage.objects.uri) if context.storage.objects else None,
    )


def _check_processes(training: Training, devices: list[Device]) -> None:
    processes = training.nodes * training.processes_per_node
    together = training.micro_batch_size * processes
    if training.batch_size % together:
        raise ConfigurationError(
            f"training.batchSize: {training.batch_size} is no multiple of microBatchSize × processes = "
            f"{training.micro_batch_size} × {processes} = {together}; change one of them"
        )
    if training.engine is TrainingEngine.TORCH and processes > 1:
        raise ConfigurationError(
            f"training.engine: Torch trains in one process, but nodes × processesPerNode is {processes}; "
            "set both to 1, or engine: DeepSpeed"
        )
    if devices[0].kind == "cuda" and training.processes_per_node > len(devices):
        raise ConfigurationError(
            f"training.processesPerNode: {training.processes_per_node}, but this node has {len(devices)} GPU(s), one a process"
        )
    if devices[0].kind == "cpu" and training.processes_per_node > allowed_cores():
        raise ConfigurationError(
            f"training.processesPerNode: {training.processes_per_node}, but this machine has {allowed_cores()} core(s)"
        )


def _check_precision(training: Training, device: Device, context: Context) -> None:
    if training.precision is not Precision.BF16:
        return
    if not device.bf16:
        raise ConfigurationError("training.precision: BF16, but this GPU multiplies in bf16 from Ampere on only; set FP32")
    if device.kind == "cpu" and not cpu_has_bf16():
        context.warn("training.precision: BF16 is emulated on this CPU, and slow; FP32 is faster here and as exact")


def read_description(model: Path, parent_digest: str) -> dict[str, Any]:
    """Return the config.json of the model to start from, after its folder was found complete."""
    if finished(model.parent, parent_digest) is None:
        raise ArtifactError(f"{model.parent}: no manifest, so the step that makes the model has not ended; it has to run again")
    check_base_model(model.parent)
    path = model / "config.json"
    try:
        description = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{path}: not readable ({error}); a model folder has one; the step that makes it has to run again"
        ) from error
    if not [*model.glob("*.safetensors"), *model.glob("pytorch_model*.bin")]:
        raise ArtifactError(f"{model}: no weights (*.safetensors or pytorch_model*.bin); the step that makes it has to run again")
    return dict(description)


def _check_tokenizer(folder: Path) -> None:
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise ArtifactError(f"{folder}: no tokenizer (none of {', '.join(TOKENIZER_FILES)}); prepare has to run again")


def read_examples(config: TrainConfig, description: dict[str, Any]) -> ExampleSet:
    """Return the training set after all that is read was verified and compared with the model's vocabulary."""
    folders = [Path(config.root) / name for name in config.examples]
    for folder in folders:
        verified(folder, folder.name.rpartition("-")[2])
    found = training_set(folders, config.training.max_length)
    if not found.rows:
        raise ConfigurationError(
            f"no example is left to train on: {found.dropped} longer than training.maxLength = {config.training.max_length}; "
            "raise maxLength, or lower sampling.maxTokens"
        )
    vocabulary = text_setting(description, "vocab_size")
    highest = max(max(row.ids) for row in [*found.rows, *held_out_set(folders[-1], config.training.max_length).rows])
    if vocabulary is not None and highest >= vocabulary:
        raise ArtifactError(
            f"{folders[-1]}: token id {highest}, but the model's vocabulary has {vocabulary}: the examples were made with "
            "another tokenizer; delete the run's folders, prepare's first, and run again"
        )
    return found


def text_setting(description: dict[str, Any], name: str) -> Any:
    """Return a setting of the language model in a config.json; models of several parts keep it under text_config."""
    inner = description.get("text_config")
    return inner.get(name) if isinstance(inner, dict) and name in inner else description.get(name)


def attention(description: dict[str, Any], device: Device, training: Training) -> str:
    """Return the implementation of attention.

    Soft-capping (Gemma 2) is ignored by PyTorch's fused attention, so such a model takes FlashAttention, or the plain formula.
    Packed rows take FlashAttention on a GPU; on a CPU PyTorch's, which is given a mask that keeps examples apart.
    """
    flash = device.flash_attention and training.precision is Precision.BF16
    if training.batching is Batching.PACKED and device.kind == "cuda":
        if not flash:
            lacking = "precision BF16" if device.flash_attention else "the package flash-attn and an Ampere GPU or newer"
            raise ConfigurationError(f"training.batching: Packed needs FlashAttention, and so {lacking}; or set LengthGrouped")
        return "flash_attention_2"
    if text_setting(description, "attn_logit_softcapping") is not None:
        return "flash_attention_2" if flash else "eager"
    return "sdpa"


def recompute(description: dict[str, Any], device: Device, training: Training, longest: int) -> bool:
    """Return whether activations are recomputed in the backward pass: always on a GPU, on a CPU where they would not fit well."""
    if device.kind == "cuda":
        return True
    layers, hidden = (text_setting(description, name) for name in ("num_hidden_layers", "hidden_size"))
    if not isinstance(layers, int) or not isinstance(hidden, int):
        return False
    tokens = training.micro_batch_size * longest * training.processes_per_node
    return memory.activation_bytes(layers, hidden, tokens) > memory.ACTIVATION_SHARE * device.memory


def _check_memory(model: Path, training: Training, device: Device) -> None:
    parameters = memory.parameter_count(model)
    if parameters is None:
        return
    processes = training.nodes * training.processes_per_node
    sharing = training.processes_per_node if device.kind == "cpu" else 1
    needed = memory.bytes_needed(parameters, training, processes) * sharing
    if needed > device.memory:
        where = "this GPU" if device.kind == "cuda" else "this machine"
        has, lacks = memory.gigabytes(device.memory), memory.gigabytes(needed)
        raise ConfigurationError(
            f"training of {parameters / 1e9:.1f} billion parameters needs {lacks} at least (fp32 weights, gradients, AdamW), but "
            f"{where} has {has}: raise training.deepspeed.zeroStage, processesPerNode or nodes, set offloadOptimizer, or LoRA"
        )


def _check_options(training: Training) -> None:
    needed = ["trl", "deepspeed"] if training.engine is TrainingEngine.DEEPSPEED else ["trl"]
    needed += ["peft"] if training.method is Method.LORA else []
    if missing := [name for name in needed if find_spec(name) is None]:
        raise ConfigurationError(f"training needs {', '.join(missing)}, which this Python has not: install the extra `trainer`")
    if training.lora and "lm_head" in training.lora.target_modules:
        raise ConfigurationError(
            "training.lora.targetModules: lm_head cannot be adapted, as its weights are used directly; leave it out"
        )
