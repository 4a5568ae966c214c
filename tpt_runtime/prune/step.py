"""The prune step: measures a model by its evaluation, makes the next training set, each only if that is not done yet."""

from pathlib import Path
from typing import Any

from tpt_runtime.core.configs import PruneConfig
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.status import PruneOutcome, PruneSummary
from tpt_runtime.prune.evaluation import evaluate
from tpt_runtime.prune.trainingset import make_training_set
from tpt_runtime.step.context import Context


def prune(config: PruneConfig, context: Context) -> PruneSummary:
    """Carry out `config` and return both parts' figures as one summary."""
    root = Path(config.root)
    parts: list[PruneSummary] = []
    if grade := config.grade:
        manifest = context.storage.finished(root / grade.path, grade.digest) or evaluate(config, grade, context)
        parts.append(PruneSummary.from_wire(manifest.summary))
    if select := config.select:
        manifest = context.storage.finished(root / select.path, select.digest) or make_training_set(config, select, context)
        parts.append(PruneSummary.from_wire(manifest.summary))
    if not parts:
        raise ConfigurationError("the prune step was told neither what to grade nor what to select")
    return _together(config, parts, context)


def _together(config: PruneConfig, parts: list[PruneSummary], context: Context) -> PruneSummary:
    """Return one summary: the evaluation's comparison, the selection's outcome and counts, everybody's metrics."""
    last = parts[-1]
    both: dict[str, Any] = {
        "step": config.step,
        "metrics": [metric for part in parts for metric in part.metrics],
        "comparison": parts[0].comparison,
        "seconds": context.finish_phases(),
    }
    if last.outcome is PruneOutcome.NO_CORRECT_SAMPLES:
        context.warn("not one sample of the training set is correct: there is nothing to train on")
    return last.model_copy(update=both)
