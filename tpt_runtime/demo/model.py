"""The quickstart's base model: a small Llama, trained from scratch on the base corpus in about a minute on two cores.

What comes out is an ordinary Hugging Face folder: config, float32 safetensors, tokenizer, generation config with the end of
sequence. The same seed gives the same bytes on the same machine; between kinds of CPU sums differ in their last bits, so the
weights do too. Training here is pre-training, a plain loop over all tokens: a round's training is the train step's work.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final, Protocol

from tpt_runtime.demo.folder import Tell
from tpt_runtime.step.cores import let_idle_threads_sleep

END: Final = "<|end|>"
PAD: Final = "<|pad|>"
HIGHEST_NUMBER: Final = 199
"""Every number up to here is one token; the corpus stays below."""
LARGEST_VOCABULARY: Final = 2000
"""Not reached: all words of the corpus have become tokens long before."""
SECONDS_BETWEEN_LINES: Final = 5.0
IGNORED: Final = -100
TIED: Final = "lm_head.weight"
"""The output layer; the same tensor as the embeddings, so it is stored once."""


class Solved(Protocol):
    """A question with a solution."""

    @property
    def question(self) -> str:
        """The question."""

    @property
    def answer(self) -> str:
        """The solution."""


@dataclass(frozen=True)
class Recipe:
    """How the base model is made."""

    rows: int = 8000
    steps: int = 1200
    batch_size: int = 16
    learning_rate: float = 3e-3
    """At the first step; it falls linearly to zero."""
    layers: int = 3
    hidden: int = 128
    heads: int = 4
    inner: int = 320
    context: int = 256
    """Longest sequence in tokens."""
    threads: int = 2
    """Fixed, because the order of a sum depends on it."""


def as_text(row: Solved) -> str:
    """Return a row as the base model reads it; a run's prompt is this up to and including `A:`."""
    return f"Q: {row.question} A: {row.answer}"


def build_tokenizer(texts: Sequence[str]) -> Any:
    """Return a byte-level BPE tokenizer in which every word of `texts` and every number up to 199 is one token.

    All 256 bytes are in it, so any text can be encoded.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=LARGEST_VOCABULARY,
        special_tokens=[END, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    numbers = [f" {number}" for number in range(HIGHEST_NUMBER + 1)]
    tokenizer.train_from_iterator([*texts, *numbers, *numbers], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, clean_up_tokenization_spaces=False, padding_side="left"
    )


def write_model(folder: Path, corpus: Sequence[Solved], seed: int, recipe: Recipe, tell: Tell) -> None:
    """Train the base model on `corpus` and write it to `folder` as a Hugging Face model.

    Args:
        folder: created if need be.
        corpus: what to learn; the vocabulary comes from it too.
        seed: of the first weights and of the order of the rows.
        recipe: sizes and settings.
        tell: takes a line every few seconds.
    """
    let_idle_threads_sleep()
    import torch

    texts = [as_text(row) for row in corpus]
    tokenizer = build_tokenizer(texts)
    ids = [[*found, tokenizer.eos_token_id] for found in tokenizer(texts, return_attention_mask=False)["input_ids"]]
    with _reproducible(recipe.threads), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _first_weights(tokenizer, recipe)
        tell(f"base model: {model.num_parameters():,} parameters, {len(ids):,} solutions, {recipe.steps} steps")
        _train(model, _batches(ids, seed, recipe), recipe, tell)
    save_model(folder, model)
    tokenizer.save_pretrained(folder)


def save_model(folder: Path, model: Any) -> None:
    """Write weights, config and generation config of a model with tied embeddings, in fp32, as Hugging Face lays them out.

    `save_pretrained` would do, but imports the training libraries and draws a progress bar.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().float().contiguous() for name, tensor in model.state_dict().items() if name != TIED}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)


def _first_weights(tokenizer: Any, recipe: Recipe) -> Any:
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    special = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.inner,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=recipe.context,
        tie_word_embeddings=True,
        dtype="float32",
        **special,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(do_sample=True, **special)
    return model


def _batches(ids: Sequence[list[int]], seed: int, recipe: Recipe) -> Iterator[list[list[int]]]:
    """Yield a batch for each step; every row comes once before any comes again."""
    rng = Random(f"order {seed}")
    order: list[int] = []
    for _ in range(recipe.steps):
        while len(order) < recipe.batch_size:
            order += [index for _, index in sorted((rng.random(), index) for index in range(len(ids)))]
        taken, order = order[: recipe.batch_size], order[recipe.batch_size :]
        yield [ids[index] for index in taken]


def _train(model: Any, batches: Iterator[list[list[int]]], recipe: Recipe, tell: Tell) -> None:
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=0.0)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / recipe.steps)
    model.train()
    started = said = time.monotonic()
    for step, batch in enumerate(batches, 1):
        inputs, labels = _padded(batch, model.config.pad_token_id)
        loss = model(input_ids=inputs, labels=labels, use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        decay.step()
        now = time.monotonic()
        if step == recipe.steps or now - said >= SECONDS_BETWEEN_LINES:
            tell(f"base model: step {step} of {recipe.steps}, loss {loss.item():.3f}, {now - started:.0f} s")
            said = now


def _padded(batch: list[list[int]], pad: int) -> tuple[Any, Any]:
    """Return input ids and labels, both (rows, longest row). Padding is on the right, where causal attention never looks."""
    import torch

    longest = max(map(len, batch))
    inputs = [row + [pad] * (longest - len(row)) for row in batch]
    labels = [row + [IGNORED] * (longest - len(row)) for row in batch]
    return torch.tensor(inputs), torch.tensor(labels)


@contextmanager
def _reproducible(threads: int) -> Iterator[None]:
    """Have torch compute in the same order every time; afterwards it is set as it was."""
    import torch

    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(mode=True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(mode=before[1])
