"""The manifest of an artifact: written last, so its presence means that everything it lists is complete.

A step first asks `finished()`: if a manifest of the same configuration is there, its summary is printed and nothing is done.
Readers call `verified()` before they use what another step wrote.
"""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tpt_runtime.artifacts.files import write_json
from tpt_runtime.core.errors import ArtifactError
from tpt_runtime.core.layout import MANIFEST
from tpt_runtime.core.model import Model


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


def write_manifest(  # noqa: PLR0913 - the last three have defaults that all but one step take
    folder: Path,
    digest: str,
    *,
    summary: dict[str, Any],
    counts: dict[str, int] | None = None,
    name: str = MANIFEST,
    files: list[Path] | None = None,
) -> Manifest:
    """List `files` (default: every file below `folder` but hidden ones and manifests), and write the manifest last."""
    listed = files if files is not None else sorted(path for path in folder.rglob("*") if _is_content(folder, path))
    entries = {path.relative_to(folder).as_posix(): file_entry(path) for path in listed}
    manifest = Manifest(
        digest=digest, files=entries, counts=counts or {}, summary=summary, created=datetime.now(UTC).replace(microsecond=0)
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
    _check_digest(folder, manifest, digest)
    for relative, entry in manifest.files.items():
        _check_size(folder / relative, entry)
    return manifest


def verified(folder: Path, digest: str, name: str = MANIFEST) -> Manifest:
    """Return the manifest of `folder` after every listed file was read and its SHA-256 compared.

    Raises:
        ArtifactError: no manifest, another configuration, or a file that is missing, truncated or edited.
    """
    manifest = finished(folder, digest, name)
    if manifest is None:
        raise ArtifactError(f"{folder}: no {name}, so the step that writes it has not ended; it has to run again")
    for relative, entry in manifest.files.items():
        found = file_entry(folder / relative)
        if found != entry:
            raise ArtifactError(
                f"{folder / relative}: SHA-256 {found.sha256[:12]}…, but its manifest says {entry.sha256[:12]}…: the file was "
                f"edited or damaged; delete {folder} to make it again"
            )
    return manifest


def _check_digest(folder: Path, manifest: Manifest, digest: str) -> None:
    if manifest.digest != digest:
        raise ArtifactError(
            f"{folder}: its manifest is of configuration {manifest.digest}, expected {digest}; delete the folder to make it again"
        )


def _check_size(path: Path, entry: FileEntry) -> None:
    size = path.stat().st_size if path.is_file() else None
    if size != entry.size:
        state = "is missing" if size is None else f"has {size} bytes"
        raise ArtifactError(f"{path}: {state}, but its manifest says {entry.size} bytes; delete {path.parent} to make it again")
