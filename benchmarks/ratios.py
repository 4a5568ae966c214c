"""Ratios of paired repetitions, with the 95 % interval of their mean; what all benchmarks here print."""

import math
import statistics
from collections.abc import Sequence

T_QUANTILE = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}
"""97.5 % quantiles of Student's t by degrees of freedom."""


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean and its 95 % interval by Student's t; with one value, that value."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, mean, mean
    half = T_QUANTILE.get(len(values) - 1, 1.96) * statistics.stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def ratio(mine: Sequence[float], peer: Sequence[float]) -> str:
    """Return the geometric mean of the paired ratios with its 95 % interval, as a cell of a table."""
    logs = [math.log(one / other) for one, other in zip(mine, peer, strict=True)]
    return "{:.2f} ({:.2f} to {:.2f})".format(*map(math.exp, interval(logs)))
