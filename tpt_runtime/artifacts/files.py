"""Files that appear whole or not at all, and rows of JSON in them.

Everything is written beside its final name, flushed to the disk, and renamed. Nothing here knows what a row means.
"""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tpt_runtime.core.errors import ArtifactError, StepFailed

NO_FOLDER_FLUSH = (errno.EINVAL, errno.ENOTSUP)
"""What file systems answer that cannot flush a folder, such as some network mounts: there renames are as durable as they get."""


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds all of it or what it held before, even if the power goes.

    Raises:
        StepFailed: the storage refused it; `path` holds what it held before.
    """
    with _replacing(path) as write:
        write(data)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all. NaN is refused (`ValueError`)."""
    write_atomic(path, json_bytes(value, indent=2) + b"\n")


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write one JSON object a line, whole or not at all, without holding them all in memory; return how many.

    What goes wrong while `rows` are made is raised as it is: only the storage's own refusals become `StepFailed`.
    """
    count = 0
    with _replacing(path) as write:
        for row in rows:
            write(json_bytes(row) + b"\n")
            count += 1
    return count


def json_bytes(value: Any, indent: int | None = None) -> bytes:
    """Return `value` as JSON in UTF-8, compact unless indented. NaN is refused (`ValueError`).

    Half of a surrogate pair, which JSON can hold and UTF-8 cannot, is escaped, so that it reads back as it was.
    """
    separators = (",", ":") if indent is None else None
    try:
        return json.dumps(value, indent=indent, separators=separators, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, separators=separators, allow_nan=False).encode()


@contextmanager
def _replacing(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Give a function that writes to a new file, which takes the place of `path` if all goes well."""
    # No two writers share a name: process ids repeat from pod to pod.
    partial = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.partial")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = partial.open("wb")

    def write(data: bytes) -> None:
        try:
            file.write(data)
        except OSError as error:
            raise storage_failure(path, error) from error

    try:
        yield write
        with storage_errors(path):
            file.flush()
            os.fsync(file.fileno())
            file.close()
            partial.replace(path)
    finally:
        with suppress(OSError):  # a full disk refuses what is still buffered once more
            file.close()
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    with storage_errors(path):
        flush_folder(path.parent)


def read_rows(path: Path) -> Iterator[Any]:
    r"""Yield the JSON objects of `path` line by line; a line ends at \n and nowhere else.

    Raises:
        ArtifactError: the file is missing, or a line is no JSON object; it names file and line.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield parse_row(line, f"{path}, line {number}")
    except FileNotFoundError as error:
        raise ArtifactError(f"{path}: missing; the step that writes it has to run again") from error


def parse_row(line: bytes, place: str) -> Any:
    """Return the JSON object in `line`.

    Raises:
        ArtifactError: it is none; `place` is named.
    """
    try:
        row = json.loads(line.decode())
    except (ValueError, RecursionError) as error:  # what is no UTF-8 is a ValueError too
        raise ArtifactError(f"{place}: no JSON ({error}); the file was cut off or edited") from error
    if not isinstance(row, dict):
        raise ArtifactError(f"{place}: expected a JSON object, found {type(row).__name__}")
    return row


def partial_folder(final: Path, attempt: int) -> Path:
    """Return where attempt `attempt` writes what will become the folder `final`: a path of its own, beside it."""
    return final.with_name(f"{final.name}.partial-a{attempt}")


def begin_folder(final: Path, attempt: int) -> Path:
    """Return the empty folder that this attempt writes into; what earlier attempts left of theirs is removed."""
    with storage_errors(final):
        for leftover in final.parent.glob(f"{final.name}.partial-a*"):
            shutil.rmtree(leftover)
    return fresh_folder(partial_folder(final, attempt))


def fresh_folder(path: Path) -> Path:
    """Return `path` as an empty folder, whatever an interrupted attempt left there."""
    with storage_errors(path):
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)
        path.mkdir(parents=True)
    return path


def publish_folder(partial: Path, final: Path) -> None:
    """Flush everything in `partial` and let it become `final`; what an earlier attempt left there is replaced."""
    replaced = final.with_name(f"{final.name}.replaced")
    with storage_errors(final):
        for path in [partial, *partial.rglob("*")]:
            if path.is_symlink():
                continue
            if path.is_dir():
                flush_folder(path)
            else:
                flush_file(path)
        # Put aside first: a folder that is being removed file by file must never be seen under its own name.
        shutil.rmtree(replaced, ignore_errors=True)
        if final.exists():
            final.replace(replaced)
        partial.replace(final)
        flush_folder(final.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def flush_file(path: Path) -> None:
    """Wait until the content of `path` is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def flush_folder(path: Path) -> None:
    """Wait until the names in the folder `path` are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_FOLDER_FLUSH:
            raise
    finally:
        os.close(descriptor)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Raise what the storage refuses at `path` as `storage_failure`."""
    try:
        yield
    except OSError as error:
        raise storage_failure(path, error) from error


def storage_failure(path: Path, error: OSError) -> StepFailed:
    """Return the error to raise when the storage refused to take `path`: it names the path, the reason and the way out."""
    return StepFailed(
        f"{path}: {error.strerror or error}; nothing that was complete is lost: make room or mend the storage, "
        "and the step goes on where it was"
    )
