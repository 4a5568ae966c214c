"""What `tpt run` and `tpt report` say at the end: the table of rounds, the best model, the report."""

from pathlib import Path

import click

from tpt_runtime.core.errors import EXIT_CONFIGURATION, EXIT_CRASH
from tpt_runtime.core.layout import REPORT_DIR
from tpt_runtime.core.spec import Run
from tpt_runtime.core.status import Condition, ConditionType, Reason, RunStatus
from tpt_runtime.local.workdir import Workdir
from tpt_runtime.report.table import round_table

EXIT_SUSPENDED = 3
"""Nothing failed; the file, or a request to stop, asks for a pause."""
MENDABLE = (Reason.CONFIGURATION_ERROR, Reason.INVALID_SPEC)


def show_ending(run: Run, status: RunStatus, folder: Workdir) -> int:
    """Print what came of `run`; return the exit code that says the same."""
    name = run.metadata.name
    if any(entry.metrics or entry.examples for entry in status.rounds):
        click.echo(round_table(status, run.spec.objective.metric))
    if (failed := _holds(status, ConditionType.FAILED)) is not None:
        click.echo(f"{name} has failed ({failed.reason}): {failed.message}", err=True)
        return EXIT_CONFIGURATION if failed.reason in MENDABLE else EXIT_CRASH
    if (complete := _holds(status, ConditionType.COMPLETE)) is not None:
        click.echo(f"{name} is complete: {complete.message}")
        _show_best(status, folder)
        return 0
    said = "spec.suspend is true: set it to false to go on" if run.spec.suspend else "the same command goes on where it was"
    click.echo(f"{name} is suspended; {said}", err=True)
    return EXIT_SUSPENDED


def _show_best(status: RunStatus, folder: Workdir) -> None:
    if status.best_model is not None:
        model = _shown(folder.artifacts / status.best_model)
        click.echo(f"best model, round {status.best_round}: {model}\nserve it: vllm serve {model}")
    page = folder.artifacts / REPORT_DIR / "report.html"
    if page.exists():
        click.echo(f"report: {_shown(page)}")


def _shown(path: Path) -> Path:
    """Return `path` as it is shortest: relative to the present folder where it lies below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _holds(status: RunStatus, kind: ConditionType) -> Condition | None:
    return next((item for item in status.conditions if item.type is kind and item.status == "True"), None)
