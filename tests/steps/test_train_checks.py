"""train: what is refused before a process is started."""

import json
import struct
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from tests.steps.conftest import SilentJournal
from tests.steps.training import END, PREPARED, PRUNED, examples, training_config, write_examples
from tpt_runtime.artifacts.manifest import write_manifest
from tpt_runtime.core.configs import TrainConfig
from tpt_runtime.core.errors import ArtifactError, ConfigurationError
from tpt_runtime.core.rows import Example
from tpt_runtime.step.context import Context
from tpt_runtime.train import checks, memory
from tpt_runtime.train.checks import attention, check, recompute
from tpt_runtime.train.devices import read_probe
from tpt_runtime.train.job import Device, Job

CPU = Device(kind="cpu", memory=8 * 10**9)
GPU = Device(kind="cuda", memory=80 * 10**9, flash_attention=True)
OLD_GPU = Device(kind="cuda", memory=16 * 10**9, bf16=False)

LLAMA: dict[str, Any] = {"model_type": "llama", "vocab_size": 260, "hidden_size": 32, "num_hidden_layers": 2}


def safetensors(path: Path, *shapes: list[int]) -> None:
    """Write a file with the header of tensors of these shapes, and no data."""
    header = {f"tensor{n}": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for n, shape in enumerate(shapes)}
    text = json.dumps({"__metadata__": {"format": "pt"}} | header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a run's folder with all that a training reads, without a model that could be loaded."""
    model, tokenizer = tmp_path / PREPARED / "model", tmp_path / PREPARED / "tokenizer"
    model.mkdir(parents=True)
    tokenizer.mkdir()
    (model / "config.json").write_text(json.dumps(LLAMA))
    safetensors(model / "model.safetensors", [260, 32], [32])
    (tokenizer / "tokenizer.json").write_text("{}")
    write_manifest(tmp_path / PREPARED, PREPARED.rpartition("-")[2], summary={})
    write_examples(tmp_path, examples(10))
    return tmp_path


def checked(config: TrainConfig, context: Context, *devices: Device) -> Job:
    return check(config, list(devices) or [CPU], context)


def refusal(config: TrainConfig, context: Context, *devices: Device) -> str:
    with pytest.raises(ConfigurationError) as caught:
        checked(config, context, *devices)
    return str(caught.value)


def test_good_input_becomes_a_job(root: Path, context: Context) -> None:
    job = checked(training_config(root), context)
    assert (job.processes, job.attention, job.recompute, job.accumulation) == (1, "sdpa", False, 4)


def test_a_batch_must_divide_among_processes_and_micro_batches(root: Path, context: Context) -> None:
    said = refusal(training_config(root, {"batchSize": 10, "microBatchSize": 4}), context)
    assert "training.batchSize: 10 is no multiple of microBatchSize × processes = 4 × 1 = 4" in said


def test_plain_training_has_one_process(root: Path, context: Context) -> None:
    said = refusal(training_config(root, {"engine": "Torch", "processesPerNode": 2}), context)
    assert "Torch trains in one process" in said
    assert "engine: DeepSpeed" in said


def test_every_process_needs_a_gpu_of_its_own(root: Path, context: Context) -> None:
    said = refusal(training_config(root, {"engine": "DeepSpeed", "processesPerNode": 4}), context, GPU, GPU)
    assert "training.processesPerNode: 4, but this node has 2 GPU(s)" in said


def test_every_process_needs_a_core_of_its_own(root: Path, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "allowed_cores", lambda: 2)
    said = refusal(training_config(root, {"engine": "DeepSpeed", "processesPerNode": 4}), context)
    assert "training.processesPerNode: 4, but this machine has 2 core(s)" in said


def test_bf16_on_a_gpu_without_it_is_refused(root: Path, context: Context) -> None:
    said = refusal(training_config(root, {"precision": "BF16"}), context, OLD_GPU)
    assert "training.precision: BF16" in said
    assert "FP32" in said


@pytest.mark.parametrize("native", [True, False])
def test_bf16_on_a_cpu_that_emulates_it_is_warned_of(
    root: Path, context: Context, monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    monkeypatch.setattr(checks, "cpu_has_bf16", lambda: native)
    checked(training_config(root, {"precision": "BF16"}), context)
    assert isinstance(context.journal, SilentJournal)
    assert [event["event"] for event in context.journal.events] == ([] if native else ["warning"])


@pytest.mark.parametrize(("setting", "missing"), [({"engine": "DeepSpeed"}, "deepspeed"), ({"method": "LoRA"}, "peft")])
def test_a_missing_package_is_named_with_its_extra(
    root: Path, context: Context, monkeypatch: pytest.MonkeyPatch, setting: dict[str, str], missing: str
) -> None:
    found = util.find_spec
    monkeypatch.setattr(checks, "find_spec", lambda name: None if name == missing else found(name))
    said = refusal(training_config(root, setting), context)
    assert f"training needs {missing}" in said
    assert "extra `trainer`" in said


def test_the_head_cannot_be_adapted(root: Path, context: Context) -> None:
    settings = {"method": "LoRA", "lora": {"targetModules": ["q_proj", "lm_head"]}}
    assert "training.lora.targetModules: lm_head" in refusal(training_config(root, settings), context)


def test_when_all_examples_are_too_long_the_way_out_is_named(root: Path, context: Context) -> None:
    said = refusal(training_config(root, {"maxLength": 4}), context)
    assert "10 longer than training.maxLength = 4" in said


@pytest.mark.parametrize("file", ["train.jsonl", "validation.jsonl"])
def test_token_ids_beyond_the_vocabulary_are_of_another_tokenizer(root: Path, context: Context, file: str) -> None:
    foreign = [Example(id="a", round=1, sample=0, ids=[0, 260, END], promptTokens=1)]
    rows = (foreign, None) if file == "train.jsonl" else (examples(3), foreign)
    write_examples(root, *rows)
    with pytest.raises(ArtifactError, match="token id 260, but the model's vocabulary has 260"):
        checked(training_config(root), context)


def test_an_edited_training_set_is_refused(root: Path, context: Context) -> None:
    path = root / PRUNED / "train.jsonl"
    path.write_text(path.read_text().replace('"sample":0', '"sample":1', 1))
    with pytest.raises(ArtifactError, match="edited or damaged"):
        checked(training_config(root), context)


def test_a_training_set_of_another_configuration_is_refused(root: Path, context: Context) -> None:
    (root / PRUNED).rename(root / "round-001" / "prune-3333333333333333")
    with pytest.raises(ArtifactError, match="manifest is of configuration 1111111111111111, expected 3333333333333333"):
        checked(training_config(root, examples=["round-001/prune-3333333333333333"]), context)


def test_a_model_that_was_never_finished_is_refused(root: Path, context: Context) -> None:
    (root / PREPARED / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match="no manifest, so the step that makes the model has not ended"):
        checked(training_config(root), context)


@pytest.mark.parametrize(
    ("removed", "said"),
    [
        ("model/config.json", "config.json"),
        ("model/model.safetensors", "no weights"),
        ("tokenizer/tokenizer.json", "no tokenizer"),
    ],
)
def test_a_missing_part_of_the_model_is_named(root: Path, context: Context, removed: str, said: str) -> None:
    (root / PREPARED / removed).unlink()
    write_manifest(root / PREPARED, PREPARED.rpartition("-")[2], summary={})
    with pytest.raises(ArtifactError, match=said):
        checked(training_config(root), context)


def test_a_truncated_model_is_noticed_by_its_manifest(root: Path, context: Context) -> None:
    (root / PREPARED / "model" / "model.safetensors").write_bytes(b"short")
    with pytest.raises(ArtifactError, match="has 5 bytes, but its manifest says"):
        checked(training_config(root), context)


# Attention


def attention_of(description: dict[str, Any], device: Device, **training: Any) -> str:
    return attention(description, device, training_config(Path("/r"), training).training)


CAPPED = LLAMA | {"attn_logit_softcapping": 50.0}
CAPPED_IN_PARTS = {"text_config": CAPPED}


@pytest.mark.parametrize("description", [CAPPED, CAPPED_IN_PARTS], ids=["plain", "of several parts"])
@pytest.mark.parametrize(
    ("device", "precision", "chosen"),
    [
        (CPU, "FP32", "eager"),
        (GPU, "BF16", "flash_attention_2"),
        (GPU, "FP32", "eager"),
        (GPU.model_copy(update={"flash_attention": False}), "BF16", "eager"),
    ],
)
def test_fused_attention_which_ignores_soft_capping_is_never_taken_with_it(
    description: dict[str, Any], device: Device, precision: str, chosen: str
) -> None:
    assert attention_of(description, device, precision=precision) == chosen


@pytest.mark.parametrize("device", [CPU, GPU], ids=["cpu", "gpu"])
def test_other_models_take_fused_attention(device: Device) -> None:
    assert attention_of(LLAMA | {"attn_logit_softcapping": None}, device) == "sdpa"


def test_packed_rows_take_flash_attention_on_a_gpu() -> None:
    assert attention_of(LLAMA, GPU, batching="Packed", precision="BF16") == "flash_attention_2"


@pytest.mark.parametrize(
    ("device", "precision", "lacking"),
    [(GPU, "FP32", "precision BF16"), (GPU.model_copy(update={"flash_attention": False}), "BF16", "flash-attn")],
)
def test_packed_rows_without_flash_attention_are_refused_on_a_gpu(device: Device, precision: str, lacking: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Packed needs FlashAttention, and so .*{lacking}"):
        attention_of(LLAMA, device, batching="Packed", precision=precision)


# Memory


def test_parameters_are_counted_from_the_headers(tmp_path: Path) -> None:
    safetensors(tmp_path / "model-1.safetensors", [10, 20], [5])
    safetensors(tmp_path / "model-2.safetensors", [3, 4, 5])
    assert memory.parameter_count(tmp_path) == 265


def test_a_model_without_safetensors_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    assert memory.parameter_count(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"weights", b"\xff" * 16, struct.pack("<Q", 4) + b"null"])
def test_a_file_that_is_no_safetensors_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model\.safetensors: no safetensors file"):
        memory.parameter_count(tmp_path)


@pytest.mark.parametrize(
    ("stage", "offload", "method", "bytes_a_parameter"),
    [
        (0, False, "Full", 16),
        (1, False, "Full", 4 + 4 + 8 / 8),
        (2, False, "Full", 4 + 4 / 8 + 8 / 8),
        (3, False, "Full", 16 / 8),
        (3, True, "Full", 8 / 8),
        (2, True, "Full", 4 + 4 / 8),
        (0, True, "Full", 16),
        (2, False, "LoRA", 4),
        (3, False, "LoRA", 4 / 8),
    ],
)
def test_memory_is_sixteen_bytes_a_parameter_divided_by_stage(
    stage: int, offload: bool, method: str, bytes_a_parameter: float
) -> None:
    deepspeed = {"zeroStage": stage, "offloadOptimizer": offload}
    config = training_config(Path("/r"), {"engine": "DeepSpeed", "deepspeed": deepspeed, "method": method})
    assert memory.bytes_needed(8000, config.training, processes=8) == 8000 * bytes_a_parameter


def test_seventy_billion_parameters_do_not_fit_on_sixteen_gpus_of_80_gb() -> None:
    config = training_config(Path("/r"), {"engine": "DeepSpeed", "deepspeed": {"zeroStage": 3}})
    parameters = int(70.6e9)
    assert memory.bytes_needed(parameters, config.training, 16) > 70 * 10**9
    assert memory.bytes_needed(parameters, config.training, 24) < 48 * 10**9


def test_what_cannot_fit_is_refused_with_the_way_out(root: Path, context: Context) -> None:
    safetensors(root / PREPARED / "model" / "model.safetensors", [1000, 1000, 1000])
    write_manifest(root / PREPARED, PREPARED.rpartition("-")[2], summary={})
    said = refusal(training_config(root), context)
    assert "1.0 billion parameters needs 16.0 GB at least" in said
    assert "this machine has 8.0 GB" in said
    assert "LoRA" in said


def test_processes_on_one_machine_share_its_memory(root: Path, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "allowed_cores", lambda: 8)
    safetensors(root / PREPARED / "model" / "model.safetensors", [400, 1000, 1000])
    write_manifest(root / PREPARED, PREPARED.rpartition("-")[2], summary={})
    checked(training_config(root), context)
    two = {"engine": "DeepSpeed", "deepspeed": {"zeroStage": 0}, "processesPerNode": 2}
    assert "needs 12.8 GB at least" in refusal(training_config(root, two), context)


def test_activations_are_recomputed_on_gpus_and_where_they_would_not_fit() -> None:
    training = training_config(Path("/r"), {"microBatchSize": 2}).training
    small, large = LLAMA, LLAMA | {"hidden_size": 4096, "num_hidden_layers": 32}
    assert recompute(small, GPU, training, 100) is True
    assert recompute(small, CPU, training, 100) is False
    assert recompute(large, CPU, training, 1000) is True
    assert recompute({"text_config": large}, CPU, training, 1000) is True
    assert recompute({}, CPU, training, 1000) is False


# Devices


def test_what_the_probe_says_becomes_devices() -> None:
    text = 'a library said something\n[{"memory": 5, "capability": [8, 6]}, {"memory": 6, "capability": [7, 5]}]\n'
    assert read_probe(text, flash_attention=True) == [
        Device(kind="cuda", memory=5, bf16=True, flash_attention=True),
        Device(kind="cuda", memory=6, bf16=False, flash_attention=False),
    ]


def test_no_gpus_are_no_devices() -> None:
    assert read_probe("[]\n", flash_attention=False) == []
