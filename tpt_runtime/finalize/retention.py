"""Which models stay. The manifest of a model that goes stays: it says what was done, so that nobody does it again."""

import shutil
from pathlib import Path

from tpt_runtime.artifacts.files import write_json
from tpt_runtime.artifacts.manifest import read_manifest
from tpt_runtime.core.choices import KeepCheckpoints
from tpt_runtime.core.configs import FinalizeConfig
from tpt_runtime.core.layout import MANIFEST
from tpt_runtime.step.context import Context


def keep_models(config: FinalizeConfig, context: Context) -> tuple[list[str], int]:
    """Remove the models that `retention` does not keep; return the folders that stay and how many are gone.

    The best and the last round's models always stay; the base model is never touched.
    """
    root = Path(config.root)
    kept: list[str] = []
    gone = 0
    for number, folders in enumerate(config.rounds):
        if number == 0 or (manifest := read_manifest(root / folders["train"])) is None:
            continue
        model = root / folders["model"]
        wanted = number in (config.best_round, config.last_round) or config.retention is KeepCheckpoints.ALL
        if model.is_dir() and wanted:
            kept.append(folders["model"])
            continue
        gone += 1
        if model.is_dir():
            context.note(f"removing the model of round {number}: neither the best nor the last one")
            # Out of its manifest first, and out of its place at once: no manifest lists what is gone, no model lacks a part.
            write_json(root / folders["train"] / MANIFEST, manifest.model_copy(update={"files": {}}).wire())
            model.replace(_removed(model))
        shutil.rmtree(_removed(model), ignore_errors=True)
    return kept, gone


def _removed(model: Path) -> Path:
    return model.with_name(f"{model.name}.removed")
