"""`tpt status`: how runs stand."""

import click

from tpt_viewer.access import Access, of_cluster


@click.command("status", short_help="Say how runs stand, in a cluster or in a work folder.")
@click.argument("run", required=False)
@click.option("-A", "--all-namespaces", is_flag=True, help="List the runs of all namespaces.")
@of_cluster
def command(run: str | None, all_namespaces: bool, access: Access) -> None:
    """Say how RUN stands: what it does, how far it is, its rounds as a table. Without RUN: list the runs of the namespace.

    RUN is the name of a run in the cluster, or a work folder of `tpt run` such as runs/NAME.
    """
    from datetime import UTC, datetime

    from tpt_viewer.cluster import connect
    from tpt_viewer.places import find
    from tpt_viewer.seen import described, from_resource, listing

    if run is not None and all_namespaces:
        raise click.UsageError("RUN names one run, --all-namespaces lists all: give one of them")
    now = datetime.now(UTC)
    if run is not None:
        with find(run, access) as place:
            click.echo(described(place.seen(), now))
        return
    with connect(access) as cluster:
        runs = [from_resource(item) for item in cluster.runs(everywhere=all_namespaces)]
        if runs:
            click.echo(listing(runs, now, namespaces=all_namespaces))
        else:
            click.echo(f"no run in {'any namespace' if all_namespaces else f'namespace {cluster.namespace}'}", err=True)
