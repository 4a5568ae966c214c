"""One part of a sample step, seen by one shard: its prompts, what of them is done, and its manifest at the end."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from tpt_runtime.artifacts.files import read_rows
from tpt_runtime.artifacts.manifest import Manifest, verified_file, write_manifest
from tpt_runtime.artifacts.samples import PromptKey
from tpt_runtime.artifacts.storage import Storage
from tpt_runtime.core.choices import Strategy
from tpt_runtime.core.configs import SampleConfig, SamplePart
from tpt_runtime.core.errors import ArtifactError
from tpt_runtime.core.names import prompt_seed
from tpt_runtime.core.rows import SampledPrompt
from tpt_runtime.core.status import SampleSummary
from tpt_runtime.sample.chunks import CHUNKS, ChunkFolder, ChunkNames, Shard
from tpt_runtime.sample.engine import Drawing, Request

PromptIds = tuple[int, ...]


class Asked(NamedTuple):
    """What is needed of one prompt."""

    ids: PromptIds
    reference: str | None
    """Only where samples are graded as they are drawn."""
    hinted: PromptIds | None
    """The prompt with the answer in it; only where there may be a second try, and the model has room for it."""

    @property
    def longest(self) -> int:
        """Return the tokens of the longer prompt."""
        return max(len(self.ids), len(self.hinted or ()))


class Part:
    """What is left to do of one part, and what was done."""

    def __init__(self, config: SampleConfig, settings: SamplePart, shard: Shard, storage: Storage) -> None:
        """Read the prompts and the chunks that are there, and have them here before.

        Raises:
            ArtifactError: a file of either is missing or damaged.
        """
        root = Path(config.root)
        self.settings = settings
        self.longest_prompt = 0
        """In tokens, over all shards: so that every shard's engine is set up alike."""
        self._config = config
        self._shard = shard
        self._storage = storage
        for file in settings.prompts.values():
            storage.fetch((root / file).parent, Path(file).name)
        storage.fetch_files(root / settings.path, CHUNKS)
        self._share = dict(shard.share(list(self._prompts(root))))
        most = settings.samples_per_prompt
        fewest = most if settings.strategy is Strategy.FIXED else 1
        self._chunks = ChunkFolder(root / settings.path, range(fewest, most + settings.hinted_samples + 1))
        self._chunks.read()
        self._names = ChunkNames(root / settings.path, shard, config.attempt)

    def __len__(self) -> int:
        """Return how many prompts this shard owns."""
        return len(self._share)

    @property
    def pending(self) -> list[PromptKey]:
        """This shard's prompts that are not done, in order."""
        return [key for key in self._share if key not in self._chunks.done]

    def reference(self, key: PromptKey) -> str:
        """Return the reference answer of a prompt of this shard, whose samples are graded as they are drawn."""
        reference = self._share[key].reference
        if reference is None:
            raise ArtifactError(f"prompt {key.id} of {key.set}: no reference answer; the prepare step has to run again")
        return reference

    def requests(self, stop_ids: frozenset[int]) -> Iterator[tuple[Request, PromptKey]]:
        """Yield a request for all samples of every pending prompt."""
        settings = self.settings
        drawing = Drawing(
            samples=settings.samples_per_prompt,
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=settings.top_k,
            max_tokens=settings.max_tokens,
            stop=tuple(settings.stop),
            stop_ids=stop_ids,
        )
        for key in self.pending:
            seed = prompt_seed(settings.seed, settings.round, settings.purpose, key.id)
            yield Request(f"{settings.digest}/{key.set}/{key.id}", self._share[key].ids, drawing, seed), key

    def second_try(self, key: PromptKey, whole: Request) -> Request | None:
        """Return the request that gives a prompt the answer as a hint; `whole` is the one without. None: there is no such try."""
        hinted, settings = self._share[key].hinted, self.settings
        if hinted is None:
            return None
        seed = prompt_seed(settings.seed, settings.round, "rationalize", key.id)
        drawing = replace(whole.drawing, samples=settings.hinted_samples)
        return replace(whole, key=f"{whole.key}/hint", prompt_ids=hinted, drawing=drawing, seed=seed)

    def write(self, rows: list[SampledPrompt]) -> None:
        """Write the samples of some prompts, whole or not at all."""
        path = next(self._names)
        self._chunks.write(path, rows)
        self._storage.keep(path)

    def finish(self, seconds: Mapping[str, float]) -> Manifest:
        """Write this shard's manifest, after the last prompt."""
        counts = self._chunks.counts(self._share)
        summary = SampleSummary(
            step=self._config.step, digest=self.settings.digest, shard=self._shard.index, seconds=dict(seconds), **counts
        )
        manifest = write_manifest(
            self._chunks.folder,
            self.settings.digest,
            summary=summary.full_wire(),
            counts=counts,
            name=self._shard.manifest,
            files=self._chunks.files(self._share),
        )
        return self._storage.conclude(self._chunks.folder, self._shard.manifest, manifest)

    def _prompts(self, root: Path) -> Iterator[tuple[PromptKey, Asked]]:
        for data_set, file in self.settings.prompts.items():
            for number, row in enumerate(read_rows(verified_file(root / file)), 1):
                try:
                    asked = self._asked(row)
                    yield PromptKey(data_set, row["id"]), asked
                except (KeyError, TypeError) as error:
                    raise ArtifactError(f"{root / file}, line {number}: not a prepared prompt ({error!r})") from error
                self.longest_prompt = max(self.longest_prompt, asked.longest)

    def _asked(self, row: Any) -> Asked:
        hinted = row.get("hintedIds") if self.settings.hinted_samples else None
        return Asked(
            ids=tuple(row["promptIds"]),
            reference=row["reference"] if self.settings.pruning else None,
            hinted=None if hinted is None else tuple(hinted),
        )
