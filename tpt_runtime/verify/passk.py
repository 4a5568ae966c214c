"""pass@k with intervals by question, and the paired difference between two models.

pass@k of one question with n samples, c of them correct, is 1 - C(n-c, k) / C(n, k): the share of k-subsets that hold a correct
sample, which is unbiased (Chen et al. 2021, "Evaluating Large Language Models Trained on Code", section 2.1), computed as their
product, which neither overflows nor cancels. A model's figure is the mean over questions.

Intervals are over questions, because the samples of one question are correlated: the question is the unit that was drawn.

- Of one model: Wilson's score interval for the mean m of Q questions, at the effective size m (1 - m) / (s^2 / Q) with s^2 the
  variance between questions, times (z / t)^2 with the t quantile of Q - 1 degrees of freedom: the usual correction for
  proportions of clusters (Korn and Graubard 1998; Dean and Pagano 2015). Where no variance was seen (all questions alike, as at
  0 % and 100 %) the effective size is Q, so that one question says little.
- Of a difference: Bonett and Price's (2012) adjusted Wald interval for paired proportions, here for differences of means by
  question: a pseudo-question with +1 and one with -1 are added, so that two models that never differed still get an interval.
  The difference itself is reported as it was seen.

Nothing here assumes equal numbers of samples: a question with fewer than k is left out and counted, never filled up.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tpt_runtime.core.errors import ConfigurationError

Z = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""
_ROUNDING = 1e-12
"""A variance below this comes of rounding equal rates."""


@dataclass(frozen=True, slots=True)
class Tally:
    """The samples of one prompt."""

    samples: int
    correct: int

    def __post_init__(self) -> None:
        """Refuse counts that cannot be."""
        if not 0 <= self.correct <= self.samples:
            raise ValueError(f"correct={self.correct} of samples={self.samples}: correct must lie between 0 and samples")


@dataclass(frozen=True, slots=True)
class Estimate:
    """pass@k over prompts, with its 95 % interval."""

    k: int
    value: float
    low: float
    high: float
    prompts: int
    """Prompts that it is the mean of."""
    left_out: int
    """Prompts left out because they had fewer than k samples."""


@dataclass(frozen=True, slots=True)
class Difference:
    """pass@k of one model less that of another over the same prompts, with its 95 % interval."""

    k: int
    value: float
    low: float
    high: float
    prompts: int
    """Prompts that both models have at least k samples of."""
    left_out: int
    """Prompts that only one of them has, or that one has fewer than k samples of."""


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Return the unbiased estimate of pass@k for one prompt, between 0 and 1.

    Raises:
        ValueError: if k is not between 1 and the number of samples, or `correct` not between 0 and it.
    """
    if not 1 <= k <= samples or not 0 <= correct <= samples:
        raise ValueError(f"pass@{k} of samples={samples}, correct={correct}: needs 1 <= k <= samples and 0 <= correct <= samples")
    if samples - correct < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / size for size in range(samples - correct + 1, samples + 1))


def estimate(tallies: Sequence[Tally], k: int) -> Estimate:
    """Return pass@k over prompts with its 95 % interval by question.

    Raises:
        ConfigurationError: if no prompt has k samples.
    """
    rates = [pass_at_k(tally.samples, tally.correct, k) for tally in tallies if tally.samples >= k]
    if not rates:
        most = max((tally.samples for tally in tallies), default=0)
        raise ConfigurationError(f"k: pass@{k} needs at least {k} samples of a prompt; the most that a prompt has is {most}")
    mean = math.fsum(rates) / len(rates)
    low, high = _wilson(mean, _effective_size(rates, mean))
    return Estimate(k, mean, low, high, len(rates), len(tallies) - len(rates))


def difference(ours: Mapping[str, Tally], theirs: Mapping[str, Tally], k: int) -> Difference:
    """Return pass@k of `ours` less that of `theirs`, paired by prompt, with its 95 % interval.

    Args:
        ours: Tallies by prompt id.
        theirs: Tallies of the other model.
        k: As in pass@k.

    Raises:
        ConfigurationError: if no prompt has k samples of both models.
    """
    shared = [prompt for prompt in ours if prompt in theirs and min(ours[prompt].samples, theirs[prompt].samples) >= k]
    if not shared:
        raise ConfigurationError(f"k: no prompt has at least {k} samples of both models, so their pass@{k} cannot be compared")
    gains = [_rate(ours[prompt], k) - _rate(theirs[prompt], k) for prompt in sorted(shared)]
    low, high = _adjusted_wald(gains)
    left_out = len(ours.keys() | theirs.keys()) - len(shared)
    return Difference(k, math.fsum(gains) / len(gains), low, high, len(gains), left_out)


def _rate(tally: Tally, k: int) -> float:
    return pass_at_k(tally.samples, tally.correct, k)


def _effective_size(rates: Sequence[float], mean: float) -> float:
    """Return how many independent yes-or-no questions would be as uncertain as `rates`."""
    count = len(rates)
    variance = math.fsum((rate - mean) ** 2 for rate in rates) / (count - 1) if count > 1 else 0.0
    if variance < _ROUNDING or not 0.0 < mean < 1.0:
        return float(count)
    return mean * (1.0 - mean) * count / variance * (Z / _student(count - 1)) ** 2


def _student(freedom: int) -> float:
    """Return the two-sided 95 % quantile of Student's t (Abramowitz and Stegun 26.7.5: within 1 % from 3 degrees on)."""
    terms = (Z**3 + Z) / 4, (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96, (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384
    return math.fsum([Z, *(term / freedom**power for power, term in enumerate(terms, start=1))])


def _wilson(mean: float, size: float) -> tuple[float, float]:
    """Return Wilson's 95 % score interval of a proportion."""
    scale = 1.0 + Z**2 / size
    centre = (mean + Z**2 / (2.0 * size)) / scale
    half = Z / scale * math.sqrt(mean * (1.0 - mean) / size + Z**2 / (4.0 * size**2))
    return max(0.0, min(mean, centre - half)), min(1.0, max(mean, centre + half))


def _adjusted_wald(gains: Sequence[float]) -> tuple[float, float]:
    """Return the interval of Bonett and Price for the mean of differences between -1 and 1."""
    size = len(gains) + 2
    centre = math.fsum(gains) / size
    variance = (math.fsum(gain**2 for gain in gains) + 2.0) / size - centre**2
    half = Z * math.sqrt(max(variance, 0.0) / size)
    mean = math.fsum(gains) / len(gains)
    return max(-1.0, min(mean, centre - half)), min(1.0, max(mean, centre + half))
