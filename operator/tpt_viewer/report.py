"""`tpt report`: the report of a run, finished or not, from a work folder or a cluster."""

from pathlib import Path

import click

from tpt_viewer.access import Access, of_cluster


@click.command("report", short_help="Show the rounds of a run and write its report.")
@click.argument("run")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write.  [default: WORKDIR/report, or NAME-report of a run in a cluster]",
)
@of_cluster
def command(run: str, output: Path | None, access: Access) -> None:
    """Print the rounds of RUN so far, and write its report as a page that opens without a network.

    RUN is the name of a run in the cluster, or a work folder of `tpt run` such as runs/NAME. A run writes its report by itself
    when it ends; this one can be made at any time.
    """
    from tempfile import TemporaryDirectory

    from tpt_runtime.finalize.step import PAGE
    from tpt_runtime.report.table import round_table
    from tpt_viewer.artifacts import opened
    from tpt_viewer.places import FolderPlace, find

    with find(run, access) as place, TemporaryDirectory(prefix="tpt-") as cache, opened(place, Path(cache)) as artifacts:
        beside = place.folder.path / "report" if isinstance(place, FolderPlace) else Path(f"{run}-report")
        written = output or beside
        artifacts.write_report(written)
        click.echo(round_table(artifacts.status, artifacts.run.spec.objective.metric))
    click.echo(f"report: {written / PAGE}")
