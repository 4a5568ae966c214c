"""`tpt watch`: follow a run until it is over."""

import sys

import click

from tpt_viewer.access import Access, of_cluster


@click.command("watch", short_help="Follow a run until it is over.")
@click.argument("run")
@of_cluster
def command(run: str, access: Access) -> None:
    """Follow RUN until it is complete or has failed: what happens as lines, the step in progress as a bar, then its rounds.

    RUN is the name of a run in the cluster, or a work folder of `tpt run` such as runs/NAME. It ends with the exit code that
    `tpt run` would end with. Ctrl-C ends the watching, and nothing else.
    """
    from datetime import UTC, datetime

    from tpt_runtime.local.screen import open_screen
    from tpt_viewer.following import follow
    from tpt_viewer.places import find
    from tpt_viewer.seen import described

    with find(run, access) as place:
        last = follow(place.follow(), open_screen(sys.stderr))
    click.echo(described(last, datetime.now(UTC)))
    sys.exit(last.exit_code)
