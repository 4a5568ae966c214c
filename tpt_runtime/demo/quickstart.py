"""Writes the quickstart's folder: data sets and base model, from a seed and nothing else."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tpt_runtime.artifacts.files import write_rows
from tpt_runtime.demo.folder import Tell, to_stderr, write_once
from tpt_runtime.demo.model import Recipe, write_model
from tpt_runtime.demo.problems import Part, Row, base_corpus, questions

VERSION = 1
"""Counted up when the same settings come to mean another model or other data."""


@dataclass(frozen=True)
class Sizes:
    """Numbers of questions."""

    train: int = 800
    validation: int = 100
    eval: int = 400


SIZES = Sizes()
RECIPE = Recipe()


def write_quickstart(folder: Path, seed: int, *, sizes: Sizes = SIZES, recipe: Recipe = RECIPE, tell: Tell = to_stderr) -> None:
    """Write `data/{base,train,validation,eval}.jsonl` and `model/` into `folder`; what is there already stays.

    The rows have the fields `question` and `answer` (a solution that ends in `#### ANSWER`), besides `wording` and `heldOut`
    (whether it is the wording that no round trains on). `base.jsonl` is what the model was trained on, flaws and all.

    Args:
        folder: the work folder of the run to come; created if need be.
        seed: of data and model. The same seed gives the same data everywhere, and the same model on the same machine.
        sizes: numbers of questions.
        recipe: how the model is made.
        tell: takes lines about the progress.

    Raises:
        ConfigurationError: the folder holds a model or data of other settings or of another origin.
    """

    def make(target: Path) -> None:
        corpus = base_corpus(seed, recipe.rows)
        _write(target / "data" / "base.jsonl", corpus)
        for part, size in ((Part.TRAIN, sizes.train), (Part.VALIDATION, sizes.validation), (Part.EVAL, sizes.eval)):
            _write(target / "data" / f"{part}.jsonl", questions(part, seed, size))
        write_model(target / "model", corpus, seed, recipe, tell)

    settings = {"kind": "quickstart", "version": VERSION, "seed": seed, **asdict(sizes), "recipe": asdict(recipe)}
    write_once(folder, settings, make, tell)


def _write(path: Path, rows: Iterable[Row]) -> None:
    fields = ({"question": row.question, "answer": row.answer, "wording": row.wording, "heldOut": row.held_out} for row in rows)
    write_rows(path, fields)
