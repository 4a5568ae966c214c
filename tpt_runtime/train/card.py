"""The card of a model: where it comes from, how it was made, what is known of it. Pure."""

import json
from typing import Any

from tpt_runtime.core.configs import TrainConfig
from tpt_runtime.core.status import Metric
from tpt_runtime.train.job import Outcome

WHAT_IT_IS = """A language model fine-tuned on its own solutions by TPT (Think, Prune, Train): sampled from the model that it was
trained from, graded, kept by the run's rule. The weights are fp32; an engine may cast them when it loads them."""


def model_card(config: TrainConfig, outcome: Outcome, metrics: list[Metric], data: dict[str, dict[str, Any]]) -> str:
    """Return the README.md of the model.

    Args:
        config: the training.
        outcome: what came of it.
        metrics: its figures.
        data: by folder of a training set, the summary of the prune step that made it.
    """
    training = config.training.full_wire() | {"learningRate": config.learning_rate}
    sections = [
        "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags: [tpt, sft, self-improvement]\n---",
        f"# {config.run}, round {config.round}",
        WHAT_IT_IS,
        "## Lineage",
        _table(_lineage(config, outcome, data), "what", "which"),
        "## Training",
        _table({metric.name: f"{metric.value:.6g}" for metric in metrics}, "figure", "value"),
        "## Data",
        *[f"`{folder}`\n\n{_json(_figures(summary))}" for folder, summary in data.items()],
        "## Settings",
        f"Of the training:\n\n{_json(training)}",
        f"Of the run, as far as they differ from the defaults:\n\n{_json(config.settings_note)}",
        "## Software",
        _table(outcome.versions, "package", "version"),
    ]
    return "\n\n".join(sections) + "\n"


def _lineage(config: TrainConfig, outcome: Outcome, data: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {
        "this model": config.digest,
        "trained from": f"{config.parent_digest} (`{config.model}`)",
        "on the examples of": ", ".join(f"{folder.rpartition('-')[2]} (`{folder}`)" for folder in data),
        "examples": str(outcome.examples),
        "run": f"{config.namespace}/{config.run}, seed {config.seed}",
    }


def _figures(summary: dict[str, Any]) -> dict[str, Any]:
    """Return what a prune step reported: its verdicts, and the figures of the model that was sampled."""
    kept = {name: summary[name] for name in ("samples", "examples") if name in summary}
    metrics = {metric["name"]: metric["value"] for metric in summary.get("metrics", [])}
    return kept | ({"sampledModel": metrics} if metrics else {})


def _table(rows: dict[str, str], left: str, right: str) -> str:
    return "\n".join([f"| {left} | {right} |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def _json(value: Any) -> str:
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```"
