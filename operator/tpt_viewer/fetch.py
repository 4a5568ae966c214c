"""`tpt fetch`: the best model and the report of a run, copied to this machine."""

from pathlib import Path

import click

from tpt_viewer.access import Access, of_cluster


@click.command("fetch", short_help="Copy the best model and the report of a run to this machine.")
@click.argument("run")
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder to write.  [default: NAME of the run, here]"
)
@of_cluster
def command(run: str, output: Path | None, access: Access) -> None:
    """Copy the best model of RUN so far and its report into a folder: model/ and report/.

    RUN is the name of a run in the cluster, or a work folder of `tpt run` such as runs/NAME. Every file is compared with the
    manifest that the run wrote. What is there already and is right is not copied again; the same command goes on where it was.
    """
    from tpt_runtime.finalize.step import PAGE
    from tpt_viewer.copying import copy_best
    from tpt_viewer.places import find

    with find(run, access) as place:
        copied = copy_best(place, output)
    if copied.model is None:
        click.echo("no model is copied: the run has made none that is better than its base model")
    else:
        click.echo(f"best model, round {copied.round}: {copied.model}\nserve it: vllm serve {copied.model}")
    click.echo(f"report: {copied.report / PAGE}")
