"""A run as it is shown, wherever it comes from: what is read of it, and how it is put into lines. Asks nobody."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from tpt_runtime.core.errors import EXIT_CONFIGURATION, EXIT_CRASH, ConfigurationError
from tpt_runtime.core.rounds import StepKey
from tpt_runtime.core.spec import Run
from tpt_runtime.core.status import Condition, ConditionType, Reason, RunStatus, StepName
from tpt_runtime.local.screen import View
from tpt_runtime.report.table import round_table

MENDABLE = (Reason.CONFIGURATION_ERROR.value, Reason.INVALID_SPEC.value)
BAR_WIDTH = 30
NOTHING = "-"


@dataclass(frozen=True)
class Seen:
    """A run as it was a moment ago."""

    name: str
    namespace: str | None
    """None: it is carried out on this machine."""
    metric: str
    """The objective's, such as pass@1."""
    generation: int
    created: datetime | None
    status: RunStatus

    @property
    def over(self) -> Condition | None:
        """The condition that says that it is complete or has failed, if it speaks of the present spec."""
        found = (self.condition(kind) for kind in (ConditionType.COMPLETE, ConditionType.FAILED))
        return next((item for item in found if item and item.status == "True" and self._is_present(item)), None)

    @property
    def exit_code(self) -> int:
        """What `tpt watch` ends with, as `tpt run` would."""
        over = self.over
        if over is None or over.type is ConditionType.COMPLETE:
            return 0
        return EXIT_CONFIGURATION if over.reason in MENDABLE else EXIT_CRASH

    def condition(self, kind: ConditionType) -> Condition | None:
        """Return one of its conditions, None before the first status."""
        return next((item for item in self.status.conditions if item.type is kind), None)

    def _is_present(self, condition: Condition) -> bool:
        return condition.observed_generation >= self.generation


def from_resource(item: Mapping[str, Any]) -> Seen:
    """Return what a resource of the cluster shows.

    Raises:
        ConfigurationError: its status is of another version of TPT.
    """
    metadata = item["metadata"]
    objective = item.get("spec", {}).get("objective") or {}
    try:
        status = RunStatus.from_wire(item.get("status") or {})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigurationError(
            f"{metadata['name']}: status.{place}: {first['msg']}: another version of TPT wrote it; use the operator's version"
        ) from error
    return Seen(
        name=metadata["name"],
        namespace=metadata["namespace"],
        metric=objective.get("metric", "pass@1"),
        generation=metadata.get("generation", 1),
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        status=status,
    )


def from_folder(run: Run, status: RunStatus) -> Seen:
    """Return what a work folder shows."""
    metadata = run.metadata
    return Seen(metadata.name, None, run.spec.objective.metric, metadata.generation, status.start_time, status)


def listing(runs: Iterable[Seen], now: datetime, *, namespaces: bool = False) -> str:
    """Return one line a run: what it does, and how far it is."""
    heading = ["NAME", "PHASE", "ROUND", "STEP", "PROGRESS", "BEST", "AGE"]
    rows = [[run.name, *_cells(run, now)] for run in runs]
    if namespaces:
        heading = ["NAMESPACE", *heading]
        rows = [[run.namespace or NOTHING, *row] for run, row in zip(runs, rows, strict=True)]
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [heading, *rows])
    return "\n".join(line.rstrip() for line in lines)


def _cells(run: Seen, now: datetime) -> list[str]:
    status = run.status
    progress = None if run.over else status.progress
    return [
        status.phase or "Pending",
        status.round or NOTHING,
        (status.step.value if status.step else NOTHING) if not run.over else NOTHING,
        f"{progress.completed:,}/{progress.total:,}" if progress else NOTHING,
        status.best_metric or NOTHING,
        _age(now - run.created) if run.created else NOTHING,
    ]


def _age(time: timedelta) -> str:
    """Return a duration as kubectl has it: 45s, 12m, 3h, 2d."""
    seconds = max(0, int(time.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def described(run: Seen, now: datetime) -> str:
    """Return a run in full: how it stands and why, a bar for the step in progress, the rounds as a table, the best model."""
    status = run.status
    where = f" (namespace {run.namespace})" if run.namespace else ""
    phase = status.phase or "Pending"
    lines = [f"{run.name}{where}: {phase}" + (f", round {status.round}" if status.round else "")]
    lines += [f"  {reason}" for reason in _why(run)]
    if run.over is None and status.step is not None:
        lines.append(f"  {_step(run, now)}")
    if any(entry.metrics or entry.examples for entry in status.rounds):
        lines += ["", round_table(status, run.metric)]
    if status.best_model is not None:
        metric = f", {status.best_metric}" if status.best_metric else ""
        lines += ["", f"best model, round {status.best_round}{metric}: {status.best_model}"]
    return "\n".join(lines)


def _why(run: Seen) -> list[str]:
    """Return what people have to know of how it stands: why it is over, or why nothing runs."""
    if run.over is not None:
        return [f"{run.over.reason}: {run.over.message}"]
    running = run.condition(ConditionType.RUNNING)
    if running is None:
        return ["no operator has looked at it yet"] if run.namespace else []
    if running.status == "True":
        return []
    available = run.condition(ConditionType.RESOURCES_AVAILABLE)
    told = available if available is not None and available.status == "False" else running
    return [f"{told.reason}: {told.message}"]


def _step(run: Seen, now: datetime) -> str:
    status = run.status
    key = StepKey(status.current_round, status.step or StepName.PREPARE)
    since = f", for {_age(now - begun)}" if (begun := _begun(status)) else ""
    if status.progress is None:
        return f"{key}{since}"
    done, total = status.progress.completed, status.progress.total
    filled = BAR_WIDTH * min(done, total) // total if total else 0
    share = f", {done / total:.0%}" if total else ""
    first = status.progress.first_shard
    inside = f"; first shard {first.completed:,}/{first.total:,}" if first else ""
    unit = " shards" if first else ""
    return f"{key}{since}  [{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {done:,}/{total:,}{unit}{share}{inside}"


def _begun(status: RunStatus) -> datetime | None:
    steps = (step for entry in status.rounds if entry.round == status.current_round for step in entry.steps)
    return next((step.start_time for step in steps if step.name is status.step), None)


def view(run: Seen) -> tuple[str, View] | None:
    """Return the step in progress as a screen shows it, with its key; None when there is none."""
    status = run.status
    if run.over is not None or status.step is None:
        return None
    key = StepKey(status.current_round, status.step)
    first = status.progress.first_shard if status.progress else None
    figures = (("first_shard", float(first.completed)), ("of", float(first.total))) if first else ()
    running = run.condition(ConditionType.RUNNING)
    phase = "running" if running is None or running.status == "True" else ": ".join(_why(run))
    return str(key), View(str(key), phase, status.progress, figures)
