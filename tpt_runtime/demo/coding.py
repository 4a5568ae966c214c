"""Writes the folder of the run on programming problems: data sets with tests, and a base model that writes flawed programs."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from tpt_runtime.artifacts.files import write_rows
from tpt_runtime.demo.folder import Tell, to_stderr, write_once
from tpt_runtime.demo.model import Recipe, write_model
from tpt_runtime.demo.programs import Part, Problem, base_corpus, problems_of
from tpt_runtime.demo.quickstart import Sizes

VERSION = 1
"""Counted up when the same settings come to mean another model or other data."""
SIZES = Sizes(train=240, validation=48, eval=96)
RECIPE = Recipe(rows=6000, steps=900)


def write_coding(folder: Path, seed: int, *, sizes: Sizes = SIZES, recipe: Recipe = RECIPE, tell: Tell = to_stderr) -> None:
    """Write `data/{train,validation,eval}.jsonl`, with the fields `question` and `tests`, and `model/` into `folder`.

    Args:
        folder: the work folder of the run to come; created if need be.
        seed: of data and model.
        sizes: numbers of problems.
        recipe: how the model is made.
        tell: takes lines about the progress.

    Raises:
        ConfigurationError: the folder holds a model or data of other settings or of another origin.
    """

    def make(target: Path) -> None:
        for part, size in ((Part.TRAIN, sizes.train), (Part.VALIDATION, sizes.validation), (Part.EVAL, sizes.eval)):
            _write(target / "data" / f"{part}.jsonl", problems_of(part, seed, size))
        write_model(target / "model", base_corpus(seed, recipe.rows), seed, recipe, tell)

    settings = {"kind": "programs", "version": VERSION, "seed": seed, **asdict(sizes), "recipe": asdict(recipe)}
    write_once(folder, settings, make, tell)


def _write(path: Path, problems: Iterable[Problem]) -> None:
    write_rows(path, ({"question": problem.text, "tests": problem.tests()} for problem in problems))
