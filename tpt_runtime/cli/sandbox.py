"""`tpt sandbox`: does this machine contain generated programs?"""

import click

from tpt_runtime.core.errors import EXIT_CONFIGURATION


@click.command("sandbox", short_help="Try whether generated programs are contained here.")
def command() -> None:
    """Try from inside the sandbox of the verifier Code what programs must not be able to do, and print what came of it.

    It needs no privilege and a tenth of a second. The exit code is 64 where anything worked, so that `sandbox: Required` would
    run no program here.
    """
    from tpt_runtime.verify.probe import WALLS
    from tpt_runtime.verify.protection import kernel_words, refuse_other_systems
    from tpt_runtime.verify.sandbox import Sandbox

    refuse_other_systems()
    with Sandbox() as sandbox:
        held = sandbox.probe()
    for wall, words in WALLS.items():
        click.echo(f"{'held  ' if held[wall] else 'BROKEN'}  {wall}: {words}")
    click.echo(kernel_words())
    if not all(held.values()):
        raise SystemExit(EXIT_CONFIGURATION)
