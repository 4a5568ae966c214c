"""`tpt report`: the report of a run, finished or not, from what lies in its work folder."""

from pathlib import Path

import click


@click.command("report", short_help="Show the rounds of a run and write its report.")
@click.argument("workdir", type=click.Path(path_type=Path, file_okay=False))
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Folder to write.  [default: WORKDIR/report]")
def command(workdir: Path, output: Path | None) -> None:
    """Print the rounds of the run in WORKDIR so far, and write its report as a page that opens without a network.

    A run writes its report by itself when it ends, into WORKDIR/artifacts/report; this one can be made at any time.
    """
    from tpt_runtime.core.commands import Commands
    from tpt_runtime.core.errors import ConfigurationError
    from tpt_runtime.core.rounds import Rounds
    from tpt_runtime.finalize.gather import gather
    from tpt_runtime.finalize.step import PAGE, write_report
    from tpt_runtime.local.workdir import Workdir
    from tpt_runtime.report.table import round_table

    folder = Workdir(workdir)
    run, status = folder.kept(), folder.status()
    if run is None or status is None:
        raise ConfigurationError(
            f"{workdir}: no run was begun here (no run.yaml with a status.json); give a work folder of `tpt run`"
        )
    commands = Commands(run, str(folder.path), str(folder.artifacts))
    config = commands.finalize(Rounds(status.rounds).trained, 1, best_round=status.best_round, status=status.full_wire())
    written = output or folder.path / "report"
    write_report(gather(config), written)
    click.echo(round_table(status, run.spec.objective.metric))
    click.echo(f"report: {written / PAGE}")
