"""Which samples become training examples: the policies, pure.

`Correct` is the method. `Parseable` and `Random` are its controls: as many samples, drawn from all prompts without regard to what
is right, so that what correctness adds can be told from what more training adds. They are not drawn from the prompts that
`Correct` keeps: to be among those, a prompt must have a right sample, and that choice alone was seen to be worth ten points of
pass@1 (docs/decisions/0006-controls.md). How many they keep follows from all of Correct's policies; which, from the lot alone.

Every choice is made by prompt, or by a lot that hangs on seed, round, prompt and index: so not on the order of the prompts.
"""

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from tpt_runtime.core.choices import Choose, Keep, Weighting
from tpt_runtime.core.difficulty import DifficultyCap, cap_of, wanted
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
    TELLS_OF_HINT = "tells of the hint"
    """Right, but it was drawn with the answer as a hint, and says so: no such hint stands in the prompt that is trained on."""
    FALSE_EQUATION = "false equation"
    """Right, but one of its equations is not (checkArithmetic)."""
    REPEATED = "repeats another sample"
    ENOUGH = "enough of this prompt"
    ENOUGH_OF_DIFFICULTY = "over the cap of its difficulty"
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
    tokens: int = 0
    logprob: float = 0.0
    """Mean over its tokens."""
    false_equation: bool = False
    """Whether it states one; only asked of what is correct."""
    hinted: bool = False
    """Whether it was drawn with the answer as a hint: then it says nothing of how hard its prompt is."""
    tells_of_hint: bool = False


HINT = re.compile(r"\bhint(s|ed)?\b", re.IGNORECASE)


def tells_of_hint(text: str, question: str) -> bool:
    """Return whether a solution speaks of a hint where its question does not."""
    return HINT.search(text) is not None and HINT.search(question) is None


