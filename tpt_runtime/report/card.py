"""The model card of a run: what was done, what came of it, and how to do it again."""

import json
import re

from tpt_runtime.report.charts import COLUMNS, round_cells
from tpt_runtime.report.record import RunRecord


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
