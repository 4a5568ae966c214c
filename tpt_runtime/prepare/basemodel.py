"""The base model's folder: is it one that can be sampled and trained, and how long may a sequence be."""

import json
import shutil
from pathlib import Path
from typing import Any

from tpt_runtime.core.errors import ConfigurationError

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
TOKENIZER_FILES = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "vocab*",
    "merges.txt",
    "spiece.model",
    "*.tiktoken",
)


def check_model(folder: Path, shown: str) -> dict[str, Any]:
    """Return the model's config.json after checking that the folder holds a model that can be loaded.

    Raises:
        ConfigurationError: the folder, its config.json, weights or tokenizer is missing; it names what was looked for.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"{shown}: no such folder (looked at {folder})")
    config = _config(folder, shown)
    if not any(any(folder.glob(pattern)) for pattern in WEIGHTS):
        raise ConfigurationError(f"{shown}: no weights; looked for {' or '.join(WEIGHTS)} in {folder}")
    _check_index(folder, shown)
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")):
        raise ConfigurationError(f"{shown}: no tokenizer; looked for tokenizer.json or tokenizer.model in {folder}")
    return config


def _config(folder: Path, shown: str) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigurationError(f"{shown}: no config.json in {folder}; is it a Hugging Face model folder?") from error
    except ValueError as error:
        raise ConfigurationError(f"{shown}: {path} is no JSON: {error}") from error
    if not isinstance(config, dict) or not config.get("architectures"):
        raise ConfigurationError(f"{shown}: {path} names no architectures, so it cannot be told what model this is")
    return config


def _check_index(folder: Path, shown: str) -> None:
    """Check that every shard that the weights' index names is there: an interrupted copy lacks some."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return
    try:
        files = set(json.loads(index.read_bytes())["weight_map"].values())
    except (ValueError, KeyError, AttributeError) as error:
        raise ConfigurationError(f"{shown}: {index} is no weight index: {error}") from error
    missing = sorted(name for name in files if not (folder / name).is_file())
    if missing:
        raise ConfigurationError(f"{shown}: {len(missing)} of {len(files)} weight files are missing, such as {missing[0]}")


def context_length(config: dict[str, Any]) -> int | None:
    """Return the longest sequence that the model takes, in tokens; None when its configuration does not say."""
    for part in (config, config.get("text_config") or {}):
        for key in ("max_position_embeddings", "n_positions", "max_sequence_length"):
            if isinstance(part.get(key), int):
                return int(part[key])
    return None


def load_tokenizer(folder: Path, shown: str) -> Any:
    """Return the model's own tokenizer, from local files only; code that a model brings along is never run.

    Raises:
        ConfigurationError: it does not load.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise ConfigurationError(f"{shown}: its tokenizer does not load: {type(error).__name__}: {error}") from error


def copy_tokenizer(model: Path, target: Path) -> None:
    """Copy the tokenizer's files, chat template included, as they are: later models get the same ones."""
    target.mkdir(parents=True, exist_ok=True)
    for pattern in TOKENIZER_FILES:
        for file in sorted(model.glob(pattern)):
            if file.is_file():
                shutil.copyfile(file, target / file.name)
