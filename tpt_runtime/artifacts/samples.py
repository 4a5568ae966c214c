"""Reading the samples of one part: all shards together, each prompt once, none missing, in whatever order the reader asks for.

A shard's manifest (`shard-00000-of-00004.manifest.json`) lists the chunk files that cover its share of the prompts. In which
chunk a prompt lies, and where in it, hangs on which was finished first; so whoever reads goes by prompt, and comes to the same
result however often sampling was interrupted and over however many shards it was spread.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tpt_runtime.artifacts.files import parse_row
from tpt_runtime.artifacts.manifest import verified
from tpt_runtime.core.errors import ArtifactError
from tpt_runtime.core.layout import MANIFEST
from tpt_runtime.core.rows import SampledPrompt

BEGINNING = re.compile(rb'\{"id":"([^"\\]+)","set":"([^"\\]+)",')
"""How a row of samples begins, as they are written; so its prompt is known without reading all of it."""


SHARD_MANIFESTS = f"shard-*.{MANIFEST}"


class PromptKey(NamedTuple):
    """Names a prompt; the same question may stand in validation and in eval, and is sampled for both."""

    set: str
    id: str


class _Place(NamedTuple):
    """Where the samples of one prompt lie."""

    file: Path
    line: int
    """From 1."""
    offset: int
    """Bytes before it."""
    size: int
    """Bytes."""


def chunk_files(folder: Path, digest: str) -> list[Path]:
    """Return the chunk files that the shards' manifests list, after comparing sizes and hashes.

    Raises:
        ArtifactError: no shard has ended, or one does not fit its manifest.
    """
    manifests = sorted(folder.glob(SHARD_MANIFESTS))
    if not manifests:
        raise ArtifactError(f"{folder}: no shard has ended; the sample step has to run again")
    files: dict[Path, None] = {}
    for manifest in manifests:
        for name in verified(folder, digest, manifest.name).files:
            files[folder / name] = None
    return list(files)


class SampleFiles:
    """The samples of one part, by prompt. Only places are held in memory."""

    def __init__(self, folder: Path, digest: str) -> None:
        """Check the files in `folder`, and find out where every prompt lies.

        A prompt that two attempts sampled has the same samples in both, since seeds hang on the prompt: the first is taken.

        Raises:
            ArtifactError: no shard has ended, one does not fit its manifest, or a row is damaged.
        """
        self._folder = folder
        self._places: dict[PromptKey, _Place] = {}
        for file in chunk_files(folder, digest):
            self._find(file)

    def read(self, keys: Iterable[PromptKey]) -> Iterator[SampledPrompt]:
        """Yield the samples of `keys`, in that order.

        Raises:
            ArtifactError: one of them has no samples.
        """
        for key in keys:
            place = self._places.get(key)
            row: SampledPrompt | None = _read(place) if place else None
            if row is None or not row["samples"]:
                raise ArtifactError(
                    f"{self._folder}: prompt {key.id} of {key.set} has no samples; the sample step has to run again"
                )
            yield row

    def require(self, keys: Iterable[PromptKey]) -> None:
        """Raise `ArtifactError` unless every one of `keys` is there: it says how many are not, before any time is spent."""
        wanted = list(keys)
        missing = [key for key in wanted if key not in self._places]
        if missing:
            raise ArtifactError(
                f"{self._folder}: {len(missing)} of {len(wanted)} prompts have no samples, such as {missing[0].id} of "
                f"{missing[0].set}; the sample step has to run again"
            )

    def _find(self, file: Path) -> None:
        offset = 0
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                place = _Place(file, number, offset, len(line))
                self._places.setdefault(_key(line, place), place)
                offset += len(line)


def _key(line: bytes, place: _Place) -> PromptKey:
    if found := BEGINNING.match(line):
        return PromptKey(found[2].decode(), found[1].decode())
    where = f"{place.file}, line {place.line}"
    row = parse_row(line, where)
    if not isinstance(row.get("id"), str) or not isinstance(row.get("set"), str):
        raise ArtifactError(
            f"{where}: not the samples of a prompt, which have an id and a set; delete the file, and sample again"
        )
    return PromptKey(row["set"], row["id"])


def _read(place: _Place) -> SampledPrompt:
    with place.file.open("rb") as file:
        file.seek(place.offset)
        row: SampledPrompt = parse_row(file.read(place.size), f"{place.file}, line {place.line}")
    return row