@dataclass
class Rationalized:
    """What came of the second tries."""

    prompts: int = 0
    samples: int = 0
    correct: int = 0
    kept: int = 0

    def report(self) -> dict[str, int]:
        """Return all counts, for report.json."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """One sample that its prompt keeps."""

    rank: int
    """How many its prompt keeps besides and before it, where those have to be equally many."""
    lot: str
    prompt: str
    index: int
    hinted: bool


class Selection:
    """Chooses the examples of a round, prompt by prompt and then under the caps; the order of the prompts changes nothing."""

    def __init__(self, pruning: Pruning, seed: int, number: int) -> None:
        """Choose for round `number` of a run with `seed`."""
        self.correct = 0
        """Samples that are correct, whatever became of them."""
        self.false_equations = 0
        """Those among them that state a false equation."""
        self.rationalized = Rationalized()
        self.fates: Counter[Fate] = Counter()
        """How many samples each fate met."""
        self.left_out: dict[tuple[str, int], Fate] = {}
        """Samples (prompt id, index) that their prompt had kept and that were left out after the last prompt, and why."""
        self._pruning = pruning
        self._seed = f"{seed}/{number}"
        self._sizes: Counter[DifficultyCap | None] = Counter()
        self._chosen: defaultdict[DifficultyCap | None, list[_Chosen]] = defaultdict(list)

    def add(self, prompt: str, candidates: Sequence[Candidate]) -> dict[int, Fate]:
        """Return the fate of every sample of `prompt` by index; some of what it keeps may yet be left out (see `close`)."""
        pruning, unaided = self._pruning, [candidate for candidate in candidates if not candidate.hinted]
        samples, correct = len(unaided), _correct(unaided)
        most = wanted(pruning.max_correct_per_prompt, pruning.weighting, samples, correct)
        fates = _keep(self._in_order(prompt, candidates, pruning.choose), pruning, Keep.CORRECT, most)
        cap = cap_of(pruning.difficulty_caps, samples, correct)
        self.correct += _correct(candidates)
        self._count_hinted([candidate for candidate in candidates if candidate.hinted])
        self.false_equations += sum(candidate.false_equation for candidate in candidates)
        self._sizes[cap] += _kept(fates)
        if pruning.keep is not Keep.CORRECT:
            drawn = self._in_order(prompt, candidates, Choose.RANDOM)
            fates, cap = _keep(drawn, pruning, pruning.keep, pruning.max_correct_per_prompt), None
        self.fates.update(fates.values())
        by_index = {candidate.index: candidate for candidate in candidates}
        self._chosen[cap] += self._ranked(prompt, [by_index[index] for index, fate in fates.items() if fate is Fate.KEPT])
        return fates

    def close(self) -> list[tuple[str, int]]:
        """Return what is kept, (prompt id, sample index) in training order; call it once, after the last prompt.

        First every difficulty that has a cap is brought below it, then all together below `maxExamples`. A control keeps as many
        as Correct would, by lot.
        """
        size = sum(count if cap is None else min(count, cap.max_examples) for cap, count in self._sizes.items())
        if self._pruning.keep is Keep.CORRECT:
            chosen = [one for cap, found in self._chosen.items() for one in self._below(found, cap)]
        else:
            chosen = self._first(self._chosen[None], size, Fate.NOT_DRAWN)
        kept = self._first(chosen, self._pruning.max_examples, Fate.CAPPED)
        self.rationalized.kept = sum(one.hinted for one in kept)
        self.fates += Counter(self.left_out.values())
        self.fates -= Counter({Fate.KEPT: len(self.left_out)})
        return [(one.prompt, one.index) for one in sorted(kept, key=lambda one: (one.lot, one.prompt, one.index))]

    def _below(self, chosen: list[_Chosen], cap: DifficultyCap | None) -> list[_Chosen]:
        return chosen if cap is None else self._first(chosen, cap.max_examples, Fate.ENOUGH_OF_DIFFICULTY)

    def _first(self, chosen: list[_Chosen], most: int, why: Fate) -> list[_Chosen]:
        """Return the first `most` by rank and lot, and take note of why the others are left out."""
        ordered = sorted(chosen, key=lambda one: (one.rank, one.lot, one.prompt, one.index))
        self.left_out |= {(one.prompt, one.index): why for one in ordered[most:]}
        return ordered[:most]

    def _count_hinted(self, hinted: list[Candidate]) -> None:
        counts = self.rationalized
        counts.prompts += bool(hinted)
        counts.samples += len(hinted)
        counts.correct += _correct(hinted)

    def _ranked(self, prompt: str, kept: list[Candidate]) -> Iterator[_Chosen]:
        equal = self._pruning.weighting is Weighting.UNIFORM and self._pruning.keep is Keep.CORRECT
        for rank, one in enumerate(kept):
            yield _Chosen(rank if equal else 0, self._lot("shuffle", prompt, one.index), prompt, one.index, one.hinted)

    def _in_order(self, prompt: str, candidates: Sequence[Candidate], choose: Choose) -> list[Candidate]:
        """Return the samples of `prompt` with those in front that are to be kept before others."""
        match choose:
            case Choose.FIRST:
                return list(candidates)
            case Choose.SHORTEST:
                return sorted(candidates, key=lambda one: (one.tokens, one.index))
            case Choose.MOST_LIKELY:
                return sorted(candidates, key=lambda one: (_unlikeliness(one), one.index))
            case Choose.RANDOM:
                return sorted(candidates, key=lambda one: (self._lot(prompt, one.index), one.index))

    def _lot(self, *place: str | int) -> str:
        return hashlib.sha256("/".join(map(str, (self._seed, *place))).encode()).hexdigest()


def _unlikeliness(candidate: Candidate) -> float:
    return math.inf if math.isnan(candidate.logprob) else -candidate.logprob


def _keep(candidates: Sequence[Candidate], pruning: Pruning, keep: Keep, most: int) -> dict[int, Fate]:
    """Keep the first `most` eligible candidates that differ from one another, in the order given."""
    fates: dict[int, Fate] = {}
    seen: set[str] = set()
    for candidate in candidates:
        fate = _ineligible(candidate, keep, pruning)
        if fate is None:
            fate = Fate.REPEATED if candidate.likeness in seen else Fate.ENOUGH if len(seen) >= most else Fate.KEPT
        if fate is Fate.KEPT:
            seen.add(candidate.likeness)
        fates[candidate.index] = fate
    return fates


def _correct(candidates: Sequence[Candidate]) -> int:
    return sum(candidate.verdict is Verdict.CORRECT for candidate in candidates)


def _kept(fates: dict[int, Fate]) -> int:
    return sum(fate is Fate.KEPT for fate in fates.values())


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
    return _flaw(candidate, keep, pruning)


def _flaw(candidate: Candidate, keep: Keep, pruning: Pruning) -> Fate | None:
    """Return why a sample with the right answer, or with any that a control takes, may not be kept even so."""
    if candidate.tells_of_hint:
        return Fate.TELLS_OF_HINT
    if keep is Keep.CORRECT and pruning.check_arithmetic and candidate.false_equation:
        return Fate.FALSE_EQUATION
    return Fate.UNMARKED if pruning.verifier.require_marker and not candidate.marked else None
