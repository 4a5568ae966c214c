"""Is the base model still the one that the run was prepared with?

A local base model is not copied, so it can be changed behind a run's back. `prepare` leaves `model.json` beside the link to it:
size and SHA-256 of every file, and when it was last written. Hashing a large model at every step would take minutes, so as in
git's index the content is compared only where that time is another; sizes are compared always. A downloaded model lies in the
run's own folder and has no times there.
"""

import json
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from tpt_runtime.artifacts.files import write_json
from tpt_runtime.artifacts.manifest import FileEntry, file_entry
from tpt_runtime.core.errors import ConfigurationError

RECORD = "model.json"
IMMATERIAL = ("*.md", "LICENSE*")
"""What may be edited at any time."""
WEIGHTS = ("*.safetensors", "*.bin")
"""What an engine would load along with the rest if it was added."""


def record_base_model(prepared: Path, files: dict[str, FileEntry], linked: Path | None) -> None:
    """Write into the folder `prepared` what its model consists of; `linked` is where a model that was not copied lies."""
    entries: dict[str, dict[str, Any]] = {name: entry.wire() for name, entry in files.items()}
    if linked is not None:
        for name, entry in entries.items():
            entry["modified"] = (linked / name).stat().st_mtime_ns
    write_json(prepared / RECORD, entries)


def check_base_model(prepared: Path) -> None:
    """Compare `prepared`/model with what was recorded of it; a folder without a record is some later model's.

    Raises:
        ConfigurationError: a file is missing or another, or weights were added; it names the file and the way out.
    """
    record = prepared / RECORD
    if not record.is_file():
        return
    model = (prepared / "model").resolve()
    recorded = json.loads(record.read_bytes())
    for name, entry in recorded.items():
        if not _is_any(name, IMMATERIAL) and (problem := _problem(model / name, entry)):
            raise _changed(model, f"{name} {problem}")
    added = sorted(path.name for path in model.iterdir() if _is_any(path.name, WEIGHTS) and path.name not in recorded)
    if added:
        raise _changed(model, f"{added[0]} was added")


def _problem(path: Path, entry: dict[str, Any]) -> str | None:
    """Return what is wrong with one file, None if it is what was recorded."""
    if not path.is_file():
        return "is missing"
    found = path.stat()
    if found.st_size != entry["size"]:
        return f"has {found.st_size} bytes, and had {entry['size']}"
    same_time = entry.get("modified") in (None, found.st_mtime_ns)
    return None if same_time or file_entry(path).sha256 == entry["sha256"] else "has other content"


def _is_any(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _changed(model: Path, how: str) -> ConfigurationError:
    return ConfigurationError(
        f"{model}: the base model is no longer the one that this run was prepared with: {how}; put back what was there, or give "
        "the run another name to begin with the present one"
    )
