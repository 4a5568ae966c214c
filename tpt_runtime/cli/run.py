"""`tpt run`: carry out a run on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tpt_runtime.core.spec import Run

SIGNALLED = 128
"""A run that was interrupted exits with this plus the signal's number, as shells have it: 130 after Ctrl-C."""


@click.command("run", short_help="Carry out a run on this machine, or go on with it.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--workdir", type=click.Path(path_type=Path, file_okay=False), help="Work folder.  [default: runs/NAME]")
def command(file: Path, workdir: Path | None) -> None:
    """Carry out the run in FILE on this machine, or go on with it where it was.

    Relative paths in FILE count from the work folder. Ctrl-C suspends: the same command resumes. Whatever is finished is not done
    again. FILE may be changed in the fields that do not decide results (maxRounds, objective, shards, ...); other changes are
    refused.
    """
    from tpt_runtime.cli.resources import read_run, workdir_of

    run = read_run(file)
    sys.exit(carry_out(run, str(file), workdir_of(run, workdir)))


def carry_out(run: Run, source: str, workdir: Path) -> int:
    """Carry out `run`, read from `source`, in `workdir`; say what came of it, and return the exit code."""
    from tpt_runtime.cli.ending import EXIT_SUSPENDED, show_ending
    from tpt_runtime.local.devices import visible_gpus
    from tpt_runtime.local.jobs import Jobs, Settings
    from tpt_runtime.local.runner import Machine, Runner
    from tpt_runtime.local.screen import open_screen
    from tpt_runtime.local.wakeups import SystemClock
    from tpt_runtime.local.workdir import Workdir

    folder = Workdir(workdir)
    with folder.locked(), SystemClock() as clock:
        taken = folder.take(run, source)
        click.echo(f"{run.metadata.name}: {run.spec.max_rounds} rounds at most, in {workdir}", err=True)
        jobs = Jobs(Settings(folder.jobs, folder.logs))
        machine = Machine(folder, jobs, open_screen(sys.stderr), clock, visible_gpus(os.environ))
        status = Runner(taken, machine).carry_out()
        stops = list(clock.stops)
    code = show_ending(taken, status, folder)
    return SIGNALLED + stops[0] if stops and code == EXIT_SUSPENDED else code
