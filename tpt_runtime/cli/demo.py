"""`tpt demo-model`: a base model and data to try everything with."""

from pathlib import Path

import click


@click.command("demo-model", short_help="Make a base model and data to try everything with.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--kind",
    type=click.Choice(["quickstart", "smollm2", "programs"]),
    default="quickstart",
    show_default=True,
    help="quickstart: a tiny model, trained on the spot. smollm2: from a Python package. programs: a tiny one that programs.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Seed of model and data; not of smollm2."
)
def command(folder: Path, kind: str, seed: int) -> None:
    """Write a base model and its data sets into FOLDER, an ordinary Hugging Face folder and JSONL files.

    The same seed gives the same data everywhere, and the same model on the same machine.
    """
    if kind == "quickstart":
        from tpt_runtime.demo.quickstart import write_quickstart

        write_quickstart(folder, seed)
    elif kind == "programs":
        from tpt_runtime.demo.coding import write_coding

        write_coding(folder, seed)
    else:
        from tpt_runtime.demo.smollm2 import write_smollm2

        write_smollm2(folder)
