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
    """Remove the models that `retention` does not keep; return the folders that stay and how many went.

    The best and the last round's models always stay; the base model is never touched.
    """
    root = Path(config.root)
    kept: list[str] = []
    removed = 0
    for number, folders in enumerate(config.rounds):
        if number == 0 or not (root / folders["model"]).is_dir():
            continue
        wanted = number in (config.best_round, config.last_round) or config.retention is KeepCheckpoints.ALL
        if wanted:
            kept.append(folders["model"])
        else:
            context.note(f"removing the model of round {number}: neither the best nor the last one")
            _remove(root / folders["train"], root / folders["model"])
            removed += 1
    return kept, removed


def _remove(folder: Path, model: Path) -> None:
    """Take the model out of its manifest first, so that no manifest ever lists what is gone."""
    manifest = read_manifest(folder)
    if manifest is not None:
        write_json(folder / MANIFEST, manifest.model_copy(update={"files": {}}).wire())
    shutil.rmtree(model)
