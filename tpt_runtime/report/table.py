"""The table of rounds that stands at the end of a run, as plain text, from the status alone."""

from dataclasses import dataclass

from tpt_runtime.core.status import Metric, RoundStatus, RunStatus

SETS = ("validation", "eval")
NOTHING = "-"


@dataclass(frozen=True)
class Column:
    """One pass@k of one set."""

    set: str
    k: int
    interval: bool
    """Whether its 95 % interval is shown."""

    @property
    def metric(self) -> str:
        """Name of the metric."""
        return f"{self.set}/pass@{self.k}"


def round_table(status: RunStatus, objective: str) -> str:
    """Return one line a round: pass@k with intervals, examples kept of samples drawn, loss and seconds.

    Each set has two columns at most: the objective's k with its interval, and the largest other k. The best round has a `*`.
    """
    columns = _columns(status, int(objective.removeprefix("pass@")))
    heading = ["round", *(f"{c.set} pass@{c.k}" for c in columns), "kept", "loss", "seconds"]
    rows = [_cells(entry, columns, best=entry.round == status.best_round) for entry in status.rounds]
    widths = [max(map(len, cells)) for cells in zip(heading, *rows, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in [heading, *rows]]
    return "\n".join(lines)


def _columns(status: RunStatus, objective: int) -> list[Column]:
    names = {metric.name for entry in status.rounds for metric in entry.metrics}
    columns = []
    for data_set in SETS:
        prefix = f"{data_set}/pass@"
        found = sorted(int(name.removeprefix(prefix)) for name in names if name.startswith(prefix))
        if not found:
            continue
        first = objective if objective in found else found[0]
        columns.append(Column(data_set, first, interval=True))
        if found[-1] != first:
            columns.append(Column(data_set, found[-1], interval=False))
    return columns


def _cells(entry: RoundStatus, columns: list[Column], *, best: bool) -> list[str]:
    metrics = {metric.name: metric for metric in entry.metrics}
    loss = metrics.get("train/loss")
    return [
        f"{entry.round}{'*' if best else ' '}",
        *(_rate(metrics.get(column.metric), column) for column in columns),
        _kept(entry),
        f"{loss.value:.4f}" if loss else NOTHING,
        _seconds(entry),
    ]


def _rate(metric: Metric | None, column: Column) -> str:
    if metric is None:
        return NOTHING
    rate = f"{metric.value:.1%}"
    if not column.interval or metric.low is None or metric.high is None:
        return rate
    return f"{rate} [{metric.low:.1%}, {metric.high:.1%}]"


def _kept(entry: RoundStatus) -> str:
    if entry.examples is None:
        return NOTHING
    return f"{entry.examples:,} of {entry.samples.total:,}" if entry.samples else f"{entry.examples:,}"


def _seconds(entry: RoundStatus) -> str:
    """Return the wall time of the round's steps, from the start of each to its summary."""
    spans = [step.completion_time - step.start_time for step in entry.steps if step.completion_time and step.start_time]
    return f"{sum(span.total_seconds() for span in spans):,.0f}" if spans else NOTHING
