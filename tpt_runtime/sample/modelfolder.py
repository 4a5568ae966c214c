"""The folder of the model that is sampled: is it complete, how long may a sequence be, and what ends one.

Nothing here imports torch: a folder that cannot be sampled is refused before an engine is started.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.sample.tokens import Tokenizer

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")


@dataclass(frozen=True)
class ModelFolder:
    """A model that was found complete."""

    path: Path
    config: dict[str, Any]
    generation: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> "ModelFolder":
        """Check `path`.

        Raises:
            ConfigurationError: the folder, its configuration, weights or tokenizer is missing or unreadable.
        """
        if not path.is_dir():
            raise ConfigurationError(f"{path}: no such folder; the step that makes this model has to run again")
        config = _read(path / "config.json")
        if not any(any(path.glob(pattern)) for pattern in WEIGHTS):
            raise ConfigurationError(f"{path}: no weights; looked for {' or '.join(WEIGHTS)}. Delete the folder to make it again")
        if not any((path / name).is_file() for name in TOKENIZERS):
            raise ConfigurationError(
                f"{path}: no tokenizer; looked for {', '.join(TOKENIZERS)}. Delete the folder to make it again"
            )
        generation = path / "generation_config.json"
        return cls(path, config, _read(generation) if generation.is_file() else {})

    @property
    def context(self) -> int | None:
        """The longest sequence that the model takes, in tokens; None when its configuration does not say."""
        for part in (self.config, self.config.get("text_config") or {}):
            for key in ("max_position_embeddings", "n_positions", "max_sequence_length"):
                if isinstance(part.get(key), int):
                    return int(part[key])
        return None

    def load_tokenizer(self) -> Tokenizer:
        """Return the model's tokenizer, from local files; code that a model brings along is never run.

        Raises:
            ConfigurationError: it does not load.
        """
        from transformers import AutoTokenizer

        try:
            tokenizer: Tokenizer = AutoTokenizer.from_pretrained(self.path, local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
            raise ConfigurationError(f"{self.path}: its tokenizer does not load: {type(error).__name__}: {error}") from error
        return tokenizer

    def end_ids(self, tokenizer: Tokenizer) -> tuple[int, ...]:
        """Return the tokens that end a sequence, the tokenizer's own first, then those of the generation configuration.

        A chat model may have several: the end of a turn, the end of the text.

        Raises:
            ConfigurationError: there is none.
        """
        sources = (self.generation, self.config, self.config.get("text_config") or {})
        given = next((part["eos_token_id"] for part in sources if part.get("eos_token_id") is not None), None)
        listed = given if isinstance(given, list) else [given]
        ids = dict.fromkeys(one for one in (tokenizer.eos_token_id, *listed) if one is not None)
        if not ids:
            raise ConfigurationError(
                f"{self.path}: neither tokenizer, generation_config.json nor config.json names an end-of-sequence token "
                "(eos_token_id), so no sample would ever end; add one to generation_config.json"
            )
        return tuple(ids)


def special_ids(tokenizer: Any, texts: tuple[str, ...]) -> frozenset[int]:
    """Return the ids of those `texts` that are special tokens: they never show in decoded text, so they must stop as tokens."""
    return frozenset(number for number, token in tokenizer.added_tokens_decoder.items() if token.special and str(token) in texts)


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path}: missing; is its folder a Hugging Face model?") from error
    except ValueError as error:
        raise ConfigurationError(f"{path}: no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value
