"""Reading the run that a command is given, and writing the file that it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tpt_runtime.core.errors import ConfigurationError

if TYPE_CHECKING:
    from tpt_runtime.core.spec import Run

RUNS = Path("runs")
"""Where work folders are by default: runs/NAME."""


def read_runs(file: Path) -> list[Run]:
    """Return every run of `file`.

    Raises:
        ConfigurationError: the file cannot be read, or a resource has problems; all of them at once.
    """
    from tpt_runtime.artifacts.yaml import read_resources
    from tpt_runtime.core.errors import InvalidResource
    from tpt_runtime.core.resource import parse_run

    runs, refused = [], []
    documents = read_resources(file)
    for number, document in enumerate(documents, 1):
        try:
            runs.append(parse_run(document, str(file) if len(documents) == 1 else f"{file}, resource {number}"))
        except InvalidResource as error:
            refused.append(error)
    if len(refused) > 1:
        raise ConfigurationError("\n".join(map(str, refused)))
    if refused:
        raise refused[0]
    return runs


def read_run(file: Path) -> Run:
    """Return the one run of `file`.

    Raises:
        ConfigurationError: it is not readable, or holds several.
    """
    runs = read_runs(file)
    if len(runs) != 1:
        names = ", ".join(run.metadata.name for run in runs)
        raise ConfigurationError(f"{file}: holds {len(runs)} runs ({names}), expected one; put each into a file of its own")
    return runs[0]


def write_file(path: Path, data: bytes) -> None:
    """Write what a command was asked for.

    Raises:
        ConfigurationError: it cannot be written.
    """
    from tpt_runtime.artifacts.files import write_atomic
    from tpt_runtime.core.errors import StepFailed

    try:
        write_atomic(path, data)
    except StepFailed as error:
        reason = getattr(error.__cause__, "strerror", None) or error
        raise ConfigurationError(f"{path}: cannot be written ({reason}); give a path in a folder that you may write") from error


def workdir_of(run: Run, given: Path | None) -> Path:
    """Return the work folder: as given, or runs/NAME."""
    return given or RUNS / run.metadata.name
