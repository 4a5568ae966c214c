"""Which checkpoint a training goes on from. Files and JSON only; what is in a checkpoint is the trainer's and DeepSpeed's.

A checkpoint is complete once its marker is there: written last, it lists every file with its size. (No hashes: a checkpoint of a
large model has a terabyte, and lives for minutes.) At most `KEPT` are kept, and none once the model is published.

Optimizer steps do not depend on processes or micro-batches, so those may differ between the attempts. What is in the files
does: a checkpoint of another engine or ZeRO stage, or sharded over another number of processes, is set aside, with a word.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tpt_runtime.artifacts.files import flush_file, write_json

MARKER = "checkpoint.json"
KEPT = 2
PREFIX = "checkpoint-"
"""The trainer names a checkpoint by this and its optimizer step."""
SET_ASIDE = "set-aside-"


@dataclass(frozen=True)
class Topology:
    """What the files of a checkpoint depend on."""

    digest: str
    """Of the training."""
    engine: str
    zero_stage: int
    offload: bool
    processes: int

    def reads(self, other: "Topology") -> bool:
        """Return whether a training of this topology can go on from a checkpoint of `other`."""
        if self.zero_stage == 0:  # nothing is sharded
            return _without_processes(self) == _without_processes(other)
        return self == other


def _without_processes(topology: Topology) -> dict[str, Any]:
    return asdict(topology) | {"processes": None}


def mark_complete(folder: Path, topology: Topology) -> None:
    """Flush everything in `folder` and write the marker."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    for path in files.values():
        flush_file(path)
    sizes = {name: path.stat().st_size for name, path in files.items()}
    write_json(folder / MARKER, {"topology": asdict(topology), "files": sizes})


def resume_from(root: Path, topology: Topology, say: Callable[[str], None]) -> Path | None:
    """Return the last complete checkpoint below `root` that `topology` can read, or None.

    What was written after it is useless from here on: incomplete checkpoints are removed, those of another topology renamed, so
    that they neither hide what this training will write nor cost work that somebody may still want. `say` is told of each.
    """
    for folder in reversed(_by_step(root)):
        found = _complete(folder)
        if found is None:
            say(f"{folder.name} is incomplete (the training was ended while it was written) and is removed")
            shutil.rmtree(folder)
        elif not topology.reads(found):
            aside = folder.with_name(f"{SET_ASIDE}{folder.name}")
            say(f"{folder.name} is of {words(found)}, this training of {words(topology)}: it is set aside as {aside.name}")
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
        else:
            return folder
    return None


class LocalCheckpoints:
    """Checkpoints in the folder where they are written, which every node sees."""

    def bring(self, folder: Path) -> None:
        """Do nothing: all files are in their place."""

    def conclude(self, folder: Path, topology: Topology) -> None:
        """Mark the checkpoint in `folder` complete, and remove older ones; process 0 does so."""
        mark_complete(folder, topology)
        remove_older(folder.parent)

    def leave(self, folder: Path) -> None:
        """Do nothing: this is where the next attempt looks."""


def remove_older(root: Path, keep: int = KEPT) -> None:
    """Remove all but the last `keep` checkpoints below `root`, complete or not."""
    folders = _by_step(root)
    for folder in folders[: max(0, len(folders) - keep)]:
        # The marker goes first: half a removed checkpoint must not look complete.
        (folder / MARKER).unlink(missing_ok=True)
        shutil.rmtree(folder)


def _by_step(root: Path) -> list[Path]:
    steps = {path: path.name.removeprefix(PREFIX) for path in root.glob(f"{PREFIX}*") if path.is_dir()}
    return sorted((path for path, step in steps.items() if step.isdigit()), key=lambda path: int(steps[path]))


def _complete(folder: Path) -> Topology | None:
    marker = folder / MARKER
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    return read_marker(marker.read_bytes() if marker.is_file() else b"", sizes)


def read_marker(text: bytes, there: Mapping[str, int]) -> Topology | None:
    """Return the topology that a marker names; None if it is none, or `there`, sizes by name, lacks something that it lists."""
    try:
        marker = json.loads(text)
        topology = Topology(**marker["topology"])
        sizes = dict(marker["files"])
    except (ValueError, TypeError, KeyError):
        return None
    return topology if all(there.get(name) == size for name, size in sizes.items()) else None


def words(topology: Topology) -> str:
    """Return a topology in words."""
    offload = " with offload" if topology.offload else ""
    where = f"{topology.engine}, ZeRO {topology.zero_stage}{offload}, {topology.processes} process(es)"
    return f"{where}, configuration {topology.digest}"
