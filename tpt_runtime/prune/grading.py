"""Grades on samples, prompt by prompt, in worker processes under a time limit."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Self

from tpt_runtime.core.choices import VerifierType
from tpt_runtime.core.rows import Grade, GradedPrompt, PreparedPrompt, Sample, SampledPrompt
from tpt_runtime.core.spec import Verifier
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.verify.pool import GradingPool
from tpt_runtime.verify.protocol import Grade as Verdicts
from tpt_runtime.verify.protocol import verifier

BATCH = 256
"""Prompts that are handed to the pool at once: many enough to keep its processes busy, few enough to keep memory flat."""


@dataclass(frozen=True)
class Graded:
    """One prompt with its samples and their grades."""

    prompt: PreparedPrompt
    sampled: SampledPrompt
    row: GradedPrompt
    strict_applies: bool
    """Whether GSM8KStrict can read the reference."""

    @property
    def correct(self) -> list[Sample]:
        """Return the samples that are right."""
        pairs = zip(self.sampled["samples"], self.row["grades"], strict=True)
        return [sample for sample, grade in pairs if grade["verdict"] == Verdict.CORRECT]

    @property
    def distinct(self) -> int:
        """Return how many texts differ, white space aside."""
        return len({" ".join(sample["text"].split()) for sample in self.sampled["samples"]})


class Grader:
    """Grades samples by a run's verifier, and by GSM8KStrict beside it; a context manager that owns the worker processes."""

    def __init__(self, settings: Verifier, prompts: Mapping[str, PreparedPrompt]) -> None:
        """Grade samples of `prompts` (by id) under `settings`."""
        self._prompts = prompts
        self._settings = settings
        self._strict = verifier(VerifierType.GSM8K_STRICT)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start the pool."""
        pool = GradingPool(verifier(self._settings.type), timeout_seconds=self._settings.timeout_seconds)
        self._pool = self._stack.enter_context(pool)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the pool."""
        self._stack.close()

    def grade(self, rows: Iterable[SampledPrompt]) -> Iterator[Graded]:
        """Yield every prompt with its grades, in order."""
        iterator = iter(rows)
        while batch := list(islice(iterator, BATCH)):
            ended = [(row, sample) for row in batch for sample in row["samples"] if sample["finish"] != "length"]
            stream = ((None, sample["text"], self._prompts[row["id"]]["reference"]) for row, sample in ended)
            verdicts = (grade for _, grade in self._pool.grade(stream))
            for row in batch:
                yield self._graded(row, verdicts)

    def _graded(self, row: SampledPrompt, verdicts: Iterator[Verdicts]) -> Graded:
        prompt = self._prompts[row["id"]]
        applies = self._strict.check_reference(prompt["reference"]) is None
        grades: list[Grade] = []
        for sample in row["samples"]:
            verdict = Verdicts(Verdict.TRUNCATED) if sample["finish"] == "length" else next(verdicts)
            right = self._strict.grade(sample["text"], prompt["reference"]).verdict is Verdict.CORRECT
            grades.append(_row(sample, verdict, strict=applies and sample["finish"] != "length" and right))
        return Graded(prompt, row, GradedPrompt(id=row["id"], set=row["set"], grades=grades), applies)


def _row(sample: Sample, verdict: Verdicts, *, strict: bool) -> Grade:
    grade = Grade(verdict=verdict.verdict.value, strict=strict, marked=verdict.marked, tokens=sample["tokens"])
    if verdict.answer is not None:
        grade["answer"] = verdict.answer
    return grade
