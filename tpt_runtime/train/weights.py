"""Models read, merged, written and compared. Imports torch; used by the training processes only.

A model is loaded in fp32 whatever it was saved in, and saved in fp32. Its configuration is the parent's, word for word, with
the data type set: what a trainer changed in it for its own purposes is no part of the model.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.spec import Lora

SHARD_SIZE = "5GB"


def load(folder: Path, attention: str) -> Any:
    """Return the causal language model in `folder`, in fp32.

    Raises:
        ConfigurationError: transformers does not know the model, or not with this attention.
    """
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation=attention, local_files_only=True
        )
    except (ValueError, ImportError, KeyError) as error:
        raise ConfigurationError(f"model: {folder} cannot be loaded for training: {error}") from error


def adapter(lora: Lora | None) -> Any:
    """Return PEFT's description of the adapter; by default every linear layer but the head is adapted."""
    from peft import LoraConfig

    lora = lora or Lora()
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules or "all-linear",
    )


def trained_weights(trainer: Any) -> dict[str, torch.Tensor] | None:
    """Return all weights on process 0 and None elsewhere. Every process must call it: ZeRO-3 gathers them."""
    if trainer.is_deepspeed_enabled and trainer.accelerator.state.deepspeed_plugin.zero_stage == 3:
        gathered = trainer.accelerator.get_state_dict(trainer.model_wrapped)
        return gathered if trainer.is_world_process_zero() else None
    return trainer.model.state_dict() if trainer.is_world_process_zero() else None


def save(trainer: Any, weights: dict[str, torch.Tensor], parent: Path, folder: Path) -> None:
    """Write the trained model to `folder`; an adapter is merged into the parent's fp32 weights first."""
    model = trainer.model
    if hasattr(model, "peft_config"):
        model, weights = _merged(model, weights, parent)
    model.save_pretrained(folder, state_dict=weights, max_shard_size=SHARD_SIZE)
    _keep_description(parent, folder)


def _merged(adapted: Any, weights: dict[str, torch.Tensor], parent: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()  # else ZeRO-3 would shard this model as well
    settings = adapted.peft_config["default"]
    fresh = get_peft_model(load(parent, "eager"), settings)
    set_peft_model_state_dict(fresh, get_peft_model_state_dict(adapted, state_dict=weights))
    merged = fresh.merge_and_unload()
    return merged, merged.state_dict()


def _keep_description(parent: Path, folder: Path) -> None:
    """Take configuration and generation settings over from the parent."""
    description = json.loads((parent / "config.json").read_bytes())
    description.pop("torch_dtype", None)
    description["dtype"] = "float32"
    (folder / "config.json").write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if (parent / "generation_config.json").exists():
        shutil.copyfile(parent / "generation_config.json", folder / "generation_config.json")


def changed_share(parent: Path, folder: Path) -> tuple[float, float]:
    """Return which share of the weights in `folder` differs from `parent`'s, and which still does after both are rounded to bf16.

    Tensors that the parent stores under no such name (it may have been saved by another library) are not compared.
    """
    before = dict(_tensors(parent))
    total = changed = visible = 0
    for name, read in _tensors(folder):
        if name in before:
            old, new = before[name]().float(), read().float()
            total += new.numel()
            changed += int((old != new).sum())
            visible += int((old.bfloat16() != new.bfloat16()).sum())
    return (changed / total, visible / total) if total else (0.0, 0.0)


def _tensors(folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield the name of every tensor in `folder` and how to read it, one at a time."""
    from safetensors import safe_open

    files = sorted(folder.glob("*.safetensors"))
    for path in files:
        opened: Any = safe_open(path, framework="pt")
        for name in opened.keys():  # noqa: SIM118 - it is no mapping
            yield name, _reader(opened, name)
    for path in [] if files else sorted(folder.glob("pytorch_model*.bin")):
        for name, tensor in torch.load(path, mmap=True, weights_only=True).items():
            yield name, lambda tensor=tensor: tensor


def _reader(opened: Any, name: str) -> Any:
    return lambda: opened.get_tensor(name)
