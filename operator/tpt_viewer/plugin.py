"""`kubectl tpt ...`: kubectl runs the program `kubectl-tpt` that it finds on the PATH."""

from importlib import import_module

import click

from tpt_runtime import __version__
from tpt_runtime.cli.group import Commands

COMMANDS = {name: f"tpt_viewer.{name}" for name in ("status", "watch", "report", "fetch")}
"""Where each command is defined, as `command`; pyproject.toml names the same ones as commands of `tpt`."""


class Plugin(Commands):
    """The commands that show runs, and no other; errors are told as `tpt` does."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click gives it
        """Return the commands in order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click gives it
        """Import the command `cmd_name`, None if there is none."""
        found = import_module(COMMANDS[cmd_name]).command if cmd_name in COMMANDS else None
        return found if isinstance(found, click.Command) else None


@click.group(cls=Plugin, name="kubectl tpt", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="kubectl tpt")
def main() -> None:
    """See runs of Think, Prune, Train: how far they are, their report, their best model."""
