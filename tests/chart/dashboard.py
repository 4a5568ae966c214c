"""The panels of Grafana's dashboard and what they ask, as Grafana would ask it."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.chart.helm import CHART

Json = dict[str, Any]
VARIABLES = {"$namespace": ".*", "$run": ".*", "$__rate_interval": "20s"}


class Query(NamedTuple):
    """One query of a panel."""

    panel: str
    expression: str
    """With all runs of all namespaces chosen."""
    instant: bool


def dashboard() -> Json:
    read: Json = json.loads((CHART / "files" / "dashboard.json").read_text(encoding="utf-8"))
    return read


def panels() -> list[Json]:
    """Return the panels that show something; rows are headings."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> Iterator[Query]:
    for panel in panels():
        for target in panel["targets"]:
            text = target["expr"]
            for name, value in VARIABLES.items():
                text = text.replace(name, value)
            yield Query(panel["title"], text, target["instant"])


def metrics(expression: str) -> set[str]:
    """Return the metrics that an expression names."""
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in re.findall(r"\btpt_\w+", expression)}
