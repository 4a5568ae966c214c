"""What the sample step makes of the machine: memory, processor, and the processes that an engine starts."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tpt_runtime.core.errors import ConfigurationError, StepFailed
from tpt_runtime.sample import vllm_engine
from tpt_runtime.sample.engine import EngineSettings
from tpt_runtime.sample.machine import available_memory, computes_bfloat16
from tpt_runtime.sample.modelfolder import ModelFolder

LLAMA = {"num_hidden_layers": 3, "num_attention_heads": 4, "hidden_size": 128, "architectures": ["LlamaForCausalLM"]}


def files(folder: Path, **contents: str) -> Path:
    for name, text in contents.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def model_folder(folder: Path, config: dict[str, Any], weights: bytes = b"0" * 1000) -> ModelFolder:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "tokenizer.json").write_text("{}")
    return ModelFolder.open(folder)


def test_memory_is_what_the_system_has_left_or_the_container_if_that_is_less(tmp_path: Path) -> None:
    memory = tmp_path / "meminfo"
    memory.write_text("MemTotal: 9000 kB\nMemAvailable:    5000 kB\n")
    assert available_memory(tmp_path / "nowhere", memory) == 5000 * 1024
    limited = files(tmp_path, memory_max="4000000", memory_current="3000000", memory_stat="anon 1\ninactive_file 500000")
    assert available_memory(limited, memory) == 1_500_000
    assert available_memory(files(tmp_path, memory_max="max"), memory) == 5000 * 1024
    assert available_memory(files(tmp_path, memory_max="2000000"), memory) == 0, "more is used than may be"


def test_an_older_control_group_limits_memory_too(tmp_path: Path) -> None:
    memory = tmp_path / "meminfo"
    memory.write_text("MemAvailable:    5000 kB\n")
    group = tmp_path / "memory"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text("4000000\n")
    (group / "memory.usage_in_bytes").write_text("3000000\n")
    (group / "memory.stat").write_text("inactive_file 0\ntotal_inactive_file 250000\n")
    assert available_memory(tmp_path, memory) == 1_250_000
    (group / "memory.limit_in_bytes").write_text(f"{2**63}\n")
    assert available_memory(tmp_path, memory) == 5000 * 1024


@pytest.mark.parametrize(
    ("flags", "expected"), [("fpu avx512_bf16 sse", True), ("fpu amx_bf16 amx_tile", True), ("fpu avx512f avx512_vnni", False)]
)
def test_bfloat16_is_taken_where_the_processor_multiplies_it(tmp_path: Path, flags: str, expected: bool) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: {flags}\n\nprocessor : 1\n")
    assert computes_bfloat16(tmp_path / "cpuinfo") is expected
    assert not computes_bfloat16(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("more", "values"),
    [
        ({}, 2 * 3 * 4 * 32),
        ({"num_key_value_heads": 2}, 2 * 3 * 2 * 32),
        ({"head_dim": 64, "num_key_value_heads": 1}, 2 * 3 * 64),
    ],
)
def test_a_tokens_cache_is_keys_and_values_of_all_layers(more: dict[str, int], values: int) -> None:
    assert vllm_engine.cached_values(LLAMA | more) == values
    assert vllm_engine.cached_values({"text_config": LLAMA | more}) == values


def test_a_model_that_does_not_say_its_size_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"config.json has no 'num_hidden_layers'"):
        vllm_engine.cached_values({"hidden_size": 5})


def test_the_cache_holds_a_full_batch_where_memory_allows_and_half_of_what_is_free_where_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_folder(tmp_path / "model", LLAMA)
    block = 128 * 4 * 768
    monkeypatch.setattr(vllm_engine, "available_memory", lambda: 10**12)
    assert vllm_engine.cache_bytes(model, 129, 4) == (256 * 2 + 1) * block
    assert vllm_engine.cache_bytes(model, 128, 2) == (256 + 1) * block // 2
    monkeypatch.setattr(vllm_engine, "available_memory", lambda: 40 * block + 2000)
    assert vllm_engine.cache_bytes(model, 129, 4) == 20 * block


def test_too_little_memory_for_one_sequence_is_said_before_vllm_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_engine, "available_memory", lambda: 4000)
    with pytest.raises(
        StepFailed, match=r"4000 bytes of memory are free, too few for the model \(1000 bytes\) and one sequence of 96"
    ):
        vllm_engine.cache_bytes(model_folder(tmp_path / "model", LLAMA), 96, 4)


def test_without_vllm_the_extra_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(
        ConfigurationError, match=r"VLLM, but vLLM cannot be imported .*tpt-operator\[gpu\].*set the engine to Transformers"
    ):
        vllm_engine._import_vllm()


def test_several_gpus_are_asked_of_vllm_and_nothing_that_a_cpu_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_engine, "_built_for_cpu", lambda: False)
    monkeypatch.setattr(vllm_engine, "children_die_with_us", lambda: None)
    monkeypatch.setattr("os.environ", {})
    settings = EngineSettings(model=tmp_path, context=4096, tensor_parallel_size=4, log=lambda level, text: None)
    arguments = vllm_engine.engine_arguments(settings)
    assert (arguments["tensor_parallel_size"], arguments["dtype"], arguments["max_model_len"]) == (4, "auto", 4096)
    assert not {"enforce_eager", "enable_chunked_prefill", "kv_cache_memory_bytes", "max_num_seqs"} & arguments.keys()


def test_several_gpus_are_refused_where_vllm_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_engine, "_built_for_cpu", lambda: True)
    monkeypatch.setattr("os.environ", {})
    settings = EngineSettings(model=tmp_path, context=96, tensor_parallel_size=2, log=lambda level, text: None)
    with pytest.raises(ConfigurationError, match="tensorParallelSize: 2, but the vLLM that is installed runs without GPUs"):
        vllm_engine.engine_arguments(settings)


def test_on_a_cpu_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, str] = {}
    monkeypatch.setattr("os.environ", given)
    vllm_engine._set_environment(cpu=True)
    assert given["TORCHDYNAMO_DISABLE"] == "1"
    assert given["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"


FORKING = """
import multiprocessing, os, signal, socket, sys, time
from tpt_runtime.sample.offspring import children_die_with_us
reader, writer = socket.socketpair()
writer.setblocking(False)
signal.set_wakeup_fd(writer.fileno())
signal.signal(signal.SIGTERM, lambda *_: None)
children_die_with_us()
def idle(told):
    os.kill(os.getpid(), signal.SIGTERM)
    told.send(True)
    time.sleep(60)
