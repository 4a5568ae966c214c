"""Where a prune step reads from: the prepared prompts and the samples of one part, checked before anything is graded."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tpt_runtime.artifacts.files import read_rows
from tpt_runtime.artifacts.samples import chunk_files, read_samples
from tpt_runtime.core.configs import GradePart, SelectPart
from tpt_runtime.core.rows import Example, PreparedPrompt, Sample, SampledPrompt
from tpt_runtime.core.spec import Verifier
from tpt_runtime.prune.grading import Graded, Grader
from tpt_runtime.step.context import Context


@dataclass(frozen=True)
class Source:
    """Prompts by id, and the files with their samples; it can be read more than once."""

    prompts: dict[str, PreparedPrompt]
    files: list[Path]

    @classmethod
    def open(cls, root: Path, part: GradePart | SelectPart) -> "Source":
        """Read the prompts; compare the sample files with their manifests."""
        prompts = {row["id"]: row for file in part.prompts.values() for row in read_rows(root / file)}
        return cls(prompts, chunk_files(root / part.samples, part.samples_digest))

    def samples(self) -> Iterator[SampledPrompt]:
        """Yield the samples of every prompt."""
        return read_samples(self.files, self.prompts.keys())

    def graded(self, settings: Verifier, context: Context) -> Iterator[Graded]:
        """Yield every prompt with its grades; say how far it is, and stop when asked to."""
        with Grader(settings, self.prompts) as grader:
            for done, graded in enumerate(grader.grade(self.samples()), 1):
                context.progress(done, len(self.prompts))
                context.check()
                yield graded

    def example(self, sampled: SampledPrompt, sample: Sample, number: int) -> Example:
        """Return the training row of one sample: the prompt's ids, then the sample's."""
        prompt = self.prompts[sampled["id"]]["promptIds"]
        return Example(
            id=sampled["id"],
            round=number,
            sample=sample["index"],
            ids=[*prompt, *sample["ids"]],
            promptTokens=len(prompt),
        )
