"""`tpt crd`: the resource's definition for Kubernetes."""

from pathlib import Path

import click

FILE = "tpt.dev_selfimprovementruns.yaml"
"""Named as other generators name it: GROUP_PLURAL.yaml."""


@click.command("crd", short_help="Print the CustomResourceDefinition.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help=f"Write it into this folder, as {FILE}.")
def command(output: Path | None) -> None:
    """Print the CustomResourceDefinition that is generated from the models."""
    from tpt_runtime.cli.resources import write_file
    from tpt_runtime.core.crd import crd_yaml

    if output is None:
        click.echo(crd_yaml(), nl=False)
        return
    write_file(output / FILE, crd_yaml().encode())
    click.echo(f"wrote {output / FILE}", err=True)
