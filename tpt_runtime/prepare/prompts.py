"""Writes the prompts of one data set: rendered, tokenized, and only those that leave the model room to answer."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tpt_runtime.artifacts.files import write_rows
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.rows import PreparedPrompt
from tpt_runtime.core.spec import Dataset
from tpt_runtime.prepare.hints import Hints
from tpt_runtime.prepare.questions import Question
from tpt_runtime.prepare.render import Renderer, Tokenizer
from tpt_runtime.step.context import Context

BATCH = 1000
"""Prompts that are tokenized at once."""


@dataclass
class Room:
    """Which prompts leave the model room, and how many do not."""

    limit: int | None
    """Longest sequence that the model takes, in tokens; None: unknown."""
    max_tokens: int
    """Longest sample."""
    too_long: int = 0
    """Prompts that fill the model's context: left out."""
    cramped: int = 0
    """Prompts that leave less than the longest sample: kept, and said."""

    def take(self, rows: Iterable[PreparedPrompt]) -> Iterator[PreparedPrompt]:
        """Yield the prompts that can be sampled."""
        for row in rows:
            length = len(row["promptIds"])
            if self.limit is not None and length >= self.limit:
                self.too_long += 1
                continue
            if self.limit is not None and length + self.max_tokens > self.limit:
                self.cramped += 1
            yield row

    def warn(self, name: str, context: Context) -> None:
        """Say what does not fit of the data set `name`."""
        if self.too_long:
            context.warn(f"{self.too_long} {name} prompts fill the model's context of {self.limit} tokens: skipped")
        if self.cramped:
            context.warn(
                f"{self.cramped} {name} prompts leave less than spec.sampling.maxTokens = {self.max_tokens} of the model's "
                f"context of {self.limit} tokens: longer solutions count as truncated"
            )


def write_prompts(path: Path, rows: Iterable[PreparedPrompt], room: Room) -> int:
    """Write those of `rows` that fit, and return how many do.

    Raises:
        ConfigurationError: none does.
    """
    written = write_rows(path, room.take(rows))
    if not written:
        raise ConfigurationError(
            f"spec.dataset.{path.stem}: every prompt fills the model's context of {room.limit} tokens; none is left to sample"
        )
    return written


def in_batches(
    dataset: Dataset, questions: list[Question], tokenizer: Tokenizer, hints: Hints | None
) -> Iterator[list[PreparedPrompt]]:
    """Yield what the model will see of `questions`, in batches; those that may be tried a second time with their `hints`."""
    for start in range(0, len(questions), BATCH):
        batch = questions[start : start + BATCH]
        rows = render_prompts(dataset, batch, tokenizer)
        if hints is not None:
            hints.add(rows, batch)
        yield rows


def render_prompts(dataset: Dataset, questions: list[Question], tokenizer: Tokenizer) -> list[PreparedPrompt]:
    """Return what the model will see of `questions`, as text and as token ids."""
    renderer = Renderer(dataset.prompt, "", None)
    texts = [renderer.model_text(tokenizer, question.text) for question in questions]
    ids = renderer.token_ids(tokenizer, texts)
    return [
        PreparedPrompt(id=q.id, question=q.question, prompt=text, promptIds=tokens, reference=q.reference)
        for q, text, tokens in zip(questions, texts, ids, strict=True)
    ]
