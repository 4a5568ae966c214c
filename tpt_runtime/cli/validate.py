"""`tpt validate`: everything that is wrong with files, at once, before anything is run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tpt_runtime.core.errors import EXIT_CONFIGURATION, ConfigurationError

if TYPE_CHECKING:
    from tpt_runtime.core.spec import Run
    from tpt_runtime.prepare.questions import Question

SHOWN = 2


@click.command("validate", short_help="Report everything that is wrong with run files.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--data", is_flag=True, help="Read the data sets too, and show two prompts with their reference answers as read.")
@click.option(
    "--workdir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where relative paths count from, with --data.  [default: runs/NAME]",
)
def command(files: tuple[Path, ...], data: bool, workdir: Path | None) -> None:
    """Check the runs in FILES and report everything that is wrong with them.

    With --data the data sets are read as well, over the network where they are remote; the model is not.
    """
    from tpt_runtime.cli.resources import read_runs, workdir_of

    refused = False
    for file in files:
        try:
            for run in read_runs(file):
                if data:
                    _show_data(run, workdir_of(run, workdir))
                click.echo(f"{file}: {run.metadata.name} is valid")
        except ConfigurationError as error:
            refused = True
            click.echo(f"tpt: {error}", err=True)
    if refused:
        raise SystemExit(EXIT_CONFIGURATION)


def _show_data(run: Run, workdir: Path) -> None:
    """Print how many questions `run` has, and two of them as the model and the verifier get them."""
    from tpt_runtime.core.commands import Commands
    from tpt_runtime.prepare.sources import Sources
    from tpt_runtime.prepare.step import read_data

    storage = workdir.absolute()
    config = Commands(run, str(storage), str(storage)).prepare(attempt=1)
    with tempfile.TemporaryDirectory() as downloads:
        questions, counts = read_data(config, Sources(str(storage), Path(downloads)))
    sizes = ", ".join(f"{len(found):,} {name}" for name, found in questions.items())
    left_out = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    click.echo(f"questions: {sizes}" + (f" (left out: {left_out})" if left_out else ""))
    for question in questions["train"][:SHOWN]:
        _show_question(run, question)


def _show_question(run: Run, question: Question) -> None:
    prompt = run.spec.dataset.prompt
    if prompt.mode == "Chat":
        system = f", after the system message {prompt.system!r}" if prompt.system else ""
        click.echo(f"--- {question.place}: the user's turn in the model's chat template{system}")
    else:
        click.echo(f"--- {question.place}: the whole prompt")
    click.echo(question.text)
    click.echo(
        f"--- its reference answer, as {run.spec.pruning.verifier.type} reads it: {_read_reference(run, question.reference)}"
    )


def _read_reference(run: Run, reference: str) -> str:
    """Return the answer that the verifier finds in `reference`, which is a solution or a bare answer."""
    from tpt_runtime.verify.protocol import verifier_of

    verify = verifier_of(run.spec.pruning.verifier)
    found = (verify.grade_quickly(text, reference) for text in (reference, f"#### {reference}"))
    return next((grade.answer for grade in found if grade is not None and grade.answer is not None), reference)
