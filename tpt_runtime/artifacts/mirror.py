"""An object store as the home of artifacts, and a folder of this machine as its cache.

Where something lies below the cache it lies below the run's URI, under the same name. What the store's manifests say counts; in
the cache a file counts once it was compared with one, and a manifest says nothing about which of its files are here.

An artifact is complete once its manifest is put, after all that it lists, and only if none is there: of two attempts at the same
work the first to end wins, and the other takes over what that one made. Their files have the same names, so whoever is about
to put a manifest looks first whether what lies there is all its own. An attempt that comes back from the dead stops at the
manifest; a file that it was just sending may still arrive. Then whoever reads it finds that it is not the one in the manifest.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path

from pydantic import ValidationError

from tpt_runtime.artifacts.files import json_bytes, write_json
from tpt_runtime.artifacts.manifest import FileEntry, Manifest, file_entries
from tpt_runtime.artifacts.objects import Entry, Objects, ObjectUri, ask_nobody, in_parallel
from tpt_runtime.artifacts.storage import Storage
from tpt_runtime.core.errors import ArtifactError, StepFailed
from tpt_runtime.core.layout import MANIFEST

ANOTHER = "another attempt is at the same work: the next one goes on from what is there"


class Overtaken(Exception):
    """Another attempt has ended the same work."""


class Mirror(Storage):
    """The object store at a URI, with the folder `cache`."""

    objects: Objects

    def __init__(self, uri: ObjectUri, cache: Path, check: Callable[[], None]) -> None:
        """Nothing is asked of the store yet; `check` is called between the pieces of a download, and may raise."""
        self.cache = cache
        self.objects = Objects(uri, check)

    def shown(self, text: str) -> str:
        """Return a message with the store's URIs in place of the cache's paths."""
        return text.replace(str(self.cache), str(self.objects.uri))

    def finished(self, folder: Path, digest: str, name: str = MANIFEST) -> Manifest | None:
        """See `Storage`; sizes are compared with the store's, and nothing but the manifest is fetched."""
        manifest = self.manifest(folder, name)
        if manifest is None:
            return None
        if manifest.digest != digest:
            raise ArtifactError(
                f"{self._uri(folder)}: its manifest is of configuration {manifest.digest}, expected {digest}; "
                "delete what is below it to make it again"
            )
        self._entries(folder, name, manifest.files)
        return manifest

    def manifest(self, folder: Path, name: str = MANIFEST) -> Manifest | None:
        """See `Storage`."""
        manifest = self._read(folder, name)
        if manifest is None:
            (folder / name).unlink(missing_ok=True)
        else:
            write_json(folder / name, manifest.wire())
        return manifest

    def fetch(self, folder: Path, *below: str, name: str = MANIFEST) -> None:
        """See `Storage`; what was fetched before, and is what the manifest says, is not fetched again."""
        manifest = self.manifest(folder, name)
        if manifest is None:
            raise ArtifactError(f"{self._uri(folder)}: no {name}, so the step that writes it has not ended; it has to run again")
        files = {file: entry for file, entry in manifest.files.items() if not below or _is_below(file, below)}
        entries = self._entries(folder, name, files)
        found = file_entries({file: folder / file for file in files if (folder / file).is_file()})
        missing = [file for file, entry in files.items() if found.get(file) != entry]
        self.objects.download([(self.name(folder / file), entries[file], folder / file) for file in missing])
        for file, entry in file_entries({file: folder / file for file in missing}).items():
            if entry != files[file]:
                (folder / file).unlink()
                expected = files[file].sha256
                raise ArtifactError(
                    f"{self._uri(folder / file)}: SHA-256 {entry.sha256[:12]}…, but its manifest says {expected[:12]}…: the "
                    f"object was edited or damaged; {self._way_out(folder, name)}"
                )

    def fetch_samples(self, folder: Path, pattern: str) -> None:
        """See `Storage`; what other manifests of this folder the cache may have is forgotten."""
        for path in folder.glob(pattern):
            path.unlink()
        for name in self.objects.list(self.name(folder)):
            path = self.cache / name
            if fnmatch(path.name, pattern):
                self.fetch(folder, name=path.name)

    def fetch_files(self, folder: Path, pattern: str) -> None:
        """See `Storage`; files here that are not at home are removed: they may be another time's."""
        there = {self.cache / name: entry for name, entry in self.objects.list(self.name(folder)).items()}
        wanted = {path: entry for path, entry in there.items() if path.parent == folder and fnmatch(path.name, pattern)}
        for path in folder.glob(pattern):
            if path not in wanted:
                path.unlink()
        missing = {path: entry for path, entry in wanted.items() if not path.is_file() or path.stat().st_size != entry.size}
        self.objects.download([(self.name(path), entry, path) for path, entry in missing.items()])

    def keep(self, path: Path) -> None:
        """See `Storage`."""
        self.objects.upload(path, self.name(path))

    def complete(self, folder: Path, manifest: Manifest) -> Manifest:
        """See `Storage`.

        Raises:
            StepFailed: the store failed, or another attempt is at the same work.
        """
        before = self._read(folder, MANIFEST)
        if before is not None and before.digest == manifest.digest:
            return before
        if before is not None:
            self.objects.remove([self.name(folder / MANIFEST)])
        try:
            tags = dict(in_parallel(lambda file: self._send(folder, file), manifest.files))
        except Overtaken:
            return self._theirs(folder, MANIFEST, manifest)
        there = self.objects.list(self.name(folder))
        if foreign := [name for name, tag in tags.items() if name not in there or there[name].tag != tag]:
            raise StepFailed(f"{self.objects.uri}/{foreign[0]}: not what was just put there; {ANOTHER}")
        in_force = self.conclude(folder, MANIFEST, manifest)
        if in_force is manifest:
            self.objects.remove(there.keys() - tags.keys() - {self.name(folder / MANIFEST)})
        return in_force

    def conclude(self, folder: Path, name: str, manifest: Manifest) -> Manifest:
        """See `Storage`."""
        if self.objects.write_new(self.name(folder / name), _text(manifest)):
            return manifest
        return self._theirs(folder, name, manifest)

    def rewrite(self, folder: Path, manifest: Manifest) -> None:
        """See `Storage`."""
        self.objects.write(self.name(folder / MANIFEST), _text(manifest))

    def holds(self, folder: Path, name: str) -> bool:
        """See `Storage`; a part that its manifest lists no more is as good as gone."""
        manifest = self._read(folder, MANIFEST)
        return manifest is not None and any(_is_below(file, (name,)) for file in manifest.files)

    def remove(self, folder: Path) -> None:
        """See `Storage`."""
        self.objects.remove(self.objects.list(self.name(folder)))
        super().remove(folder)

    def name(self, path: Path) -> str:
        """Return the name in the store of what is called `path` in the cache."""
        return path.relative_to(self.cache).as_posix()

    def _uri(self, path: Path) -> str:
        return f"{self.objects.uri}/{self.name(path)}"

    def _read(self, folder: Path, name: str) -> Manifest | None:
        """Return a manifest as it is at home, whatever the cache has."""
        text = self.objects.read(self.name(folder / name))
        if text is None:
            return None
        try:
            return Manifest.model_validate_json(text)
        except ValidationError as error:
            raise ArtifactError(
                f"{self._uri(folder / name)}: unreadable manifest ({error.errors()[0]['msg']}); "
                f"delete what is below {self._uri(folder)} to make it again"
            ) from error

    def _entries(self, folder: Path, name: str, files: Mapping[str, FileEntry]) -> dict[str, Entry]:
        """Return the objects that `files` of a manifest are, after comparing their sizes."""
        there = self.objects.list(self.name(folder))
        found = {file: there.get(self.name(folder / file)) for file in files}
        entries = {file: entry for file, entry in found.items() if entry is not None and entry.size == files[file].size}
        for file in files.keys() - entries.keys():
            entry = found[file]
            state = "is missing" if entry is None else f"has {entry.size} bytes"
            expected = f"its manifest says {files[file].size} bytes"
            raise ArtifactError(f"{self._uri(folder / file)}: {state}, but {expected}; {self._way_out(folder, name)}")
        return entries

    def _send(self, folder: Path, file: str) -> tuple[str, str]:
        """Put one file of an artifact, unless somebody has ended that artifact; return the object's name and tag."""
        if self.objects.stat(self.name(folder / MANIFEST)) is not None:
            raise Overtaken
        name = self.name(folder / file)
        return name, self.objects.upload(folder / file, name)

    def _theirs(self, folder: Path, name: str, mine: Manifest) -> Manifest:
        """Return the manifest of the attempt that was quicker."""
        theirs = self._read(folder, name)
        if theirs is None or theirs.digest != mine.digest:
            raise StepFailed(f"{self._uri(folder / name)}: changes under this attempt's hands; {ANOTHER}")
        return theirs

    def _way_out(self, folder: Path, name: str) -> str:
        return f"delete it and {self._uri(folder / name)}, and what it held is made again"


def _text(manifest: Manifest) -> bytes:
    return json_bytes(manifest.wire(), indent=2) + b"\n"


def _is_below(file: str, names: Iterable[str]) -> bool:
    return any(file == name or file.startswith(f"{name}/") for name in names)


def open_storage(root: str, check: Callable[[], None] = ask_nobody, secret: str | None = None) -> tuple[Storage, Path]:
    """Return where the artifacts of the run at `root`, a path or an s3:// URI, are at home, and the folder to work in.

    Raises:
        ConfigurationError: the object store has no such bucket, or refuses access.
        StepFailed: it cannot be reached.
    """
    if not root.startswith("s3://"):
        return Storage(), Path(root)
    uri = ObjectUri.parse("spec.storage.uri", root, secret)
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tpt"
    mirror = Mirror(uri, caches / uri.bucket / uri.key, check)
    mirror.objects.touch()
    return mirror, mirror.cache