mine, theirs = multiprocessing.Pipe()
multiprocessing.get_context("fork").Process(target=idle, args=(theirs,), daemon=True).start()
mine.recv()
reader.setblocking(False)
try:
    woken = reader.recv(1)
except BlockingIOError:
    woken = b""
print(len(woken), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_forked_child_dies_with_a_killed_parent_and_its_signals_are_its_own() -> None:
    with subprocess.Popen([sys.executable, "-c", FORKING], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        woken = int(parent.stdout.readline())
        parent.communicate(timeout=30)  # the pipe is at its end once the last process that holds it has gone
    assert parent.returncode == -9
    assert woken == 0, "a signal to the child is none to the parent"


class Ends:
    """A tokenizer that knows its end-of-sequence token."""

    def __init__(self, end: int | None) -> None:
        self.eos_token_id = end

    def decode(self, token_ids: Any, **options: Any) -> str:
        raise NotImplementedError

    def encode(self, text: str, **options: Any) -> list[int]:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("tokenizer", "generation", "config", "expected"),
    [
        (1, {"eos_token_id": [9, 1]}, {}, (1, 9)),
        (1, {"eos_token_id": 107}, {"eos_token_id": 3}, (1, 107)),
        (1, {}, {"eos_token_id": 3}, (1, 3)),
        (1, {"eos_token_id": None}, {"text_config": {"eos_token_id": [4, 5]}}, (1, 4, 5)),
        (None, {"eos_token_id": [0]}, {}, (0,)),
        (2, None, {}, (2,)),
    ],
)
def test_a_sample_ends_at_the_tokenizers_end_and_at_those_that_the_model_names(
    tmp_path: Path, tokenizer: int | None, generation: dict[str, Any] | None, config: dict[str, Any], expected: tuple[int, ...]
) -> None:
    folder = model_folder(tmp_path / "model", LLAMA | config)
    if generation is not None:
        (folder.path / "generation_config.json").write_text(json.dumps(generation))
    assert ModelFolder.open(folder.path).end_ids(Ends(tokenizer)) == expected


@pytest.mark.parametrize(
    ("config", "context"),
    [
        ({"max_position_embeddings": 96}, 96),
        ({"n_positions": 7}, 7),
        ({"text_config": {"max_position_embeddings": 5}}, 5),
        ({}, None),
    ],
)
def test_the_context_is_read_from_the_models_configuration(tmp_path: Path, config: dict[str, Any], context: int | None) -> None:
    assert model_folder(tmp_path / "model", config).context == context


@pytest.mark.parametrize(("content", "expected"), [("[]", "expected a JSON object, found list"), ("{", "no JSON")])
def test_a_configuration_that_is_none_is_named(tmp_path: Path, content: str, expected: str) -> None:
    folder = model_folder(tmp_path / "model", LLAMA).path
    (folder / "generation_config.json").write_text(content)
    with pytest.raises(ConfigurationError, match=f"generation_config.json: {expected}"):
        ModelFolder.open(folder)
