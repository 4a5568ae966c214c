"""Rows out of JSONL, JSON and Parquet files, with errors that say where."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tpt_runtime.core.errors import ConfigurationError

FORMATS = ".jsonl, .json or .parquet"


@dataclass(frozen=True)
class Row:
    """One row and where it stood."""

    place: str
    """For people: `data/train.jsonl, line 3`."""
    fields: Mapping[str, Any]


def read_table(path: Path, shown: str) -> Iterator[Row]:
    """Yield the rows of `path`; errors call it `shown`. The suffix says the format; `.ndjson` is JSONL too.

    Raises:
        ConfigurationError: the file is missing, of another format, or a row is no object.
    """
    if not path.is_file():
        what = "is a folder, expected a file" if path.is_dir() else "no such file"
        raise ConfigurationError(f"{shown}: {what} (looked at {path})")
    if not os.access(path, os.R_OK):
        raise ConfigurationError(f"{shown}: may not be read by this user (looked at {path}); change its permissions")
    readers = {".jsonl": _jsonl, ".ndjson": _jsonl, ".json": _json, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ConfigurationError(f"{shown}: cannot tell its format from {path.suffix or 'no suffix'!r}; expected {FORMATS}")
    for place, value in reader(path, shown):
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"{place}: expected a JSON object, found {type(value).__name__}")
        yield Row(place, value)


def _jsonl(path: Path, shown: str) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                place = f"{shown}, line {number}"
                yield place, _parsed(line, place)


def _json(path: Path, shown: str) -> Iterator[tuple[str, Any]]:
    value = _parsed(path.read_bytes(), shown)
    if not isinstance(value, list):
        raise ConfigurationError(f"{shown}: expected a list of objects, found {type(value).__name__}")
    for number, item in enumerate(value, 1):
        yield f"{shown}, item {number}", item


def _parsed(text: bytes, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # what is no UTF-8 is a ValueError too
        raise ConfigurationError(f"{place}: no JSON: {error}") from error


def _parquet(path: Path, shown: str) -> Iterator[tuple[str, Any]]:
    from pyarrow import ArrowInvalid, parquet

    try:
        file = parquet.ParquetFile(path)
    except ArrowInvalid as error:
        raise ConfigurationError(f"{shown}: no Parquet file: {error}") from error
    number = 0
    with file:
        for batch in file.iter_batches():
            for value in batch.to_pylist():
                number += 1
                yield f"{shown}, row {number}", value
