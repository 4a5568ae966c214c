"""The launcher: checks everything, starts this node's training processes, and publishes the model.

Nothing here imports torch. On several nodes every launcher checks and starts its own processes; node 0's publishes.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tpt_runtime.artifacts.files import partial_folder, publish_folder, storage_failure
from tpt_runtime.artifacts.manifest import read_manifest, write_manifest
from tpt_runtime.artifacts.storage import Storage
from tpt_runtime.core.configs import TrainConfig
from tpt_runtime.core.errors import ConfigurationError, StepFailed
from tpt_runtime.core.layout import MANIFEST, model_dir
from tpt_runtime.core.status import Metric, TrainSummary
from tpt_runtime.step.context import Context
from tpt_runtime.train import processes
from tpt_runtime.train.card import model_card
from tpt_runtime.train.checks import check
from tpt_runtime.train.devices import find_devices
from tpt_runtime.train.job import CHECKPOINTS, OUTCOMES, Job, Outcome, outcome_file, stored_checkpoints

LIVE = ("optimizer_step", "loss", "tokens", "tokens_per_second")


def train(config: TrainConfig, context: Context) -> TrainSummary:
    """Train the model that `config` describes, or return the summary of the training that did.

    Raises:
        ConfigurationError: something that only the user can mend.
        ArtifactError: what an earlier step wrote is missing, truncated or edited.
        StepFailed: a process failed; its exit code is the error's.
        Interrupted: the step was asked to stop.
    """
    folder = Path(config.root) / config.path
    if done := context.storage.finished(folder, config.digest):
        _clean(folder, context.storage)
        return TrainSummary.model_validate(done.summary)
    context.phase("fetch")
    _fetch(config, context.storage)
    context.phase("check")
    job = check(config, find_devices(), context)
    if stored := stored_checkpoints(job, context.check):
        context.phase("fetch checkpoint")
        stored.fetch(folder / CHECKPOINTS, job.topology, context.note)
    _run(job, context)
    if context.index:
        return TrainSummary(digest=config.digest, seconds=context.finish_phases())
    return _publish(job, context)


def _fetch(config: TrainConfig, storage: Storage) -> None:
    """Have here what is trained on, and the model that training begins with."""
    root = Path(config.root)
    storage.fetch((root / config.model).parent)
    storage.fetch((root / config.tokenizer).parent, (root / config.tokenizer).name)
    for name in config.examples:
        storage.fetch(root / name)


def _run(job: Job, context: Context) -> None:
    """Run this node's processes to their end."""
    with tempfile.TemporaryDirectory(prefix="tpt-train-") as name:
        scratch = Path(name)
        description, errors = scratch / "job.json", scratch / "errors"
        description.write_text(job.model_dump_json(by_alias=True), encoding="utf-8")
        errors.mkdir()
        command = processes.command(job, description, context.index, os.environ)
        environment = processes.environment_of(job, errors, os.environ)
        ended = processes.run(command, environment, lambda event: pass_on(event, context), context.stopping)
        if ended.code:
            raise processes.failure(errors, ended)


def pass_on(event: dict[str, Any], context: Context) -> None:
    """Say what a training process told."""
    fields = {name: value for name, value in event.items() if name != "event"}
    match event["event"]:
        case "phase":
            context.phase(fields["phase"])
        case "progress":
            context.progress(fields["completed"], fields["total"], **{name: fields[name] for name in LIVE})
        case other:
            context.journal.event(other, **fields)


def _publish(job: Job, context: Context) -> TrainSummary:
    """Let the trained model appear whole, and write the manifest last."""
    context.phase("publish")
    config = job.config
    folder = Path(config.root) / config.path
    final = Path(config.root) / model_dir(config.path)
    partial = partial_folder(final, config.attempt)
    outcome = _outcome(job)
    if not outcome.changed_share:
        raise ConfigurationError(
            f"training changed no weight in {outcome.steps} steps: the learning rate of {config.learning_rate} is too small for "
            "these examples, or they are already certain; raise training.learningRate"
        )
    metrics = figures(outcome)
    try:
        _copy_tokenizer(Path(config.root) / config.tokenizer, partial)
        (partial / "README.md").write_text(model_card(config, outcome, metrics, _data(config)), encoding="utf-8")
        publish_folder(partial, final)
    except OSError as error:
        raise storage_failure(final, error) from error
    summary = TrainSummary(digest=config.digest, metrics=metrics, seconds=context.finish_phases())
    files = sorted(path for path in final.rglob("*") if path.is_file())
    counts = {"examples": outcome.examples}
    manifest = write_manifest(folder, config.digest, summary=summary.full_wire(), counts=counts, files=files)
    in_force = context.storage.complete(folder, manifest)
    _clean(folder, context.storage)
    return TrainSummary.model_validate(in_force.summary)


def _outcome(job: Job) -> Outcome:
    path = outcome_file(job)
    try:
        return Outcome.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise StepFailed(
            f"{path}: the training processes ended well, but left no outcome ({error}); run the step again"
        ) from error


def figures(outcome: Outcome) -> list[Metric]:
    """Return the metrics of a training."""
    values: dict[str, float] = {
        "train/loss": outcome.loss,
        "train/steps": outcome.steps,
        "train/tokens": outcome.tokens,
        "train/examples": outcome.examples,
        "train/dropped": outcome.dropped,
        "train/repeated": outcome.repeated,
        "train/changedShare": outcome.changed_share,
        "train/changedShareBF16": outcome.changed_share_bf16,
    }
    if outcome.held_out:
        values |= {"validation/lossBefore": outcome.held_out[0], "validation/loss": outcome.held_out[-1]}
    return [Metric(name=name, value=value) for name, value in values.items()]


def _data(config: TrainConfig) -> dict[str, dict[str, Any]]:
    """Return the summaries of the prune steps by folder."""
    manifests = {name: read_manifest(Path(config.root) / name) for name in config.examples}
    return {name: manifest.summary if manifest else {} for name, manifest in manifests.items()}


def _copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the tokenizer word for word, its chat template with it; not the hidden files and manifests around it."""
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        if path.is_file() and not path.name.endswith(MANIFEST) and not any(part.startswith(".") for part in name.parts):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name)


def _clean(folder: Path, storage: Storage) -> None:
    """Remove what only an unfinished training needs."""
    storage.remove(folder / CHECKPOINTS)
    for path in folder.glob("model.partial-*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in [*folder.glob(OUTCOMES), *folder.glob(f".{OUTCOMES}.*.partial")]:  # and what a kill in mid-write left
        path.unlink(missing_ok=True)
