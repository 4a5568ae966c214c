"""How many samples a prompt gets where it may stop early: wave after wave, until it has as many as pruning would keep.

What a prompt gets hangs on its own samples alone, and sample i on the prompt's seed and i. So neither shards, nor order, nor an
interruption change anything, and the samples of a prompt that stopped are the first ones that it would have had under Fixed: with
the same number of samples at most, the same prompts are solved.

A prompt that has nothing to keep in the end may be tried once more with the answer in it (rationalization, as in STaR).

Samples are graded here by the verifier that prune grades with, and its policies say which could be kept. A verdict that is not
reached within the time limit depends on the machine: it counts as wrong, here as there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import NamedTuple, Self

from tpt_runtime.core.choices import Strategy, Weighting
from tpt_runtime.core.difficulty import wanted
from tpt_runtime.core.rows import Sample
from tpt_runtime.core.spec import Pruning
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.sample.engine import Generated, Request
from tpt_runtime.sample.feeding import Finish, Job
from tpt_runtime.step.cores import allowed_cores
from tpt_runtime.verify.arithmetic import WITH_EQUATIONS, has_false_equation
from tpt_runtime.verify.likeness import likeness
from tpt_runtime.verify.pool import MAX_WORKERS, GradingPool
from tpt_runtime.verify.protocol import Grade, verifier

CUT_OFF = Grade(Verdict.TRUNCATED)


class Judged(NamedTuple):
    """What grading says of one sample."""

    correct: bool
    kind: str | None
    """Equal for samples of a prompt of which pruning keeps one only; None if it would not keep this one at all."""


class Judge:
    """Grades samples as they are drawn; a context manager that owns the worker processes."""

    def __init__(self, pruning: Pruning) -> None:
        """Judge by what `pruning` would keep."""
        self.pruning = pruning
        settings = pruning.verifier
        self._pool = GradingPool(verifier(settings.type), settings.timeout_seconds, min(allowed_cores(), MAX_WORKERS))

    def __enter__(self) -> Self:
        """Return the judge."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the workers."""
        self._pool.close()

    def judge(self, samples: Sequence[Sample], reference: str) -> list[Judged]:
        """Return what there is to say of each of `samples`, which answer a question with this `reference`."""
        texts = ((one, CUT_OFF if one["finish"] == "length" else one["text"], reference) for one in samples)
        return [self._judged(one, grade) for one, grade in self._pool.grade(texts)]

    def _judged(self, sample: Sample, grade: Grade) -> Judged:
        correct = grade.verdict is Verdict.CORRECT
        usable = correct and (grade.marked or not self.pruning.verifier.require_marker) and not self._is_false(sample)
        return Judged(correct, likeness(sample["text"], self.pruning.deduplicate, sample["index"]) if usable else None)

    def _is_false(self, sample: Sample) -> bool:
        asked = self.pruning.check_arithmetic and self.pruning.verifier.type in WITH_EQUATIONS
        return asked and has_false_equation(sample["text"])


WEIGHTINGS = {Strategy.STOP_WHEN_CORRECT: Weighting.UNIFORM, Strategy.DIFFICULTY_AWARE: Weighting.PROP2DIFF}
"""How many a prompt needs, by the strategies that may stop early: each as many, or the fewer, the easier it turns out to be."""


@dataclass
class Course:
    """One prompt on its way: what it has, and what it needs next."""

    whole: Request
    """All samples that the prompt may have."""
    reference: str
    judge: Judge
    strategy: Strategy
    second_try: Request | None = None
    """What is generated with the answer as a hint if nothing else can be kept."""
    drawn: int = 0
    correct: int = 0
    kinds: set[str] = field(default_factory=set)

    @property
    def missing(self) -> int:
        """Return how many more samples are wanted that pruning would keep."""
        most = self.judge.pruning.max_correct_per_prompt
        return wanted(most, WEIGHTINGS[self.strategy], self.drawn, self.correct) - len(self.kinds)

    def wave(self) -> Request | None:
        """Return what is to be generated now, None if the prompt has enough or nothing is left.

        That is what is missing, but at least half of what was drawn so far: so a hard prompt is done after few waves, and little
        is drawn in vain.
        """
        if self.strategy is Strategy.FIXED:
            return None if self.drawn else self.whole
        left = self.whole.drawing.samples - self.drawn
        missing = self.missing
        if missing <= 0 or not left:
            return None
        size = min(max(missing, self.drawn // 2), left)
        drawing = replace(self.whole.drawing, samples=size)
        key = f"{self.whole.key}/{self.drawn}" if self.drawn else self.whole.key
        return replace(self.whole, key=key, drawing=drawing, seed=self.whole.seed + self.drawn, first=self.drawn)

    def begin(self, whole: Job) -> Job:
        """Return the first job of the prompt; `whole` would generate all of it."""
        return replace(whole, request=self.wave() or whole.request, more=self.more)

    def more(self, job: Job, samples: list[Sample]) -> Job | None:
        """Take what a job brought, and return what follows from it."""
        self.take(samples)
        if (wave := self.wave()) is not None:
            return replace(job, request=wave)
        if self.kinds or self.second_try is None:
            return None
        return replace(job, request=replace(self.second_try, first=self.drawn), finish=_hinted(job.finish), more=None)

    def take(self, samples: list[Sample]) -> None:
        """Take note of what was drawn."""
        judged = self.judge.judge(samples, self.reference)
        self.drawn += len(samples)
        self.correct += sum(one.correct for one in judged)
        self.kinds.update(one.kind for one in judged if one.kind is not None)


def _hinted(finish: Finish) -> Finish:
    """Return what makes samples and marks them as drawn with a hint."""

    def marked(request: Request, generated: list[Generated]) -> list[Sample]:
        return [Sample(**sample, hinted=True) for sample in finish(request, generated)]

    return marked
