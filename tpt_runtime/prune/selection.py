"""Which samples become training examples: the policies, pure.

`Correct` is the method. `Parseable` and `Random` are its controls: as many samples of the same prompts, right or wrong, so
that what correctness adds can be told from what more training adds.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from tpt_runtime.core.choices import Deduplicate, Keep
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
    REPEATED = "repeats another sample"
    ENOUGH = "enough of this prompt"
    CAPPED = "over maxExamples"
    NOT_DRAWN = "not drawn"
    """A control draws as many as Correct would keep; this one was not among them."""


@dataclass(frozen=True)
class Candidate:
    """One graded sample, as far as selection needs it."""

    index: int
    verdict: Verdict
    marked: bool
    likeness: str
    """Equal for samples that count as the same under the run's `deduplicate`."""


@dataclass
class Selection:
    """What is kept of a round: (prompt id, sample index) in training order, and the fate of every sample."""

    kept: list[tuple[str, int]] = field(default_factory=list)
    fates: dict[tuple[str, int], Fate] = field(default_factory=dict)
    correct: int = 0
    """Samples that are correct, whatever became of them."""


EQUATION = re.compile(r"[-+*/×÷().\d\s$%]*\d[-+*/×÷().\d\s$%]*=\s*\$?-?[\d.,]*\d")


def likeness(text: str, how: Deduplicate, index: int) -> str:
    """Return the key under which samples of one prompt count as the same.

    Text: white space normalised. Equations: the list of equations in order, as in RFT (arXiv 2308.01825); a text
    without any is compared as text. None: never the same.
    """
    if how is Deduplicate.NONE:
        return str(index)
    if how is Deduplicate.EQUATIONS:
        equations = ["".join(found.split()).lstrip(".") for found in EQUATION.findall(text)]
        if equations:
            return "\n".join(equations)
    return " ".join(text.split())


def select(prompts: Iterable[tuple[str, list[Candidate]]], pruning: Pruning, seed: int, number: int) -> Selection:
    """Choose the examples of round `number` from all graded prompts; the result does not depend on their order."""
    selection = Selection()
    chosen: list[tuple[str, int]] = []
    for prompt, candidates in prompts:
        selection.correct += sum(candidate.verdict is Verdict.CORRECT for candidate in candidates)
        fates = _fates(candidates, pruning, f"{seed}/{number}/{prompt}")
        selection.fates |= {(prompt, index): fate for index, fate in fates.items()}
        chosen += [(prompt, index) for index, fate in fates.items() if fate is Fate.KEPT]
    chosen.sort(key=lambda pair: _lot(f"{seed}/{number}/shuffle/{pair[0]}/{pair[1]}"))
    selection.kept = chosen[: pruning.max_examples]
    selection.fates |= dict.fromkeys(chosen[pruning.max_examples :], Fate.CAPPED)
    return selection


def _fates(candidates: list[Candidate], pruning: Pruning, lot: str) -> dict[int, Fate]:
    correct = _keep(candidates, pruning, Keep.CORRECT, pruning.max_correct_per_prompt)
    if pruning.keep is Keep.CORRECT:
        return correct
    size = sum(fate is Fate.KEPT for fate in correct.values())
    drawn = sorted(candidates, key=lambda candidate: _lot(f"{lot}/{candidate.index}"))
    fates = _keep(drawn, pruning, pruning.keep, size)
    return {index: Fate.NOT_DRAWN if fate is Fate.ENOUGH else fate for index, fate in fates.items()}


def _keep(candidates: list[Candidate], pruning: Pruning, keep: Keep, size: int) -> dict[int, Fate]:
    """Keep the first `size` eligible candidates that differ from one another, in the order given."""
    fates: dict[int, Fate] = {}
    seen: set[str] = set()
    for candidate in candidates:
        fate = _ineligible(candidate, keep, require_marker=pruning.verifier.require_marker)
        if fate is None:
            fate = Fate.REPEATED if candidate.likeness in seen else Fate.ENOUGH if len(seen) >= size else Fate.KEPT
        if fate is Fate.KEPT:
            seen.add(candidate.likeness)
        fates[candidate.index] = fate
    return fates


def _ineligible(candidate: Candidate, keep: Keep, *, require_marker: bool) -> Fate | None:
    """Return why a sample may not be kept under `keep`, or None."""
    if candidate.verdict is Verdict.TRUNCATED:
        return Fate.NOT_ENDED
    if keep is Keep.RANDOM:
        return None
    if candidate.verdict not in (Verdict.CORRECT, Verdict.WRONG):
        return Fate.NO_ANSWER
    if keep is Keep.CORRECT and candidate.verdict is not Verdict.CORRECT:
        return Fate.NOT_CORRECT
    return Fate.UNMARKED if require_marker and not candidate.marked else None


def _lot(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
