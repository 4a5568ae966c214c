"""The report of a run as one HTML file that opens with no network: plots, tables, and traces to read.

Everything that a model wrote is escaped: a trace is data, never markup.
"""

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path

from tpt_runtime.core.layout import SETS
from tpt_runtime.report.charts import COLUMNS, charts, round_cells
from tpt_runtime.report.record import Change, RunRecord

READER = Path(__file__).with_name("traces.js")
"""Lists the traces, filtered as the reader likes."""

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #212529 }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #dee2e6; text-align: left }
tr.best td { font-weight: 600; background: #ebfbee }
figure { display: inline-block; margin: 1rem 2rem 1rem 0; vertical-align: top }
figcaption { font-weight: 600 } pre { white-space: pre-wrap; background: #f8f9fa; padding: .5rem; margin: .3rem 0 }
details { margin: .4rem 0 } .pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem } .muted { color: #868e96 }
.filters label { margin-right: 1rem } .filters select, .filters input, button { font: inherit }
.followed table { margin: .5rem 0 } .followed:not(:empty) { border-left: 3px solid #228be6; padding-left: 1rem }
"""

DRAW = """
for (const [id, spec] of Object.entries(JSON.parse(document.getElementById("specs").textContent)))
  vegaEmbed("#" + id, spec, {actions: false, renderer: "svg"});
"""


def page(record: RunRecord, javascript: str) -> str:
    """Return the page; `javascript` is the bundle that defines `vegaEmbed`."""
    drawn = charts(record)
    figures = "".join(
        f'<figure><figcaption>{escape(title)}</figcaption><div id="chart{number}"></div></figure>'
        for number, title in enumerate(drawn)
    )
    specs = {f"chart{number}": spec for number, spec in enumerate(drawn.values())}
    body = "\n".join([_head(record), _rounds(record), figures, _changes(record), _traces(record), _settings(record)])
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(record.run)}</title>'
        f"<style>{STYLE}</style></head><body>\n{body}\n"
        f'<script id="specs" type="application/json">{_inert(specs)}</script>\n'
        f'<script id="traces" type="application/json">{_inert([trace.full_wire() for trace in record.traces])}</script>\n'
        f"<script>{javascript}</script>\n<script>{DRAW}</script>\n<script>{READER.read_text('utf-8')}</script>\n</body></html>\n"
    )


def _inert(value: object) -> str:
    """Return JSON that cannot end the script element that it stands in."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


def _head(record: RunRecord) -> str:
    best = "no model was measured"
    if record.best_round is not None:
        best_entry = next((entry for entry in record.rounds if entry.round == record.best_round), None)
        metric = best_entry.metric(f"validation/{record.metric}") if best_entry else None
        reached = f", {metric.value:.1%} {escape(metric.name)}" if metric else ""
        best = f"best round {record.best_round}{reached}"
    decided = f"<p>{best}. Decisions are made on validation; eval is reported only.</p>"
    return f"<h1>{escape(record.run)}</h1>{decided}{_prompts(record.prompts)}"


def _prompts(counts: Mapping[str, int]) -> str:
    """Return how many questions there are, and how many were left out for what reason."""
    asked = [f"{name} {counts[name]:,}" for name in SETS if name in counts]
    left_out = [f"{_spaced(name)} {count:,}" for name, count in counts.items() if name not in SETS]
    told = [f"Questions: {', '.join(asked)}."] if asked else []
    told += [f"Left out, or worth a look: {', '.join(left_out)}."] if left_out else []
    return f"<p>{escape(' '.join(told))}</p>" if told else ""


def _spaced(name: str) -> str:
    """Return `trainTooLong` as `train too long`."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)


def _rounds(record: RunRecord) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in COLUMNS)
    rows = "".join(
        f"<tr{' class=best' if entry.round == record.best_round else ''}>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in round_cells(entry))
        + "</tr>"
        for entry in record.rounds
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _changes(record: RunRecord) -> str:
    if record.changed_set is None:
        return ""
    titles = (
        (f"From wrong to right: {record.gained_count} questions of {record.changed_set}", record.gained),
        (f"From right to wrong: {record.lost_count} questions of {record.changed_set}", record.lost),
    )
    return "".join(f"<h2>{escape(title)}</h2>{''.join(map(_change, found))}" for title, found in titles)


def _change(change: Change) -> str:
    return (
        f"<details><summary>{change.before:.0%} → {change.after:.0%} right: {escape(change.question[:160])}</summary>"
        f"<p>{escape(change.question)}<br><span class=muted>reference: {escape(change.reference)}</span></p>"
        f"<div class=pair><div>base model<pre>{escape(change.before_solution)}</pre></div>"
        f"<div>best model<pre>{escape(change.after_solution)}</pre></div></div></details>"
    )


def _traces(record: RunRecord) -> str:
    """Return the place where the page's script lists the traces, and what they are a sample of."""
    if not record.traces:
        return ""
    counts = record.traces_from
    of = f" of {sum(counts.values()):,} ({', '.join(f'{name} {count:,}' for name, count in counts.items())})" if counts else ""
    rounds = {(trace.set, trace.id): set[int]() for trace in record.traces}
    for trace in record.traces:
        rounds[trace.set, trace.id].add(trace.round)
    several = sum(len(seen) > 1 for seen in rounds.values())
    told = (
        f"A sample: {len(record.traces):,} traces{of}, some of each round, set and verdict, chosen by lot. "
        f"Questions with traces of several rounds: {several:,}. The rounds' folders have more traces, in traces.jsonl."
    )
    return f"<h2>Traces to read</h2><p class=muted>{escape(told)}</p><div id=reader></div>"


def _settings(record: RunRecord) -> str:
    text = json.dumps(record.settings, indent=2, ensure_ascii=False)
    return f"<h2>Settings</h2><details><summary>spec, without defaults</summary><pre>{escape(text)}</pre></details>"
