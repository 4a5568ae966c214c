"""Which samples become training examples: the policies, pure.

`Correct` is the method. `Parseable` and `Random` are its controls: as many samples, drawn from all prompts without regard to what
is right, so that what correctness adds can be told from what more training adds. They are not drawn from the prompts that
`Correct` keeps: to be among those, a prompt must have a right sample, and that choice alone was seen to be worth ten points of
pass@1 (docs/decisions/0006-controls.md).
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tpt_runtime.core.choices import Keep
from tpt_runtime.core.spec import Pruning
from tpt_runtime.core.verdict import Verdict


class Fate(StrEnum):
    """What became of one sample, and why."""

    KEPT = "kept"
    NOT_CORRECT = "not correct"
    NOT_ENDED = "not ended"
    """It was cut off at maxTokens."""
    NO_ANSWER = "no answer"
    UNMARKED = "answer not marked"
    """Right, but only as the last number: counted in evaluation, not trained on (requireMarker)."""
    FALSE_EQUATION = "false equation"
    """Right, but one of its equations is not (checkArithmetic)."""
    REPEATED = "repeats another sample"
    ENOUGH = "enough of this prompt"
    CAPPED = "over maxExamples"
    NOT_DRAWN = "not drawn"
    """A control draws as many as Correct would keep; this one was not among them."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One graded sample, as far as selection needs it."""

    index: int
    verdict: Verdict
    marked: bool
    likeness: str
    """Equal for samples that count as the same under the run's `deduplicate`."""
    false_equation: bool = False
    """Whether it states one; only asked of what is correct."""


class Selection:
    """Chooses the examples of a round, prompt by prompt and then under the cap; the order of the prompts changes nothing."""

    def __init__(self, pruning: Pruning, seed: int, number: int) -> None:
        """Choose for round `number` of a run with `seed`."""
        self.correct = 0
        """Samples that are correct, whatever became of them."""
        self.false_equations = 0
        """Those among them that state a false equation."""
        self.fates: Counter[Fate] = Counter()
        """How many samples each fate met."""
        self.left_out: dict[tuple[str, int], Fate] = {}
        """Samples (prompt id, index) that their prompt had kept and that were left out after the last prompt, and why."""
        self._size = 0
        self._pruning = pruning
        self._lot = f"{seed}/{number}"
        self._chosen: list[tuple[str, str, int]] = []

    def add(self, prompt: str, candidates: Sequence[Candidate]) -> dict[int, Fate]:
        """Return the fate of every sample of `prompt` by index; some of what it keeps may yet be left out (see `close`)."""
        most = self._pruning.max_correct_per_prompt
        fates = correct = _keep(candidates, self._pruning, Keep.CORRECT, most)
        self.correct += sum(candidate.verdict is Verdict.CORRECT for candidate in candidates)
        self.false_equations += sum(candidate.false_equation for candidate in candidates)
        self._size += sum(fate is Fate.KEPT for fate in correct.values())
        if self._pruning.keep is not Keep.CORRECT:
            drawn = sorted(candidates, key=lambda candidate: _lot(f"{self._lot}/{prompt}/{candidate.index}"))
            fates = _keep(drawn, self._pruning, self._pruning.keep, most)
        self.fates.update(fates.values())
        kept = [index for index, fate in fates.items() if fate is Fate.KEPT]
        self._chosen += [(_lot(f"{self._lot}/shuffle/{prompt}/{index}"), prompt, index) for index in kept]
        return fates

    def close(self) -> list[tuple[str, int]]:
        """Return what is kept, (prompt id, sample index) in training order; call it once, after the last prompt.

        By lot a control keeps as many as Correct would, and then everybody at most `maxExamples`.
        """
        chosen = [(prompt, index) for _, prompt, index in sorted(self._chosen)]
        cap = self._pruning.max_examples
        self.left_out = dict.fromkeys(chosen[self._size :], Fate.NOT_DRAWN) | dict.fromkeys(chosen[cap : self._size], Fate.CAPPED)
        self.fates += Counter(self.left_out.values())
        self.fates -= Counter({Fate.KEPT: len(self.left_out)})
        return chosen[: min(cap, self._size)]


def _keep(candidates: Sequence[Candidate], pruning: Pruning, keep: Keep, size: int) -> dict[int, Fate]:
    """Keep the first `size` eligible candidates that differ from one another, in the order given."""
    fates: dict[int, Fate] = {}
    seen: set[str] = set()
    for candidate in candidates:
        fate = _ineligible(candidate, keep, pruning)
        if fate is None:
            fate = Fate.REPEATED if candidate.likeness in seen else Fate.ENOUGH if len(seen) >= size else Fate.KEPT
        if fate is Fate.KEPT:
            seen.add(candidate.likeness)
        fates[candidate.index] = fate
    return fates


def _ineligible(candidate: Candidate, keep: Keep, pruning: Pruning) -> Fate | None:
    """Return why a sample may not be kept under `keep`, or None."""
    if candidate.verdict is Verdict.TRUNCATED:
        return Fate.NOT_ENDED
    if keep is Keep.RANDOM:
        return None
    if candidate.verdict not in (Verdict.CORRECT, Verdict.WRONG):
        return Fate.NO_ANSWER
    if keep is Keep.CORRECT and candidate.verdict is not Verdict.CORRECT:
        return Fate.NOT_CORRECT
    if keep is Keep.CORRECT and pruning.check_arithmetic and candidate.false_equation:
        return Fate.FALSE_EQUATION
    return Fate.UNMARKED if pruning.verifier.require_marker and not candidate.marked else None


def _lot(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
