"""The base model's folder: is it one that can be sampled and trained, and how long may a sequence be."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tpt_runtime.artifacts.files import flush_file
from tpt_runtime.artifacts.manifest import FileEntry, file_entries
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.prepare.sources import WAY_OUT

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
TOKENIZERS = ("tokenizer.json", "*.model", "vocab*", "*.tiktoken", "tekken.json")
TOKENIZER_FILES = (*TOKENIZERS, "tokenizer*", "special_tokens_map.json", "added_tokens.json", "chat_template*", "merges.txt")


def check_model(folder: Path, shown: str) -> dict[str, Any]:
    """Return the model's config.json after checking that the folder holds a model that can be loaded.

    Raises:
        ConfigurationError: the folder, its config.json, weights or tokenizer is missing; it names what was looked for.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"{shown}: no such folder (looked at {folder}){WAY_OUT}")
    config = _config(folder, shown)
    if not any(any(folder.glob(pattern)) for pattern in WEIGHTS):
        raise ConfigurationError(f"{shown}: no weights; looked for {' or '.join(WEIGHTS)} in {folder}")
    for index in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        _check_index(folder / index, shown)
    for file in sorted(folder.glob("*.safetensors")):
        _check_safetensors(file, shown)
    if not any(any(folder.glob(pattern)) for pattern in TOKENIZERS):
        raise ConfigurationError(f"{shown}: no tokenizer; looked for {', '.join(TOKENIZERS)} in {folder}")
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


def _check_index(index: Path, shown: str) -> None:
    """Check that every shard that the weights' index names is there: an interrupted copy lacks some."""
    if not index.is_file():
        return
    try:
        files = set(json.loads(index.read_bytes())["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{shown}: {index} is no weight index: {error}") from error
    missing = sorted(name for name in files if not (index.parent / name).is_file())
    if missing:
        raise ConfigurationError(f"{shown}: {len(missing)} of {len(files)} weight files are missing, such as {missing[0]}")


def _check_safetensors(path: Path, shown: str) -> None:
    """Check that a file is as long as its header says: a copy that was cut off, or a Git LFS pointer, is not.

    The format: 8 bytes with the length of a JSON header, the header with each tensor's offsets, then the tensors
    (https://huggingface.co/docs/safetensors).
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(length) if length <= size - 8 else b""
    try:
        ends = [tensor["data_offsets"][1] for name, tensor in json.loads(text).items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        ends = []
    if not ends or size != 8 + length + max(ends):
        raise ConfigurationError(
            f"{shown}: {path} is no whole safetensors file ({size} bytes): it was cut off, or is a Git LFS pointer; copy it again"
        )


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
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the library below raises bare Exceptions at a damaged file
        raise ConfigurationError(f"{shown}: its tokenizer does not load: {type(error).__name__}: {error}") from error


def copy_tokenizer(model: Path, target: Path) -> None:
    """Copy the tokenizer's files, chat template included, as they are: later models get the same ones."""
    target.mkdir(parents=True, exist_ok=True)
    for pattern in TOKENIZER_FILES:
        for file in sorted(model.glob(pattern)):
            if file.is_file():
                shutil.copyfile(file, target / file.name)


@dataclass(frozen=True)
class BaseModel:
    """The base model's folder, and every file in it."""

    folder: Path
    files: dict[str, FileEntry]
    """By path relative to the folder; hidden ones, such as a clone's or a download's own records, are not among them."""
    downloaded: bool
    """Whether it was copied for this run, and so is the run's to move."""

    @classmethod
    def of(cls, folder: Path, *, downloaded: bool) -> "BaseModel":
        """Read and hash every file."""
        found = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
        shown = {name.as_posix(): path for name, path in found.items() if not any(part.startswith(".") for part in name.parts)}
        return cls(folder, file_entries(shown), downloaded)

    def place(self, target: Path) -> None:
        """Let `target` be the model: moved there if it was downloaded, else a link to where it lies."""
        if self.downloaded:
            for name in self.files:
                flush_file(self.folder / name)
            shutil.rmtree(self.folder / ".cache", ignore_errors=True)
            self.folder.rename(target)
        else:
            target.symlink_to(os.path.relpath(self.folder.resolve(), target.parent.resolve()), target_is_directory=True)
