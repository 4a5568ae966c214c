"""Where a prune step reads from: the prepared prompts and the samples of one part, checked before anything is graded.

Everything is read in the order of the prepared prompts, so that what is written does not hang on how sampling went about it.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tpt_runtime.artifacts.files import read_rows
from tpt_runtime.artifacts.manifest import verified_file
from tpt_runtime.artifacts.samples import SHARD_MANIFESTS, PromptKey, SampleFiles
from tpt_runtime.artifacts.storage import Storage
from tpt_runtime.core.configs import GradePart, SelectPart
from tpt_runtime.core.rows import Example
from tpt_runtime.core.verifier import Verifier
from tpt_runtime.prune.grading import Graded, Grader, Question
from tpt_runtime.step.context import Context
from tpt_runtime.verify.machine import check_machine


@dataclass(frozen=True)
class Source:
    """The questions of a part, and the files with its samples; it can be read more than once."""

    prompts: dict[str, Path]
    """Prepared prompts, file by data set."""
    questions: dict[PromptKey, Question]
    samples: SampleFiles

    @classmethod
    def open(cls, root: Path, part: GradePart | SelectPart, storage: Storage) -> "Source":
        """Read the questions; compare them and the samples with their manifests, and see that none is missing."""
        prompts = {name: root / file for name, file in part.prompts.items()}
        for file in prompts.values():
            storage.fetch(file.parent, file.name)
        storage.fetch_samples(root / part.samples, SHARD_MANIFESTS)
        questions = {
            PromptKey(name, row["id"]): Question(row["question"], row["reference"])
            for name, file in prompts.items()
            for row in read_rows(verified_file(file))
        }
        samples = SampleFiles(root / part.samples, part.samples_digest)
        samples.require(questions)
        return cls(prompts, questions, samples)

    def graded(self, settings: Verifier, context: Context) -> Iterator[Graded]:
        """Yield every prompt with its grades; say how far it is, and stop when asked to."""
        if gap := check_machine(settings):
            context.warn(gap)
        with Grader(settings, self.questions) as grader:
            for done, graded in enumerate(grader.grade(self.samples.read(self.questions)), 1):
                context.progress(done, len(self.questions))
                context.check()
                yield graded

    def examples(self, chosen: Sequence[tuple[PromptKey, int]], number: int) -> Iterator[Example]:
        """Yield the training rows of `chosen` (prompt, sample index) in that order: the prompt's ids, then the sample's."""
        wanted = set(chosen)
        keys = {key: None for key, _ in chosen}
        prompts = dict(self._prompt_ids(keys))
        samples = {
            (key, sample["index"]): array("I", sample["ids"])
            for key, row in zip(keys, self.samples.read(keys), strict=True)
            for sample in row["samples"]
            if (key, sample["index"]) in wanted
        }
        for key, index in chosen:
            ids = [*prompts[key], *samples[key, index]]
            yield Example(id=key.id, round=number, sample=index, ids=ids, promptTokens=len(prompts[key]))

    def _prompt_ids(self, keys: Iterable[PromptKey]) -> Iterator[tuple[PromptKey, "array[int]"]]:
        wanted = set(keys)
        for name, file in self.prompts.items():
            for row in read_rows(file):
                if (key := PromptKey(name, row["id"])) in wanted:
                    yield key, array("I", row["promptIds"])
