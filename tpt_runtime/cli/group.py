"""The command `tpt`: finds its commands, and turns errors into words and exit codes.

Other distributions add commands by an entry point of the group `tpt.commands`, NAME = MODULE:COMMAND.
"""

from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import click

from tpt_runtime import __version__
from tpt_runtime.core.errors import EXIT_CRASH, TptError

COMMANDS = {
    "init": "tpt_runtime.cli.init",
    "validate": "tpt_runtime.cli.validate",
    "plan": "tpt_runtime.cli.plan",
    "run": "tpt_runtime.cli.run",
    "grade": "tpt_runtime.cli.grade",
    "sandbox": "tpt_runtime.cli.sandbox",
    "demo-model": "tpt_runtime.cli.demo",
    "crd": "tpt_runtime.cli.crd",
}
"""Where each command is defined, as `command`, in the order of the help."""
PLUGINS = "tpt.commands"


class Commands(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click gives it
        """Return our commands in order, then those of other distributions."""
        return [*COMMANDS, *sorted(point.name for point in _plugins())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click gives it
        """Import the command `cmd_name`, None if there is none."""
        if cmd_name in COMMANDS:
            found = import_module(COMMANDS[cmd_name]).command
        else:
            found = next((point.load() for point in _plugins() if point.name == cmd_name), None)
        return found if isinstance(found, click.Command) else None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of ours is told without a traceback, any other with a word on what to do."""
        try:
            return super().invoke(ctx)
        except TptError as error:
            click.echo(f"tpt: {error}", err=True)
            raise click.exceptions.Exit(error.exit_code) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except OSError as error:
            click.echo(f"tpt: {error.filename or 'the system'}: {error.strerror or error}", err=True)
            raise click.exceptions.Exit(EXIT_CRASH) from error
        except Exception as error:
            error.add_note(f"This is a mistake in tpt {__version__}, not in your file: please report it with all of this text.")
            raise


def _plugins() -> Iterable[Any]:
    return (point for point in entry_points(group=PLUGINS) if point.name not in COMMANDS)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="tpt")
def main() -> None:
    """Think, Prune, Train: language models that improve on their own correct reasoning traces.

    Begin with `tpt init`, `tpt validate run.yaml` and `tpt run run.yaml`. Exit codes are listed in docs/cli.md.
    """
