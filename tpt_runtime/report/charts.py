"""The plots of a report, as Vega-Lite specifications: plain data, drawn by the page that embeds them."""

from typing import Any

from tpt_runtime.report.record import RoundRecord, RunRecord

Spec = dict[str, Any]

VERDICTS = {"correct": "#2b8a3e", "wrong": "#c92a2a", "unparseable": "#868e96", "truncated": "#e8a200", "timedOut": "#5f3dc4"}


def charts(record: RunRecord) -> dict[str, Spec]:
    """Return the plots by title; one without data is left out."""
    drawn = {
        "pass@k over rounds, with 95 % intervals by question": _pass_at_k(record),
        "Samples of the training questions by verdict": _verdicts(record),
        "Training questions by the share of right samples": _difficulty(record),
        "Loss": _loss(record),
        "Format rate and truncated share": _shares(record),
    }
    return {title: spec for title, spec in drawn.items() if spec["data"]["values"]}


def _chart(values: list[Spec], **rest: Any) -> Spec:
    return {"data": {"values": values}, "width": 520, "height": 240, **rest}


def _round_axis() -> Spec:
    return {"field": "round", "type": "ordinal", "title": "round", "axis": {"labelAngle": 0}}


def _pass_at_k(record: RunRecord) -> Spec:
    values = [
        {"round": entry.round, "series": metric.name, "value": metric.value, "low": metric.low, "high": metric.high}
        for entry in record.rounds
        for metric in entry.metrics
        if "pass@" in metric.name
    ]
    x, colour = _round_axis(), {"field": "series", "type": "nominal", "title": None}
    value = {"field": "value", "type": "quantitative", "axis": {"format": "%"}, "scale": {"domain": [0, 1]}, "title": None}
    line = {"mark": {"type": "line", "point": True, "tooltip": True}, "encoding": {"x": x, "y": value, "color": colour}}
    bar = {
        "mark": {"type": "rule", "opacity": 0.6},
        "transform": [{"filter": "isValid(datum.low)"}],
        "encoding": {"x": x, "y": {"field": "low", "type": "quantitative"}, "y2": {"field": "high"}, "color": colour},
    }
    return _chart(values, layer=[bar, line])


def _stacked(values: list[Spec], colour: Spec) -> Spec:
    encoding = {
        "x": _round_axis(),
        "y": {"field": "count", "type": "quantitative", "stack": "normalize", "axis": {"format": "%"}, "title": None},
        "color": colour,
        "order": {"field": "order"},
        "tooltip": [{"field": "kind"}, {"field": "count", "format": ","}, {"field": "round"}],
    }
    return _chart(values, mark="bar", encoding=encoding)


def _verdicts(record: RunRecord) -> Spec:
    values = []
    for entry in record.rounds:
        counts = entry.samples.full_wire() if entry.samples else {}
        values += [
            {"round": entry.round, "kind": kind, "count": counts[kind], "order": order}
            for order, kind in enumerate(VERDICTS)
            if counts.get(kind)
        ]
    scale = {"domain": list(VERDICTS), "range": list(VERDICTS.values())}
    return _stacked(values, {"field": "kind", "type": "nominal", "title": "verdict", "scale": scale})


def _difficulty(record: RunRecord) -> Spec:
    values = [
        {"round": entry.round, "kind": kind, "count": count, "order": order}
        for entry in record.rounds
        for order, (kind, count) in enumerate(entry.difficulty.items())
    ]
    kinds = list(dict.fromkeys(kind for entry in record.rounds for kind in entry.difficulty))
    scale: Spec = {"domain": kinds, "scheme": "redyellowgreen"}
    return _stacked(values, {"field": "kind", "type": "ordinal", "title": "right", "scale": scale})


def _lines(record: RunRecord, names: dict[str, str], y: Spec) -> Spec:
    values = [
        {"round": entry.round, "series": title, "value": metric.value}
        for entry in record.rounds
        for name, title in names.items()
        if (metric := entry.metric(name)) is not None
    ]
    encoding = {
        "x": _round_axis(),
        "y": {"field": "value", "type": "quantitative", "title": None} | y,
        "color": {"field": "series", "type": "nominal", "title": None},
    }
    return _chart(values, mark={"type": "line", "point": True, "tooltip": True}, encoding=encoding)


def _loss(record: RunRecord) -> Spec:
    names = {"train/loss": "training", "validation/loss": "held-out correct traces"}
    return _lines(record, names, {"scale": {"zero": False}})


def _shares(record: RunRecord) -> Spec:
    names = {
        f"{data_set}/{kind}": f"{data_set}: {title}"
        for data_set in ("validation", "eval")
        for kind, title in (("formatRate", "answer marked"), ("truncated", "truncated"))
    }
    return _lines(record, names, {"axis": {"format": "%"}, "scale": {"domain": [0, 1]}})


def round_cells(entry: RoundRecord) -> list[str]:
    """Return the cells of one row of the page's table of rounds (see `COLUMNS`)."""

    def share(name: str) -> str:
        metric = entry.metric(name)
        if metric is None:
            return "–"
        interval = "" if metric.low is None or metric.high is None else f" ({metric.low:.1%} to {metric.high:.1%})"
        return f"{metric.value:.1%}{interval}"

    loss = entry.metric("train/loss")
    return [
        str(entry.round) if entry.round else "0 (base)",
        share("validation/pass@1"),
        share("eval/pass@1"),
        share("eval/strict/pass@1"),
        share("eval/formatRate"),
        "–" if entry.samples is None else f"{entry.samples.correct:,} of {entry.samples.total:,}",
        "–" if entry.examples is None else f"{entry.examples:,}",
        "–" if loss is None else f"{loss.value:.4f}",
        f"{sum(entry.seconds.values()):.0f}" if entry.seconds else "–",
    ]


COLUMNS = [
    "round",
    "validation pass@1",
    "eval pass@1",
    "eval, strict",
    "answer marked",
    "samples right",
    "kept",
    "loss",
    "seconds",
]
