"""Checkpoints in an object store: every node brings its own files, and process 0 puts the marker, last of all.

    checkpoints/a2/checkpoint-50/...    what attempt 2 saved at step 50; no other attempt writes there

So an attempt goes on from what another saved, and never writes into it. What is in the files of another topology is left
where it is until the model is published.
"""

import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tpt_runtime.artifacts.files import fresh_folder, json_bytes, write_atomic
from tpt_runtime.artifacts.objects import Entry, Objects, in_parallel
from tpt_runtime.train.checkpoints import KEPT, MARKER, PREFIX, Topology, read_marker, words


@dataclass(frozen=True)
class Found:
    """A checkpoint that is there, complete or not."""

    attempt: int
    step: int
    name: str
    """In the store."""
    files: dict[str, Entry]
    """By path relative to it."""


class StoredCheckpoints:
    """The checkpoints of one training in an object store."""

    def __init__(self, objects: Objects, below: str, attempt: int) -> None:
        """Checkpoints lie below the folder `below` of the store; what is saved is of `attempt`."""
        self._objects, self._below, self._attempt = objects, below, attempt

    def fetch(self, root: Path, topology: Topology, say: Callable[[str], None]) -> None:
        """Let the folder `root` hold the last complete checkpoint that `topology` can read, and nothing else.

        Incomplete ones are removed. `say` is told of each that is passed over.
        """
        fresh_folder(root)
        for found in self._all():
            marker = self._marker(found)
            if marker is None:
                say(f"{found.name} is incomplete (the training was ended while it was written) and is removed")
                self._remove(found)
            elif not topology.reads(marker):
                say(f"{found.name} is of {words(marker)}, this training of {words(topology)}: it is left aside")
            else:
                folder = root / f"{PREFIX}{found.step}"
                files = {name: entry for name, entry in found.files.items() if name != MARKER}
                self._objects.download((f"{found.name}/{name}", entry, folder / name) for name, entry in files.items())
                write_atomic(folder / MARKER, _marker_text(marker, files))
                return

    def bring(self, folder: Path) -> None:
        """Put this node's files of the checkpoint in `folder`; the first process of each node does so."""
        name = self._name(folder)
        self._objects.remove([f"{name}/{MARKER}"])  # a pod that was replaced within the attempt may have come as far
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        in_parallel(lambda file: self._objects.upload(files[file], f"{name}/{file}"), files)

    def conclude(self, folder: Path, topology: Topology) -> None:
        """Mark the checkpoint complete once every node has brought its files, and remove older ones; process 0 does so."""
        name = self._name(folder)
        there = self._objects.list(name)
        files = {key.removeprefix(f"{name}/"): entry for key, entry in there.items()}
        self._objects.write(f"{name}/{MARKER}", _marker_text(topology, files))
        mine = [found for found in self._all() if (marker := self._marker(found)) and topology.reads(marker)]
        for found in mine[KEPT:]:
            self._remove(found)

    def leave(self, folder: Path) -> None:
        """Make room: what was brought is not needed here any more; the first process of each node does so."""
        shutil.rmtree(folder, ignore_errors=True)

    def _name(self, folder: Path) -> str:
        return f"{self._below}/a{self._attempt}/{folder.name}"

    def _all(self) -> list[Found]:
        """Return all checkpoints that are there, the furthest first."""
        files: dict[tuple[int, int], dict[str, Entry]] = defaultdict(dict)
        for name, entry in self._objects.list(self._below).items():
            attempt, _, rest = name.removeprefix(f"{self._below}/").partition("/")
            folder, _, file = rest.partition("/")
            step = folder.removeprefix(PREFIX)
            if step.isdigit() and attempt[1:].isdigit():
                files[int(step), int(attempt[1:])][file] = entry
        return [
            Found(attempt, step, f"{self._below}/a{attempt}/{PREFIX}{step}", files[step, attempt])
            for step, attempt in sorted(files, reverse=True)
        ]

    def _marker(self, found: Found) -> Topology | None:
        text = self._objects.read(f"{found.name}/{MARKER}") if MARKER in found.files else None
        return read_marker(text or b"", {name: entry.size for name, entry in found.files.items()})

    def _remove(self, found: Found) -> None:
        self._objects.remove([f"{found.name}/{MARKER}"])  # first: half a removed checkpoint must not look complete
        self._objects.remove(f"{found.name}/{file}" for file in found.files)


def _marker_text(topology: Topology, files: dict[str, Entry]) -> bytes:
    sizes = {name: entry.size for name, entry in files.items()}
    return json_bytes({"topology": asdict(topology), "files": sizes}, indent=2)
