"""What grades say of a model: pass@k with intervals, format, length, and the difference to another model.

One figure alone fools its reader: on public traces of the method most of the gain under the strict regular expression was format.
So each set is reported under the run's verifier, under GSM8KStrict where its references allow, and with its format rate.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tpt_runtime.core.rows import GradedPrompt
from tpt_runtime.core.status import Comparison, Metric, SampleCounts
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.verify.passk import Estimate, Tally, difference, estimate

DIFFICULTIES = ("0 %", "up to 25 %", "up to 50 %", "up to 75 %", "below 100 %", "100 %")
"""Buckets of prompts by the share of their samples that are right; the hardest first."""


@dataclass
class SetFigures:
    """Running totals over the graded prompts of one data set."""

    name: str
    stopped_early: bool = False
    """Whether prompts were sampled until they had enough: how often they are right then says little of the model."""
    tallies: dict[str, Tally] = field(default_factory=dict)
    """Samples and right ones by prompt."""
    strict: dict[str, Tally] = field(default_factory=dict)
    """The same under GSM8KStrict; only prompts whose reference it can read."""
    verdicts: Counter[str] = field(default_factory=Counter)
    marked: int = 0
    tokens: int = 0
    distinct: int = 0

    def add(self, graded: GradedPrompt, *, strict: bool, distinct: int) -> None:
        """Count one prompt; `strict` says whether GSM8KStrict applies to it, `distinct` how many of its texts differ."""
        grades = graded["grades"]
        right = sum(grade["verdict"] == Verdict.CORRECT for grade in grades)
        self.tallies[graded["id"]] = Tally(len(grades), right)
        if strict:
            self.strict[graded["id"]] = Tally(len(grades), sum(grade["strict"] for grade in grades))
        self.verdicts.update(grade["verdict"] for grade in grades)
        self.marked += sum(grade["marked"] for grade in grades)
        self.tokens += sum(grade["tokens"] for grade in grades)
        self.distinct += distinct

    @property
    def samples(self) -> int:
        """Return how many samples were counted."""
        return self.verdicts.total()

    def metrics(self, ks: Iterable[int]) -> list[Metric]:
        """Return the figures that go into the status; pass@k for each k that every prompt has samples for.

        Of samples that were stopped early there is no pass@k: a prompt that is right by luck gets no further sample.
        """
        if not self.samples:
            return []
        fewest = min(tally.samples for tally in self.tallies.values())
        found = []
        if not self.stopped_early:
            found = [self._metric(f"pass@{k}", estimate(list(self.tallies.values()), k)) for k in ks if k <= fewest]
            found += [self._metric("strict/pass@1", estimate(list(self.strict.values()), 1))] if self.strict else []
        shares = {
            "formatRate": self.marked / self.samples,
            "truncated": self.verdicts[Verdict.TRUNCATED] / self.samples,
            "meanTokens": self.tokens / self.samples,
            "distinct": self.distinct / self.samples,
        }
        return found + [Metric(name=f"{self.name}/{name}", value=_short(value)) for name, value in shares.items()]

    def _metric(self, name: str, found: Estimate) -> Metric:
        low, high = _short(found.low), _short(found.high)
        return Metric(name=f"{self.name}/{name}", value=_short(found.value), low=low, high=high)

    def counts(self) -> SampleCounts:
        """Return samples by verdict."""
        by = {verdict: self.verdicts[verdict] for verdict in Verdict}
        return SampleCounts(total=self.samples, **{verdict.value: count for verdict, count in by.items()})

    def difficulties(self) -> dict[str, int]:
        """Return how many prompts fall into each bucket of `DIFFICULTIES`."""
        buckets = Counter(difficulty(tally.correct / tally.samples) for tally in self.tallies.values())
        return {name: buckets[name] for name in DIFFICULTIES}

    def report(self, ks: Iterable[int]) -> dict[str, Any]:
        """Return everything, for report.json."""
        return {
            "prompts": len(self.tallies),
            "samples": self.counts().full_wire(),
            "metrics": [metric.wire() for metric in self.metrics(ks)],
            "difficulty": self.difficulties(),
        }


def difficulty(share: float) -> str:
    """Return the bucket of a prompt that the model gets right in `share` of its samples."""
    if share in (0.0, 1.0):
        return DIFFICULTIES[0] if share == 0 else DIFFICULTIES[-1]
    limits = zip((0.25, 0.5, 0.75, 1.0), DIFFICULTIES[1:5], strict=True)
    return next(name for limit, name in limits if share <= limit)


def compare(mine: Mapping[str, Tally], other: Mapping[str, Tally], k: int, number: int) -> Comparison | None:
    """Return the difference of pass@k to round `number`'s model, paired by question; None when they share no question."""
    if not mine.keys() & other.keys():
        return None
    found = difference(mine, other, k)
    return Comparison(round=number, difference=_short(found.value), low=_short(found.low), high=_short(found.high))


def _short(value: float) -> float:
    """Four significant decimals: the status is small, and no interval here is narrower."""
    return round(value, 4) if abs(value) < 100 else round(value, 1)
