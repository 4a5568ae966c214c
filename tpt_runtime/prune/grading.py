"""Grades on samples, prompt by prompt, in worker processes under a time limit."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from types import TracebackType
from typing import NamedTuple, Self

from tpt_runtime.artifacts.samples import PromptKey
from tpt_runtime.core.choices import VerifierType
from tpt_runtime.core.rows import Grade, GradedPrompt, Sample, SampledPrompt
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.core.verifier import Verifier
from tpt_runtime.step.cores import allowed_cores
from tpt_runtime.verify.pool import MAX_WORKERS, GradingPool
from tpt_runtime.verify.protocol import Grade as Verdicts
from tpt_runtime.verify.protocol import time_limit, verifier, verifier_of

CUT_OFF = Verdicts(Verdict.TRUNCATED)
ANSWERS = (VerifierType.MATH, VerifierType.GSM8K_STRICT)
"""Verifiers under which a reference is an answer; GSM8KStrict says something beside them only."""


class Question(NamedTuple):
    """What grading needs of a prepared prompt; a round has many, so nothing else of them stays in memory."""

    question: str
    reference: str


@dataclass(frozen=True)
class Graded:
    """One prompt with its samples and their grades."""

    question: Question
    sampled: SampledPrompt
    row: GradedPrompt
    strict_applies: bool
    """Whether GSM8KStrict can read the reference."""

    @property
    def key(self) -> PromptKey:
        """Return which prompt it is."""
        return PromptKey(self.row["set"], self.row["id"])

    @property
    def pairs(self) -> list[tuple[Sample, Grade]]:
        """Return every sample with its grade."""
        return list(zip(self.sampled["samples"], self.row["grades"], strict=True))

    @property
    def unaided(self) -> GradedPrompt:
        """Return the grades of what was drawn without a hint: only these say something of the model."""
        return GradedPrompt(id=self.key.id, set=self.key.set, grades=[one for one in self.row["grades"] if not one.get("hinted")])

    @property
    def correct(self) -> list[int]:
        """Return the indexes of the samples that are right."""
        return [sample["index"] for sample, grade in self.pairs if grade["verdict"] == Verdict.CORRECT]

    @property
    def distinct(self) -> int:
        """Return how many texts differ, white space aside, of what was drawn without a hint."""
        return len({" ".join(sample["text"].split()) for sample in self.sampled["samples"] if not sample.get("hinted")})


class Grader:
    """Grades samples by a run's verifier, and by GSM8KStrict beside it; a context manager that owns the worker processes."""

    def __init__(self, settings: Verifier, questions: Mapping[PromptKey, Question]) -> None:
        """Grade samples of `questions` under `settings`."""
        self._questions = questions
        self._settings = settings
        self._strict = verifier(VerifierType.GSM8K_STRICT)
        self._compares_answers = settings.type in ANSWERS
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start the pool."""
        workers = min(allowed_cores(), MAX_WORKERS)
        pool = GradingPool(verifier_of(self._settings), time_limit(self._settings.type, self._settings.timeout_seconds), workers)
        self._pool = self._stack.enter_context(pool)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the pool."""
        self._stack.close()

    def grade(self, rows: Iterable[SampledPrompt]) -> Iterator[Graded]:
        """Yield every prompt with its grades, in order; every row has at least one sample, and each prompt stands once."""
        graded = self._pool.grade(self._solutions(rows))
        for key, group in groupby(graded, lambda pair: _key(pair[0])):
            rows_of_it, verdicts = zip(*group, strict=True)
            yield self._graded(key, rows_of_it[0], verdicts)

    def _solutions(self, rows: Iterable[SampledPrompt]) -> Iterator[tuple[SampledPrompt, str | Verdicts, str]]:
        for row in rows:
            reference = self._questions[_key(row)].reference
            for sample in row["samples"]:
                yield row, CUT_OFF if sample["finish"] == "length" else sample["text"], reference

    def _graded(self, key: PromptKey, row: SampledPrompt, verdicts: Iterable[Verdicts]) -> Graded:
        question = self._questions[key]
        applies = self._compares_answers and self._strict.check_reference(question.reference) is None
        grades = [
            _row(sample, verdict, strict=self._is_right(sample, question.reference))
            for sample, verdict in zip(row["samples"], verdicts, strict=True)
        ]
        return Graded(question, row, GradedPrompt(id=key.id, set=key.set, grades=grades), applies)

    def _is_right(self, sample: Sample, reference: str) -> bool:
        """Return whether a sample that ended by itself is right under GSM8KStrict."""
        if not self._compares_answers or sample["finish"] == "length":
            return False
        return self._strict.grade(sample["text"], reference).verdict is Verdict.CORRECT


def _key(row: SampledPrompt) -> PromptKey:
    return PromptKey(row["set"], row["id"])


def _row(sample: Sample, verdict: Verdicts, *, strict: bool) -> Grade:
    grade = Grade(verdict=verdict.verdict.value, strict=strict, marked=verdict.marked, tokens=sample["tokens"])
    if verdict.answer is not None:
        grade["answer"] = verdict.answer
    if sample.get("hinted"):
        grade["hinted"] = True
    return grade
