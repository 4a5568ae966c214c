"""Training rows from what the prune steps kept. Nothing is tokenized here: ids are trained on as they were sampled."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tpt_runtime.artifacts.files import read_rows
from tpt_runtime.core.errors import ArtifactError
from tpt_runtime.core.layout import HELD_OUT, TRAINING_SET

IGNORED = -100
"""The label of a token that has no part in the loss, as PyTorch's cross entropy and TRL know it."""


@dataclass(frozen=True)
class Row:
    """One example: the prompt's tokens, then the sample's."""

    ids: tuple[int, ...]
    prompt_tokens: int

    @property
    def trained(self) -> int:
        """Tokens that the loss is taken on."""
        return len(self.ids) - self.prompt_tokens

    def labels(self) -> list[int]:
        """Return the ids with every prompt token ignored."""
        return [IGNORED] * self.prompt_tokens + list(self.ids[self.prompt_tokens :])


@dataclass(frozen=True)
class ExampleSet:
    """What is trained on, and how many examples were left out for what reason."""

    rows: list[Row]
    dropped: int = 0
    """Longer than maxLength: cutting one would cut off its answer."""
    repeated: int = 0
    """The same sample of the same prompt, kept in several rounds."""

    @property
    def lengths(self) -> list[int]:
        """Tokens of every row, prompts included."""
        return [len(row.ids) for row in self.rows]


def training_set(folders: Sequence[Path], max_length: int) -> ExampleSet:
    """Read the training sets in `folders`, the latest last; a repetition counts where it stood first.

    Raises:
        ArtifactError: a file is missing or a line is no example.
    """
    rows: dict[tuple[str, tuple[int, ...]], Row] = {}
    dropped = repeated = 0
    for folder in folders:
        for name, row in _examples(folder / TRAINING_SET):
            if len(row.ids) > max_length:
                dropped += 1
            elif (name, row.ids) in rows:
                repeated += 1
            else:
                rows[name, row.ids] = row
    return ExampleSet(list(rows.values()), dropped, repeated)


def held_out_set(folder: Path, max_length: int) -> ExampleSet:
    """Read the held-out examples in `folder`; empty when there are none."""
    path = folder / HELD_OUT
    found = [row for _, row in _examples(path)] if path.exists() else []
    kept = [row for row in found if len(row.ids) <= max_length]
    return ExampleSet(kept, dropped=len(found) - len(kept))


def _examples(path: Path) -> Iterator[tuple[str, Row]]:
    for number, line in enumerate(read_rows(path), 1):
        yield str(line.get("id")), _row(path, number, line)


def _row(path: Path, number: int, line: dict[str, Any]) -> Row:
    ids, prompt_tokens = line.get("ids"), line.get("promptTokens")
    if not isinstance(ids, list) or not all(isinstance(token, int) and token >= 0 for token in ids):
        raise ArtifactError(f"{path}, line {number}: ids: expected a list of token ids, found {str(ids)[:40]}")
    if not isinstance(prompt_tokens, int) or not 1 <= prompt_tokens < len(ids):
        raise ArtifactError(
            f"{path}, line {number}: promptTokens: found {prompt_tokens}, allowed is 1 to {len(ids) - 1}: an example has a "
            "prompt and something to learn; the prune step has to run again"
        )
    return Row(tuple(ids), prompt_tokens)
