"""Publishes the best model with its card, to the hub or to an object store. Whoever finds it there finds all of it.

On the hub it is one commit, in an object store a folder whose manifest is put last; the folder is named by the model's digest.
What is there already is not sent again, so a step that was killed in between may be repeated. The step's own manifest is written
after this: it is repeated until the model is out.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tpt_runtime.artifacts.files import json_bytes
from tpt_runtime.artifacts.hub import Repository, publish_model, repository_name
from tpt_runtime.artifacts.manifest import FileEntry, file_entries, write_manifest
from tpt_runtime.artifacts.mirror import Mirror
from tpt_runtime.artifacts.objects import ObjectUri
from tpt_runtime.core.configs import FinalizeConfig
from tpt_runtime.core.errors import ArtifactError
from tpt_runtime.core.spec import Publish
from tpt_runtime.core.status import PrepareSummary, Resolved
from tpt_runtime.report.card import publication
from tpt_runtime.report.record import RunRecord
from tpt_runtime.step.context import Context

FIELD = "spec.publish"
CARD = "README.md"
TRAINING_CARD = "TRAINING.md"
"""What the trained model's own card is called beside the run's."""


@dataclass(frozen=True)
class Publication:
    """What is published."""

    name: str
    """RUN-round-N-DIGEST: another one for every model."""
    digest: str
    files: Mapping[str, Path]
    entries: Mapping[str, FileEntry]
    card: bytes

    @property
    def record(self) -> bytes:
        """What says in a repository which model this is."""
        return json_bytes({"publication": self.name, "digest": self.digest}) + b"\n"


def publish_best(config: FinalizeConfig, record: RunRecord, context: Context) -> str | None:
    """Publish the best model as `config` says, and return where it is; None where nothing is to be published.

    Raises:
        ConfigurationError: the token or the keys are refused, or there is no such place.
        StepFailed: the place cannot be reached, or somebody else writes there; trying again may help.
        ArtifactError: the model is not what its manifest says.
    """
    if config.publish is None:
        return None
    if not config.best_round:
        context.note("no model is better than the base model: nothing is published")
        return None
    context.phase("publish")
    found = _publication(config, config.best_round, record, context)
    target = repository_name(config.publish.uri)
    if target is None:
        return _to_object_store(config.publish, found, context)
    return _to_hub(config.publish, target, found)


def _publication(config: FinalizeConfig, best: int, record: RunRecord, context: Context) -> Publication:
    root, storage = Path(config.root), context.storage
    model = root / config.rounds[best]["model"]
    storage.fetch(model.parent, model.name)
    manifest = storage.manifest(model.parent)
    if manifest is None:
        raise ArtifactError(f"{model.parent}: no manifest: the training of the best model has to run again")
    prefix = f"{model.name}/"
    entries = {name.removeprefix(prefix): entry for name, entry in manifest.files.items() if name.startswith(prefix)}
    files = {name: model / name for name in entries}
    missing = sorted(name for name, path in files.items() if not path.is_file())
    wrong = missing or [name for name, entry in file_entries(files).items() if entry != entries[name]]
    if wrong or not files:
        raise ArtifactError(f"{model}: {', '.join(wrong) or 'no file'}: not what its manifest says; it is not published")
    if CARD in files:
        files[TRAINING_CARD], entries[TRAINING_CARD] = files.pop(CARD), entries.pop(CARD)
    card = publication(record, best, manifest.digest, _resolved(config, context))
    return Publication(f"{config.run}-round-{best}-{manifest.digest}", manifest.digest, files, entries, card.encode())


def _resolved(config: FinalizeConfig, context: Context) -> Resolved:
    """Return the commits that prepare resolved; the base model lies in its folder."""
    manifest = context.storage.manifest((Path(config.root) / config.rounds[0]["model"]).parent)
    return PrepareSummary.from_wire(manifest.summary).resolved if manifest and manifest.summary else Resolved()


def _to_hub(publish: Publish, target: str, found: Publication) -> str:
    secret = publish.secret_ref.name if publish.secret_ref else None
    repository = Repository("model", target, FIELD, secret=secret)
    commit = publish_model(repository, found.files, {CARD: found.card, "tpt.json": found.record}, found.name)
    return f"hf://{target}@{commit}"


def _to_object_store(publish: Publish, found: Publication, context: Context) -> str:
    secret = publish.secret_ref.name if publish.secret_ref else None
    uri = ObjectUri.parse(f"{FIELD}.uri", publish.uri, secret)
    with _laid_out(found) as folder:
        mirror = Mirror(uri, folder.parent, context.check)
        mirror.objects.touch()
        known = {name: entry for name, entry in found.entries.items() if name != CARD}
        manifest = write_manifest(folder, found.digest, summary={"publication": found.name}, known=known)
        mirror.complete(folder, manifest)
    return f"{uri}/{found.name}"


@contextmanager
def _laid_out(found: Publication) -> Iterator[Path]:
    """Return a folder that has everything under the name that it will have; the weights are linked."""
    with tempfile.TemporaryDirectory(prefix="publish-") as scratch:
        folder = Path(scratch) / found.name
        for name, path in found.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(path.absolute())
        (folder / CARD).write_bytes(found.card)
        yield folder
