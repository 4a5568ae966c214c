"""A demonstration's folder: made once, found again, and never mixed with something else.

Everything is made beside its place and moved there when it is whole; a manifest comes last. What the folder holds besides (the
rounds of a run) is left alone. What goes into it is not known here.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tpt_runtime.artifacts.files import fresh_folder, publish_folder
from tpt_runtime.artifacts.manifest import finished, read_manifest, write_manifest
from tpt_runtime.core.errors import ArtifactError, ConfigurationError
from tpt_runtime.core.paths import digest_of

MADE_FROM: Final = "demo-manifest.json"
PARTIAL: Final = ".demo.partial"
FOLDERS: Final = ("data", "model")

Tell = Callable[[str], None]
"""Takes one line for the user."""


def to_stderr(line: str) -> None:
    """Print one line where it does not mix with a program's results."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def write_once(folder: Path, settings: Mapping[str, Any], make: Callable[[Path], None], tell: Tell) -> None:
    """Have `make` fill `data/` and `model/` of `folder`, unless they are there already from the same settings.

    Args:
        folder: where they belong; created if need be.
        settings: all that determines what is made, as JSON.
        make: fills an empty folder with the folders `data` and `model`.
        tell: takes what is to be said.

    Raises:
        ConfigurationError: the folder holds a `data` or `model` of other settings, or of another origin; nothing is touched.
    """
    digest = digest_of("demo", settings)
    if _is_whole(folder, digest, tell):
        tell(f"{folder}: model and data are there already")
        return
    making = fresh_folder(folder / PARTIAL)
    make(making)
    for name in FOLDERS:
        publish_folder(making / name, folder / name)
    making.rmdir()
    files = sorted(path for name in FOLDERS for path in (folder / name).rglob("*") if path.is_file())
    write_manifest(folder, digest, summary={"settings": dict(settings)}, name=MADE_FROM, files=files)


def _is_whole(folder: Path, digest: str, tell: Tell) -> bool:
    manifest = read_manifest(folder, MADE_FROM)
    if manifest is None:
        _refuse_foreign(folder)
        return False
    if manifest.digest != digest:
        found = manifest.summary.get("settings")
        raise ConfigurationError(
            f"{folder}: holds the model and data of other settings ({found}), and perhaps rounds that began with them; choose "
            "another folder, or delete this one"
        )
    try:
        return finished(folder, digest, MADE_FROM) is not None
    except ArtifactError as error:
        tell(f"made again, because not all is as it was written: {error}")
        return False


def _refuse_foreign(folder: Path) -> None:
    for name in FOLDERS:
        if (folder / name).exists():
            raise ConfigurationError(
                f"{folder / name}: is there already, but without {MADE_FROM}, so it was not (or not wholly) written by this "
                "command; choose another folder, or delete it"
            )
