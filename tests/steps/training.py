"""What the tests of train share: a tiny model that can be trained, examples in an artifact of the right shape, configurations."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.steps.conftest import write_tokenizer
from tpt_runtime.artifacts.files import write_rows
from tpt_runtime.artifacts.manifest import write_manifest
from tpt_runtime.core.configs import TrainConfig
from tpt_runtime.core.rows import Example

VOCABULARY = 260
END = 1
PREPARED = "prepare-0000000000000000"
PRUNED = "round-001/prune-1111111111111111"
TRAINED = "round-001/train-2222222222222222"


def tiny_model(folder: Path, *, hidden: int = 32, layers: int = 2, seed: int = 0) -> Path:
    """Write a random Llama in fp32, with its tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,  # the smallest that vLLM's attention on the CPU has
        max_position_embeddings=256,
        bos_token_id=0,
        eos_token_id=END,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def poison(model: Path) -> None:
    """Let the weights of `model` hold what a diverged training leaves."""
    import torch
    from safetensors.torch import load_file, save_file

    file = model / "model.safetensors"
    weights = load_file(file)
    save_file({name: torch.full_like(tensor, float("nan")) for name, tensor in weights.items()}, file, {"format": "pt"})


def examples(count: int, *, seed: int = 0, shortest: int = 6, longest: int = 60) -> list[Example]:
    """Return examples of unequal lengths, each ending in the end-of-sequence id."""
    generator = random.Random(seed)
    found: list[Example] = []
    for number in range(count):
        length = generator.randint(shortest, longest)
        ids = [0, *(generator.randrange(3, VOCABULARY) for _ in range(length - 2)), END]
        prompt = generator.randint(2, length // 2)
        found.append(Example(id=f"{number:016x}", round=1, sample=0, ids=ids, promptTokens=prompt))
    return found


def write_examples(root: Path, rows: list[Example], held_out: list[Example] | None = None, folder: str = PRUNED) -> str:
    """Write the artifact of a prune step and return its folder."""
    path = root / folder
    write_rows(path / "train.jsonl", rows)
    if held_out:
        write_rows(path / "validation.jsonl", held_out)
    summary = {"step": "prune", "examples": len(rows), "samples": {"total": 2 * len(rows), "correct": len(rows)}}
    write_manifest(path, folder.rpartition("-")[2], summary=summary)
    return folder


def workshop(root: Path, rows: list[Example], held_out: list[Example] | None = None, **model: Any) -> Path:
    """Write everything that a first round's training reads below `root`."""
    tiny_model(root / PREPARED / "model", **model)
    write_tokenizer(root / PREPARED / "tokenizer")
    write_manifest(root / PREPARED, PREPARED.rpartition("-")[2], summary={})
    write_examples(root, rows, held_out)
    return root


def training_config(root: Path, training: dict[str, Any] | None = None, **changes: Any) -> TrainConfig:
    """Return the configuration of a first round's training; `training` are its settings as a user writes them."""
    settings = {"engine": "Torch", "precision": "FP32", "batchSize": 8, "microBatchSize": 2, "maxLength": 128} | (training or {})
    body: dict[str, Any] = {
        "run": "tiny",
        "namespace": "default",
        "step": "train",
        "round": 1,
        "attempt": 1,
        "storage": str(root),
        "root": str(root),
        "digest": TRAINED.rpartition("-")[2],
        "path": TRAINED,
        "model": f"{PREPARED}/model",
        "tokenizer": f"{PREPARED}/tokenizer",
        "examples": [PRUNED],
        "training": settings,
        "learningRate": settings.get("learningRate", 1e-3),
        "seed": 0,
        "parentDigest": PREPARED.rpartition("-")[2],
    }
    return TrainConfig.model_validate(body | changes)


def launch(config: TrainConfig, **environment: str) -> "subprocess.Popen[str]":
    """Start the step as a program; its log comes as JSON lines on standard error."""
    import os

    command = [sys.executable, "-m", "tpt_runtime.train", config.model_dump_json(by_alias=True)]
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TPT_LOG": "json"} | environment,
    )


def run_to_end(config: TrainConfig, **environment: str) -> tuple[int, list[dict[str, Any]]]:
    """Run the step as a program; return its exit code and its events."""
    process = launch(config, **environment)
    _, log = process.communicate(timeout=300)
    return process.returncode, [json.loads(line) for line in log.splitlines() if line.startswith("{")]
