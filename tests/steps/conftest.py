"""What tests of steps share: a tiny tokenizer and model folder, and a way to run a step in this process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.object_store import bucket, stores, wire
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.spec import API_VERSION, KIND, Run
from tpt_runtime.step.context import Context

__all__ = ["bucket", "stores", "wire"]


class SilentJournal:
    """Keeps events for assertions."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def event(self, event: str, /, **fields: Any) -> None:
        self.events.append({"event": event, **fields})

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def context() -> Context:
    return Context(SilentJournal())


CHAT_TEMPLATE = (
    "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)


def write_tokenizer(folder: Path, *, chat: bool = True) -> None:
    """Write a byte-level tokenizer of 260 tokens whose post-processor adds <s> in front, as Llama's does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<s>": 0, "</s>": 1, "<pad>": 2} | {token: number for number, token in enumerate(alphabet, 3)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    if chat:
        fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)


HEADER = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
WEIGHTS = len(HEADER).to_bytes(8, "little") + HEADER + b"1234"
"""A safetensors file of one number."""


def write_model(folder: Path, *, chat: bool = True, context: int = 256) -> Path:
    """Write a folder that has everything a model folder has, except that its weights are of a model that is nowhere loaded."""
    folder.mkdir(parents=True)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "max_position_embeddings": context}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    write_tokenizer(folder, chat=chat)
    return folder


RunOf = Callable[..., Run]


@pytest.fixture
def run_of() -> RunOf:
    """Return a function that builds a run; keyword arguments replace sections of its spec."""

    def build(**sections: Any) -> Run:
        spec: dict[str, Any] = {
            "model": {"uri": "model"},
            "dataset": {"train": {"uri": "train.jsonl"}, "prompt": {"mode": "Completion"}},
            "pruning": {"minExamples": 1},
            "storage": {"persistentVolumeClaim": {"claimName": "runs"}},
        }
        body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "test"}, "spec": spec | sections}
        return Run.model_validate(body)

    return build


@pytest.fixture
def commands(run_of: RunOf, tmp_path: Path) -> Callable[..., Commands]:
    """Return a function that builds the commands of a run whose storage is `tmp_path`."""

    def build(**sections: Any) -> Commands:
        return Commands(run_of(**sections), storage=str(tmp_path), root=str(tmp_path / "artifacts"))

    return build


def write_jsonl(path: Path, rows: list[Any]) -> None:
    """Write `rows` to `path`."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def problems(count: int, first: int = 0) -> list[dict[str, str]]:
    """Return `count` different questions with answers."""
    return [{"question": f"What is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(first, first + count)]
