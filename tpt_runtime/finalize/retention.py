"""Which models stay. The manifest of a model that goes stays: it says what was done, so that nobody does it again."""

from pathlib import Path

from tpt_runtime.core.choices import KeepCheckpoints
from tpt_runtime.core.configs import FinalizeConfig
from tpt_runtime.step.context import Context


def keep_models(config: FinalizeConfig, context: Context) -> tuple[list[str], int]:
    """Remove the models that `retention` does not keep; return the folders that stay and how many are gone.

    The best and the last round's models always stay; the base model is never touched.
    """
    root, storage = Path(config.root), context.storage
    kept: list[str] = []
    gone = 0
    for number, folders in enumerate(config.rounds):
        if number == 0 or (manifest := storage.manifest(root / folders["train"])) is None:
            continue
        model = root / folders["model"]
        wanted = number in (config.best_round, config.last_round) or config.retention is KeepCheckpoints.ALL
        there = storage.holds(model.parent, model.name)
        if there and wanted:
            kept.append(folders["model"])
            continue
        gone += 1
        if there:
            context.note(f"removing the model of round {number}: neither the best nor the last one")
            # Out of its manifest first: no manifest lists what is gone.
            storage.rewrite(model.parent, manifest.model_copy(update={"files": {}}))
        storage.remove(model)
    return kept, gone
