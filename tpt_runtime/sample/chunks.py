"""Which prompts a shard owns, and the files in which the samples of a part come to lie.

    chunk-00001-of-00004-a2-9f31c0de-000007.jsonl    the samples of some prompts: shard, attempt, process, sequence number
    shard-00001-of-00004.manifest.json               written last: the chunk files that cover this shard's prompts

A chunk appears whole or not at all, so resuming is reading: whatever prompt stands in any chunk of the folder, of whichever
shard count, is done. A shard whose number of shards changed therefore finds its share partly done by others, and its manifest
lists their files too. Two processes never write to the same file.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tpt_runtime.artifacts.files import read_rows, write_rows
from tpt_runtime.artifacts.samples import PromptKey
from tpt_runtime.core.errors import ArtifactError, ConfigurationError
from tpt_runtime.core.layout import MANIFEST
from tpt_runtime.core.rows import SampledPrompt

Item = TypeVar("Item")

CHUNKS = "chunk-*.jsonl"


@dataclass(frozen=True)
class Shard:
    """One of `count` processes that share out the prompts of a part."""

    index: int
    count: int

    def __post_init__(self) -> None:
        """Refuse an index that owns nothing by mistake."""
        if not 0 <= self.index < self.count:
            raise ConfigurationError(
                f"JOB_COMPLETION_INDEX: {self.index}, but there are {self.count} shards; allowed: 0 to {self.count - 1}"
            )

    def __str__(self) -> str:
        """Return the shard as it is named in files."""
        return f"{self.index:05d}-of-{self.count:05d}"

    @property
    def manifest(self) -> str:
        """Name of the manifest that says that this shard is done with a part."""
        return f"shard-{self}.{MANIFEST}"

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return this shard's items, those whose index leaves `index` when divided by `count`: each item has one owner."""
        return items[self.index :: self.count]


class Done(NamedTuple):
    """Where the samples of one prompt lie, and how much that is."""

    file: Path
    samples: int
    tokens: int


class ChunkFolder:
    """The chunks of one part."""

    def __init__(self, folder: Path, samples: range) -> None:
        """Read from and write to `folder`; `samples` is how many a prompt may have."""
        self.folder = folder
        self._samples = samples
        self.done: dict[PromptKey, Done] = {}

    def read(self) -> None:
        """Take note of every prompt that is done.

        Raises:
            ArtifactError: a file is damaged; it is named, and what to do.
        """
        for path in sorted(self.folder.glob(CHUNKS)):
            for number, row in enumerate(_rows(path), 1):
                self._note(path, self._checked(path, number, row))

    def write(self, path: Path, rows: Sequence[SampledPrompt]) -> None:
        """Write `rows` as the chunk `path`."""
        write_rows(path, rows)
        for row in rows:
            self._note(path, row)

    def counts(self, keys: Iterable[PromptKey]) -> dict[str, int]:
        """Return how many prompts, samples and tokens `keys`, all done, amount to."""
        total: Counter[str] = Counter(prompts=0, samples=0, tokens=0)
        for key in keys:
            done = self.done[key]
            total.update(prompts=1, samples=done.samples, tokens=done.tokens)
        return dict(total)

    def files(self, keys: Iterable[PromptKey]) -> list[Path]:
        """Return the chunks that hold `keys`, all done."""
        return sorted({self.done[key].file for key in keys})

    @property
    def _expected(self) -> str:
        fewest, most = self._samples[0], self._samples[-1]
        return f"{most}" if fewest == most else f"{fewest} to {most}, in order"

    def _note(self, path: Path, row: SampledPrompt) -> None:
        tokens = sum(sample["tokens"] for sample in row["samples"])
        self.done.setdefault(PromptKey(row["set"], row["id"]), Done(path, len(row["samples"]), tokens))

    def _checked(self, path: Path, number: int, row: Any) -> SampledPrompt:
        try:
            PromptKey(row["set"], row["id"])
            indexes = [(sample["index"], sample["tokens"])[0] for sample in row["samples"]]
        except (KeyError, TypeError) as error:
            raise _damaged(path, f"line {number} is not the samples of a prompt ({error!r})") from error
        if len(indexes) not in self._samples or indexes != list(range(len(indexes))):
            raise _damaged(path, f"line {number} has {len(indexes)} samples of {row['id']}, expected {self._expected}")
        return row  # type: ignore[no-any-return]


class ChunkNames:
    """Names for this process's chunks of one part, never used before."""

    def __init__(self, folder: Path, shard: Shard, attempt: int) -> None:
        """Name chunks in `folder`; what an interrupted write of this shard left there is removed."""
        stem = f"chunk-{shard}-a{attempt}"
        for partial in folder.glob(f".chunk-{shard}-*.partial"):
            partial.unlink(missing_ok=True)
        self._prefix = folder / f"{stem}-{os.urandom(4).hex()}"
        self._next = 0

    def __next__(self) -> Path:
        """Return the next one."""
        self._next += 1
        return self._prefix.with_name(f"{self._prefix.name}-{self._next:06d}.jsonl")


def _rows(path: Path) -> Iterator[Any]:
    try:
        yield from read_rows(path)
    except (ArtifactError, UnicodeDecodeError) as error:
        raise _damaged(path, str(error).removeprefix(f"{path}, ")) from error


def _damaged(path: Path, why: str) -> ArtifactError:
    return ArtifactError(f"{path}: damaged chunk of samples: {why}; delete this file, and its prompts are sampled again")
