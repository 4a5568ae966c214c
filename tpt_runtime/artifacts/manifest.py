"""The manifest of an artifact: written last, so its presence means that everything it lists is complete.

A step first asks `finished()`: if a manifest of the same configuration is there, its summary is printed and nothing is done.
Readers call `verified()` before they use what another step wrote.
"""

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tpt_runtime.artifacts.files import write_json
from tpt_runtime.core.errors import ArtifactError
from tpt_runtime.core.layout import MANIFEST
from tpt_runtime.core.model import Model

HASHERS = 4
"""Files that are hashed at once: hashing leaves the interpreter free, and weights are many large files."""


class FileEntry(Model):
    """One file of an artifact."""

    size: int
    """Bytes."""
    sha256: str
    """Hex digest."""


class Manifest(Model):
    """What an artifact consists of and what it was made from."""

    digest: str
    """Digest of the configuration (see `core/commands.py`)."""
    files: dict[str, FileEntry]
    """Every file by its path relative to the manifest's folder."""
    counts: dict[str, int] = {}
    """What is in it: prompts, samples, examples."""
    summary: dict[str, Any] = {}
    """The summary that the step printed, to be printed again."""
    created: datetime
    """When it was written."""


def file_entry(path: Path) -> FileEntry:
    """Return size and SHA-256 of `path`."""
    with path.open("rb") as file:
        return FileEntry(size=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def file_entries(files: Mapping[str, Path]) -> dict[str, FileEntry]:
    """Return size and SHA-256 of `files`, by name."""
    with ThreadPoolExecutor(HASHERS) as pool:
        return dict(zip(files, pool.map(file_entry, files.values()), strict=True))


def write_manifest(  # noqa: PLR0913 - the last four have defaults that all but one step take
    folder: Path,
    digest: str,
    *,
    summary: dict[str, Any],
    counts: dict[str, int] | None = None,
    name: str = MANIFEST,
    files: Iterable[Path] | None = None,
    known: Mapping[str, FileEntry] | None = None,
) -> Manifest:
    """Write the manifest of `folder`, after everything that it lists.

    Args:
        folder: Where it goes.
        digest: Of the configuration that was carried out.
        summary: What the step will print.
        counts: What is in it.
        name: File name, where a folder has several manifests.
        files: What it lists. Default: every file below `folder` but hidden ones and manifests; what lies behind a linked folder
            is somebody else's.
        known: Entries by relative path that need not be computed; they are listed too.
    """
    listed = files if files is not None else sorted(path for path in folder.rglob("*") if _is_content(folder, path))
    named = {path.relative_to(folder).as_posix(): path for path in listed}
    entries = file_entries({name: path for name, path in named.items() if name not in (known or {})}) | dict(known or {})
    manifest = Manifest(
        digest=digest,
        files=dict(sorted(entries.items())),
        counts=counts or {},
        summary=summary,
        created=datetime.now(UTC).replace(microsecond=0),
    )
    write_json(folder / name, manifest.wire())
    return manifest


def _is_content(folder: Path, path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.is_file() and not hidden and not path.name.endswith(MANIFEST)


def read_manifest(folder: Path, name: str = MANIFEST) -> Manifest | None:
    """Return the manifest in `folder`, or None when there is none.

    Raises:
        ArtifactError: it is there but unreadable.
    """
    path = folder / name
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise ArtifactError(
            f"{path}: unreadable manifest ({error.errors()[0]['msg']}); delete {folder} to make it again"
        ) from error


def finished(folder: Path, digest: str, name: str = MANIFEST) -> Manifest | None:
    """Return the manifest of work already done with this very configuration, or None.

    Sizes are compared, so a truncated file is noticed at once; contents are hashed by `verified`.

    Raises:
        ArtifactError: the manifest is of another configuration, or a listed file is missing or of another size.
    """
    manifest = read_manifest(folder, name)
    if manifest is None:
        return None
    if manifest.digest != digest:
        raise ArtifactError(
            f"{folder}: its manifest is of configuration {manifest.digest}, expected {digest}; delete the folder to make it again"
        )
    for relative, entry in manifest.files.items():
        path = folder / relative
        size = path.stat().st_size if path.is_file() else None
        if size != entry.size:
            state = "is missing" if size is None else f"has {size} bytes"
            raise ArtifactError(f"{path}: {state}, but its manifest says {entry.size} bytes; {_way_out(folder, name)}")
    return manifest


def verified(folder: Path, digest: str, name: str = MANIFEST) -> Manifest:
    """Return the manifest of `folder` after every listed file was read and its SHA-256 compared.

    Raises:
        ArtifactError: no manifest, another configuration, or a file that is missing, truncated or edited.
    """
    manifest = finished(folder, digest, name)
    if manifest is None:
        raise ArtifactError(f"{folder}: no {name}, so the step that writes it has not ended; it has to run again")
    for relative, found in file_entries({relative: folder / relative for relative in manifest.files}).items():
        _compare(folder / relative, found, manifest.files[relative], _way_out(folder, name))
    return manifest


def verified_file(path: Path) -> Path:
    """Return `path` after comparing it with the manifest beside it; one that no manifest lists is nobody's to vouch for.

    This is for readers of one file of an artifact whose other files may take minutes to hash.

    Raises:
        ArtifactError: it is missing, truncated or edited.
    """
    manifest = read_manifest(path.parent)
    expected = manifest.files.get(path.name) if manifest is not None else None
    if expected is not None:
        if not path.is_file():
            raise ArtifactError(f"{path}: is missing, but its manifest lists it; {_all_of(path.parent)}")
        _compare(path, file_entry(path), expected, _all_of(path.parent))
    return path


def _compare(path: Path, found: FileEntry, expected: FileEntry, way_out: str) -> None:
    if found.sha256 != expected.sha256:
        raise ArtifactError(
            f"{path}: SHA-256 {found.sha256[:12]}…, but its manifest says {expected.sha256[:12]}…: the file was edited or "
            f"damaged; {way_out}"
        )


def _all_of(folder: Path) -> str:
    return f"put back what was there, or delete {folder}, and all of it is made again"


def _way_out(folder: Path, name: str) -> str:
    """Say what to delete: not the folder, where many files of a sample step may be sound."""
    return f"delete it and {folder / name}, and what it held is made again"
