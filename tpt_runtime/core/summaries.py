"""What the steps hand in: read, checked, and folded into the rounds.

A summary that is missing or not what the step should say is no success: `read` then says what is wrong with it. Its digest is not
compared: a Job may have been made by another release, and the next step looks for its artifacts by digest anyway.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from tpt_runtime.core.completion import objective_value, percent
from tpt_runtime.core.paths import Paths
from tpt_runtime.core.rounds import Rounds, StepKey
from tpt_runtime.core.spec import Spec
from tpt_runtime.core.status import (
    FinalizeSummary,
    PrepareSummary,
    PruneOutcome,
    PruneSummary,
    Resolved,
    RoundStatus,
    SampleSummary,
    StepName,
    Summary,
    TrainSummary,
)

_KINDS: Mapping[StepName, type[Summary]] = {
    StepName.PREPARE: PrepareSummary,
    StepName.SAMPLE: SampleSummary,
    StepName.PRUNE: PruneSummary,
    StepName.TRAIN: TrainSummary,
    StepName.EVALUATE: SampleSummary,
    StepName.GRADE: PruneSummary,
    StepName.FINALIZE: FinalizeSummary,
}


@dataclass(frozen=True)
class Unreadable:
    """Why what a step handed in cannot be used."""

    why: str


@dataclass(frozen=True)
class Folded:
    """What a step's summaries say besides what went into its rounds."""

    told: str
    """For the user, in a sentence."""
    resolved: Resolved | None = None
    """Of prepare."""


def read(key: StepKey, handed_in: Sequence[Mapping[str, Any] | None], needed: str | None) -> list[Summary] | Unreadable:
    """Return the summaries of all indexes of a step that succeeded.

    Args:
        key: The step.
        handed_in: What each index wrote. Of a training only index 0 is read: it speaks for all nodes.
        needed: Name of the metric without which the summary is of no use, if there is one.
    """
    read_from = handed_in[:1] if key.step is StepName.TRAIN else handed_in
    if not read_from:
        return Unreadable("no summary was handed in")
    summaries = []
    for index, data in enumerate(read_from):
        try:
            summaries.append(_read_one(key, index, data))
        except ValueError as error:
            return Unreadable(f"index {index}: {error}")
    if needed is not None and not any(_has_metric(summary, needed) for summary in summaries):
        return Unreadable(f"the summary does not say {needed}")
    return summaries


def _read_one(key: StepKey, index: int, data: Mapping[str, Any] | None) -> Summary:
    """Return one summary; ValueError says what is wrong with it."""
    if data is None:
        raise ValueError("no summary was handed in")
    try:
        summary = _KINDS[key.step].from_wire(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'summary'}: {first['msg']}") from error
    if summary.step is not key.step:
        raise ValueError(f"the summary is of {summary.step}, expected {key.step}")
    if isinstance(summary, SampleSummary) and summary.shard != index:
        raise ValueError(f"the summary is of shard {summary.shard}, expected {index}")
    if key.step is StepName.PRUNE and isinstance(summary, PruneSummary) and summary.outcome is PruneOutcome.GRADED_ONLY:
        raise ValueError("outcome: found GradedOnly, expected a round's training set")
    return summary


def _has_metric(summary: Summary, name: str) -> bool:
    return isinstance(summary, PruneSummary) and any(metric.name == name for metric in summary.metrics)


def fold(key: StepKey, summaries: Sequence[Summary], rounds: Rounds, spec: Spec) -> Folded:
    """Put what a step's summaries say into the rounds that it speaks of."""
    first = summaries[0]
    if isinstance(first, PrepareSummary):
        rounds.update(0, model=Paths(spec).model_dir(0))
        counts = ", ".join(f"{name} {count:,}" for name, count in first.resolved.counts.items())
        return Folded(f"Prepared{f': {counts}' if counts else ''}", first.resolved)
    if isinstance(first, PruneSummary):
        return _fold_pruned(key, first, rounds, spec)
    if isinstance(first, TrainSummary):
        return _fold_trained(key, first, rounds, spec)
    if isinstance(first, FinalizeSummary):
        published = f"; published the best one as {first.published}" if first.published else ""
        return Folded(f"Wrote the report; models removed: {first.removed}, kept: {len(first.kept)}{published}")
    shards = [summary for summary in summaries if isinstance(summary, SampleSummary)]
    samples, tokens = sum(shard.samples for shard in shards), sum(shard.tokens for shard in shards)
    what = f"Round {key.round}: drew" if key.step is StepName.SAMPLE else f"Closing evaluation of model {key.round}:"
    return Folded(f"{what} {samples:,} samples, {tokens:,} tokens")


def _fold_pruned(key: StepKey, summary: PruneSummary, rounds: Rounds, spec: Spec) -> Folded:
    closing = key.step is StepName.GRADE
    model = key.round if closing else key.round - 1
    rounds.add_metrics(model, summary.metrics)
    if summary.comparison is not None:
        rounds.update(model, comparison=summary.comparison)
    figures = _figures(rounds[model], spec) if closing or _has_metric(summary, f"validation/{spec.objective.metric}") else None
    if closing:
        return Folded(figures or f"Model {model} was graded")
    rounds.update(key.round, samples=summary.samples, examples=summary.examples, outcome=summary.outcome)
    of = f" of {summary.samples.total:,} samples" if summary.samples is not None else ""
    told = f"Round {key.round}: kept {summary.examples or 0:,}{of}"
    return Folded(f"{told} ({figures[0].lower()}{figures[1:]})" if figures else told)


def _figures(entry: RoundStatus, spec: Spec) -> str | None:
    value = objective_value(entry, spec.objective)
    if value is None:
        return None
    told = f"Model {entry.round}: validation {spec.objective.metric} {percent(value)}"
    paired = entry.comparison
    if paired is None:
        return told
    points = (f"{100 * share:+.1f}" for share in (paired.difference, paired.low, paired.high))
    difference, low, high = points
    return f"{told}, {difference} points against model {paired.round}, 95 % interval {low} to {high}"


def _fold_trained(key: StepKey, summary: TrainSummary, rounds: Rounds, spec: Spec) -> Folded:
    rounds.add_metrics(key.round, summary.metrics)
    rounds.update(key.round, model=Paths(spec).model_dir(key.round))
    loss = next((metric.value for metric in summary.metrics if metric.name == "train/loss"), None)
    examples = rounds[key.round].examples
    on = f" on {examples:,} examples" if examples is not None else ""
    return Folded(f"Round {key.round}: trained model {key.round}{on}" + (f", loss {loss:.3f}" if loss is not None else ""))
