"""Models and data sets that a run names in an object store, copied here: all that lies below a prefix, or one object."""

from pathlib import Path

from tpt_runtime.artifacts.objects import Entry, Objects, ObjectUri
from tpt_runtime.core.errors import ConfigurationError


def download_object(uri: ObjectUri, target: Path) -> None:
    """Copy one object to the file `target`."""
    objects = Objects(uri)
    entry = objects.stat()
    if entry is None:
        raise ConfigurationError(f"{uri.shown}: no such object or bucket")
    objects.download([("", entry, target)])


def download_prefix(uri: ObjectUri, folder: Path) -> int:
    """Make `folder` a copy of what lies below the prefix, and return how many objects that is.

    What was copied whole before, and has not changed since, is not copied again; what is there no longer is removed.

    Raises:
        ConfigurationError: nothing is there, or access is refused.
        StepFailed: the store failed.
    """
    objects = Objects(uri)
    found = objects.list()
    found.pop("", None)  # the prefix itself: what some tools make to show an empty folder
    if not found:
        raise ConfigurationError(f"{uri.shown}: no objects below this prefix")
    targets = {folder / name: name for name in found}
    for path in folder.rglob("*"):
        if path.is_file() and path not in targets:
            path.unlink()
    missing = [(name, found[name], target) for target, name in targets.items() if not _is_copy(target, found[name])]
    objects.download(missing)
    return len(targets)


def _is_copy(target: Path, entry: Entry) -> bool:
    """Return whether `target` is a copy of the object as it is now: of its size, and dated like it."""
    if not target.is_file():
        return False
    found = target.stat()
    return found.st_size == entry.size and found.st_mtime == entry.modified
