"""The model card of a run: what was done, what came of it, and how to do it again."""

import json
import re

from tpt_runtime import __version__
from tpt_runtime.core.spec import Spec
from tpt_runtime.core.status import Resolved
from tpt_runtime.report.charts import COLUMNS, round_cells
from tpt_runtime.report.record import RunRecord


def publication(record: RunRecord, number: int, digest: str, resolved: Resolved) -> str:
    """Return the card of round `number`'s model, as the README.md of its repository: the run's, with what it was made from."""
    settings = Spec.model_validate(record.settings)
    base, data = _hub_name(settings.model.uri), _hub_name(settings.dataset.train.uri)
    head = ["library_name: transformers", "pipeline_tag: text-generation", "tags: [tpt, self-improvement]"]
    head += [f"base_model: {base}"] if base else []
    head += [f"datasets: [{data}]"] if data else []
    lineage = {
        "run": f"{record.namespace}/{record.run}, seed {settings.sampling.seed}",
        "this model": f"round {number} of {len(record.rounds) - 1}, digest {digest}",
        "base model": _origin(settings.model.uri, resolved.model_revision),
        **{f"data, {name}": _origin(uri, resolved.data_revisions.get(name)) for name, uri in _data(settings).items()},
        "made with": f"tpt-operator {__version__}",
    }
    rows = "\n".join(f"| {name} | {value} |" for name, value in lineage.items())
    front = "\n".join(("---", *head, "---"))
    return f"{front}\n\n{card(record)}\n## Lineage\n\n| what | which |\n|---|---|\n{rows}\n"


def _hub_name(uri: str) -> str | None:
    return uri.removeprefix("hf://").strip("/") if uri.startswith("hf://") else None


def _origin(uri: str, revision: str | None) -> str:
    return f"`{uri}`" + (f" at {revision}" if revision else "")


def _data(settings: Spec) -> dict[str, str]:
    data = settings.dataset
    named = {"train": data.train.uri, "validation": data.validation.uri, "eval": data.eval.uri if data.eval else None}
    return {name: uri for name, uri in named.items() if uri is not None}


def card(record: RunRecord) -> str:
    """Return the card as Markdown."""
    rows = [COLUMNS, ["---"] * len(COLUMNS), *(round_cells(entry) for entry in record.rounds)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    best = "none was measured" if record.best_round is None else f"round {record.best_round}"
    settings = json.dumps(record.settings, indent=2, ensure_ascii=False)
    fence = "`" * max(3, *(len(ticks) + 1 for ticks in re.findall("`+", settings) or [""]))
    return f"""# {record.run}

A language model trained on its own correct solutions over {len(record.rounds) - 1} rounds of Think, Prune, Train
([arXiv 2504.18116](https://arxiv.org/abs/2504.18116)). Best model by validation {record.metric}: {best}.

{table}

Intervals are 95 %, by question. Decisions were made on validation; eval is reported only. A gain under the strict verifier that
the other verifier does not show is format, not ability.

To do it again: `tpt run` a SelfImprovementRun with this spec.

{fence}json
{settings}
{fence}
"""
