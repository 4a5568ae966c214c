"""The artifacts of a run, read from where they are at home: a work folder, an object store or a claim.

An object store is read directly, with the keys or the identity of this machine, a claim through a pod. Whatever comes from
elsewhere is compared with its manifest. Nothing is written there.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tpt_operator import pods
from tpt_runtime.artifacts.manifest import FileEntry
from tpt_runtime.artifacts.mirror import Mirror
from tpt_runtime.artifacts.objects import ObjectUri, ask_nobody
from tpt_runtime.artifacts.storage import Storage
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.configs import FinalizeConfig
from tpt_runtime.core.errors import TptError
from tpt_runtime.core.resource import parse_run
from tpt_runtime.core.rounds import Rounds
from tpt_runtime.core.spec import Run
from tpt_runtime.core.status import RunStatus
from tpt_runtime.finalize.gather import fetch_inputs, gather
from tpt_runtime.finalize.step import write_report
from tpt_viewer import reader
from tpt_viewer.claims import Claim
from tpt_viewer.places import ClusterPlace, FolderPlace, Place
from tpt_viewer.seen import from_resource

HINT = "(an object store is read directly, with the AWS_* variables or the identity of this machine)"


@dataclass(frozen=True)
class Artifacts:
    """The artifacts of one run."""

    run: Run
    status: RunStatus
    storage: Storage
    root: Path
    """The run's folder, or a cache of it."""
    remote: bool = True

    @property
    def config(self) -> FinalizeConfig:
        """What the finalize step would be told now."""
        status = self.status
        commands = Commands(self.run, str(self.root), str(self.root))
        return commands.finalize(Rounds(status.rounds).trained, 1, best_round=status.best_round, status=status.full_wire())

    def write_report(self, folder: Path) -> None:
        """Write the run's report into `folder`: the one that it ended with, or one of what there is so far."""
        config = self.config
        home = self.root / config.path
        manifest = self.storage.manifest(home) if self.remote else None
        if manifest is not None and manifest.digest == config.digest:
            self.storage.fetch(home)
            folder.mkdir(parents=True, exist_ok=True)
            for name in manifest.files:
                shutil.copyfile(home / name, folder / name)
            return
        fetch_inputs(config, self.storage)
        write_report(gather(config), folder)

    def best_files(self) -> dict[str, FileEntry]:
        """Return the files of the best model by name, as its manifest has them; none where the run has made no such model."""
        if not self.status.best_round or self.status.best_model is None:
            return {}
        model = self.root / self.status.best_model
        manifest = self.storage.manifest(model.parent)
        prefix = f"{model.name}/"
        listed = manifest.files if manifest else {}
        return {name.removeprefix(prefix): entry for name, entry in listed.items() if name.startswith(prefix)}


@contextmanager
def opened(place: Place, cache: Path) -> Iterator[Artifacts]:
    """Open the artifacts of the run at `place`; what has to be fetched goes into `cache`.

    Raises:
        ConfigurationError: they cannot be read, for a reason that the user can mend.
        TptError: they cannot be reached.
    """
    if isinstance(place, FolderPlace):
        run, status = place.kept()
        yield Artifacts(run, status, Storage(), place.folder.artifacts, remote=False)
        return
    if not isinstance(place, ClusterPlace):
        raise TypeError(f"{type(place).__name__}: no place whose artifacts are known")
    item = place.cluster.run(place.name)
    run, status = parse_run(item, place.name), from_resource(item).status
    if run.spec.storage.uri is not None:
        yield Artifacts(run, status, _object_store(run, cache), cache)
        return
    root = pods.root(run)
    with place.cluster.pod(reader.pod(run, status)) as pod:

        def send(names: list[str], patterns: list[str]) -> Iterator[bytes]:
            return place.cluster.run_in(pod, reader.CONTAINER, reader.command(root, names, patterns))

        yield Artifacts(run, status, Claim(cache, send), cache)


def _object_store(run: Run, cache: Path) -> Storage:
    secret = run.spec.storage.secret_ref
    uri = ObjectUri.parse("spec.storage.uri", pods.root(run), secret.name if secret else None)
    mirror = Mirror(uri, cache, ask_nobody)
    try:
        mirror.objects.touch()
    except TptError as error:
        raise type(error)(f"{error} {HINT}") from error
    return mirror
