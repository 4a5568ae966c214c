"""Files that appear whole or not at all, and rows of JSON in them.

Everything is written beside its final name, flushed to the disk, and renamed. Nothing here knows what a row means.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tpt_runtime.core.errors import ArtifactError, StepFailed


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds all of it or what it held before, even if the power goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise storage_failure(path, error) from error
    flush_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all. NaN is refused (`ValueError`)."""
    write_atomic(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write one JSON object a line, whole or not at all, without holding them all in memory; return how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    count = 0
    try:
        with partial.open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise storage_failure(path, error) from error
    finally:
        partial.unlink(missing_ok=True)
    flush_folder(path.parent)
    return count


def read_rows(path: Path) -> Iterator[Any]:
    """Yield the JSON objects of `path` line by line.

    Raises:
        ArtifactError: the file is missing, or a line is no JSON object; it names file and line.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                yield _row(path, number, line)
    except FileNotFoundError as error:
        raise ArtifactError(f"{path}: missing; the step that writes it has to run again") from error


def _row(path: Path, number: int, line: str) -> Any:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ArtifactError(f"{path}, line {number}: no JSON ({error}); the file was cut off or edited") from error
    if not isinstance(row, dict):
        raise ArtifactError(f"{path}, line {number}: expected a JSON object, found {type(row).__name__}")
    return row


def fresh_folder(path: Path) -> Path:
    """Return `path` as an empty folder, whatever an interrupted attempt left there."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
    try:
        path.mkdir(parents=True)
    except OSError as error:
        raise storage_failure(path, error) from error
    return path


def partial_folder(final: Path, attempt: int) -> Path:
    """Return where attempt `attempt` writes what will become the folder `final`: a path of its own, beside it."""
    return final.with_name(f"{final.name}.partial-a{attempt}")


def publish_folder(partial: Path, final: Path) -> None:
    """Flush everything in `partial` and let it become `final`; a leftover of an earlier attempt there is replaced."""
    for file in partial.rglob("*"):
        if file.is_file() and not file.is_symlink():
            flush_file(file)
    if final.exists():
        shutil.rmtree(final)
    partial.replace(final)
    flush_folder(final.parent)


def flush_file(path: Path) -> None:
    """Wait until the content of `path` is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def flush_folder(path: Path) -> None:
    """Wait until the names in the folder `path` are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def storage_failure(path: Path, error: OSError) -> StepFailed:
    """Return the error to raise when the storage refused to take `path`: it names the path, the reason and the way out."""
    return StepFailed(
        f"{path}: {error.strerror or error}; nothing that was complete is lost: make room or mend the storage, "
        "and the step goes on where it was"
    )
