"""A claim as the home of artifacts: read through a pod, as a tar archive over the API server, and compared with the manifests.

Only reading is there; a folder of this machine is the cache. It knows no API server: what it is given sends an archive.
"""

import io
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from tpt_runtime.artifacts.manifest import Manifest, file_entries
from tpt_runtime.artifacts.storage import Storage
from tpt_runtime.core.errors import ArtifactError, StepFailed
from tpt_runtime.core.layout import MANIFEST

Send = Callable[[list[str], list[str]], Iterator[bytes]]
"""From names and patterns of files, below the run's folder, to the archive of those that are there, in pieces."""

MANIFESTS = (f"*/*{MANIFEST}", f"*/*/*{MANIFEST}")
"""Where manifests lie below a run's folder (see `core/layout.py`)."""
MOST_NAMES = 200
"""Files that are asked for at once: they stand in one URL."""


class Claim(Storage):
    """A claim, with the folder `cache`."""

    def __init__(self, cache: Path, send: Send) -> None:
        """Have all manifests here, as they are now: each question takes a connection of its own."""
        self.cache, self._send = cache, send
        for pattern in MANIFESTS:
            for path in cache.glob(pattern):
                path.unlink()
        self._receive([], MANIFESTS)

    def fetch(self, folder: Path, *below: str, name: str = MANIFEST) -> None:
        """See `Storage`; what was fetched before, and is what the manifest says, is not fetched again."""
        manifest = self.manifest(folder, name)
        if manifest is None:
            raise ArtifactError(f"{self._name(folder)}: no {name}, so the step that writes it has not ended; it has to run again")
        self._fetch(folder, manifest, below)

    def fetch_samples(self, folder: Path, pattern: str) -> None:
        """See `Storage`."""
        for path in sorted(folder.glob(pattern)):
            self.fetch(folder, name=path.name)

    def _fetch(self, folder: Path, manifest: Manifest, below: tuple[str, ...]) -> None:
        wanted = {
            name: entry
            for name, entry in manifest.files.items()
            if not below or any(name == part or name.startswith(f"{part}/") for part in below)
        }
        found = file_entries({name: folder / name for name in wanted if (folder / name).is_file()})
        missing = [name for name, entry in wanted.items() if found.get(name) != entry]
        for first in range(0, len(missing), MOST_NAMES):
            self._receive([self._name(folder / name) for name in missing[first : first + MOST_NAMES]])
        for name in missing:
            path = folder / name
            if not path.is_file() or file_entries({name: path})[name] != wanted[name]:
                path.unlink(missing_ok=True)
                raise ArtifactError(
                    f"{self._name(path)}: is not what its manifest says; it is missing, was edited or came damaged"
                )

    def _receive(self, names: list[str], patterns: Iterable[str] = ()) -> None:
        """Unpack what is sent; a file has its name only once it is whole."""
        pieces = _Pieces(self._send(names, list(patterns)))
        try:
            with tarfile.open(fileobj=pieces, mode="r|") as archive:
                for member in archive:
                    source = archive.extractfile(member) if member.isreg() else None
                    if source is not None:
                        self._write(self._path(member.name), source)
            pieces.drain()
        except tarfile.TarError as error:
            raise StepFailed(
                f"the claim's files came damaged ({error}); try again: what has arrived is not sent again"
            ) from error

    def _write(self, path: Path, source: IO[bytes]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        with partial.open("wb") as file:
            while piece := source.read(1 << 20):
                file.write(piece)
        partial.replace(path)

    def _path(self, name: str) -> Path:
        """Return where a file of the archive goes: never outside the cache."""
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts:
            raise StepFailed(f"the reader pod sent {name!r}, which lies outside the run's folder")
        return self.cache / pure

    def _name(self, path: Path) -> str:
        return path.relative_to(self.cache).as_posix()


class _Pieces(io.RawIOBase):
    """An archive that comes in pieces, as a file to read from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def read(self, size: int = -1) -> bytes:
        """Return as many bytes as asked for, fewer only at the end."""
        parts, length = [self._rest], len(self._rest)
        while length < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            parts.append(piece)
            length += len(piece)
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]

    def drain(self) -> None:
        """Read on to the end, so that what the sender says at last is heard."""
        for _ in self._pieces:
            pass
