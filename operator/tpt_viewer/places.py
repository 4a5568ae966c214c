"""Where a run is: in a work folder of `tpt run`, or in a cluster. The same argument names either.

A name with a slash, or a folder that has a status, is a work folder; anything else is a run's name in the cluster.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.spec import Run
from tpt_runtime.core.status import RunStatus
from tpt_runtime.local.workdir import Workdir
from tpt_viewer.access import Access
from tpt_viewer.cluster import Cluster, Json, connect
from tpt_viewer.seen import Seen, from_folder, from_resource

LOOK_SECONDS = 1.0
"""How often the status in a work folder is read."""
FIRST_WORDS = 5
"""How many of the Events before are shown."""


class Place(Protocol):
    """Where one run is."""

    def seen(self) -> Seen:
        """Return the run as it is now."""

    def follow(self) -> Iterator[tuple[Seen, list[str]]]:
        """Yield the run as it is now and whenever it has changed, with what was said of it since the last time."""


class FolderPlace:
    """A run in a work folder."""

    def __init__(self, path: Path, wait: Callable[[float], object] = time.sleep) -> None:
        """Look into `path`, and `wait` between two looks."""
        self.folder, self._wait = Workdir(path), wait

    def kept(self) -> tuple[Run, RunStatus]:
        """Return the run and its status.

        Raises:
            ConfigurationError: no run was begun there.
        """
        run, status = self.folder.kept(), self.folder.status()
        if run is None or status is None:
            raise ConfigurationError(
                f"{self.folder.path}: no run was begun here (no run.yaml with a status.json); give a work folder of `tpt run`"
            )
        return run, status

    def seen(self) -> Seen:
        """See `Place`."""
        return from_folder(*self.kept())

    def follow(self) -> Iterator[tuple[Seen, list[str]]]:
        """See `Place`; nobody else than `tpt run` itself says anything there."""
        last = None
        while True:
            now = self.seen()
            if now != last:
                yield now, []
            last = now
            self._wait(LOOK_SECONDS)


class ClusterPlace:
    """A run in a cluster."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        """Take the run `name` of the cluster's namespace."""
        self.cluster, self.name = cluster, name

    def seen(self) -> Seen:
        """See `Place`."""
        return from_resource(self.cluster.run(self.name))

    def follow(self) -> Iterator[tuple[Seen, list[str]]]:
        """See `Place`; what was said are the run's Events."""
        told: set[str] | None = None
        refused = False
        for item in self.cluster.watch(self.name):
            try:
                events = [] if refused else self.cluster.events(item["metadata"]["uid"])
            except ConfigurationError as error:  # who may see runs, but no Events, still sees how far they are
                refused = True
                yield from_resource(item), [f"{error}; what happens is not told"]
                continue
            new = events[-FIRST_WORDS:] if told is None else [event for event in events if _identity(event) not in told]
            told = {_identity(event) for event in events}
            yield from_resource(item), [_said(event) for event in new]


def _identity(event: Json) -> str:
    return f"{event['metadata']['name']}/{event.get('count')}"


def _said(event: Json) -> str:
    warning = "warning: " if event.get("type") == "Warning" else ""
    return f"{event.get('lastTimestamp') or ''} {warning}{event.get('message', '')}".strip()


@contextmanager
def find(name: str, access: Access) -> Iterator[Place]:
    """Open the place of the run that `name` names.

    Raises:
        ConfigurationError: there is no such run, no cluster, or no right to see it.
    """
    if not access.given and is_folder(name):
        yield FolderPlace(Path(name))
        return
    with connect(access) as cluster:
        yield ClusterPlace(cluster, name)


def is_folder(name: str) -> bool:
    """Return whether an argument names a work folder."""
    path = Path(name)
    return path.name != name or name in (".", "..") or (path / "status.json").is_file()
