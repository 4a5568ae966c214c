"""The work folder of one run on this machine.

    run.yaml       the resource as it is carried out; what a changed file is compared with
    status.json    its status, in the schema of the resource
    artifacts/     what the steps write (see `core/layout.py`)
    jobs/ logs/    see `jobs.py`
    lock           held by the `tpt run` that works here

Relative URIs of the spec count from this folder. Nothing is planned here, and nothing is ever removed but job records.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tpt_runtime.artifacts.files import storage_failure, write_atomic, write_json
from tpt_runtime.artifacts.yaml import read_resources
from tpt_runtime.core.errors import ConfigurationError, InvalidResource, Problem, TptError
from tpt_runtime.core.resource import parse_run
from tpt_runtime.core.spec import Run
from tpt_runtime.core.status import ConditionType, RunStatus
from tpt_runtime.core.transitions import changed_fixed_fields, max_rounds_too_low
from tpt_runtime.local.yamltext import yaml_text

EXIT_BUSY = 75
"""Another `tpt run` works in the folder: try again later (EX_TEMPFAIL of sysexits.h)."""
HEADER = "# Kept by `tpt run`: the resource as it is carried out. Change your own file instead.\n"


class Busy(TptError):
    """The work folder is in use."""

    exit_code = EXIT_BUSY


class Workdir:
    """One work folder."""

    def __init__(self, path: Path) -> None:
        """Take `path`, which need not exist yet."""
        self.path = path.absolute()
        self.artifacts = self.path / "artifacts"
        self.jobs = self.path / "jobs"
        self.logs = self.path / "logs"
        self.resource = self.path / "run.yaml"
        self.status_file = self.path / "status.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one `tpt run`; it is made if need be.

        Raises:
            Busy: another one holds it.
            StepFailed: the folder cannot be made or written.
        """
        path = self.path / "lock"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise storage_failure(path, error) from error
        try:
            _lock(descriptor, self.path)
            os.truncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            yield
        finally:
            os.close(descriptor)

    def kept(self) -> Run | None:
        """Return the resource as it was last carried out here, with its status; None when nothing was.

        Raises:
            ConfigurationError: what is kept here is not readable.
        """
        if not self.resource.exists():
            return None
        run = parse_run(read_resources(self.resource)[0], str(self.resource))
        status = self.status()
        return run.model_copy(update={"status": None if status is None else status.full_wire()})

    def status(self) -> RunStatus | None:
        """Return the status that is kept here, None before the first.

        Raises:
            ConfigurationError: the file is not readable.
        """
        if not self.status_file.exists():
            return None
        try:
            return RunStatus.model_validate_json(self.status_file.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            raise ConfigurationError(
                f"{self.status_file}: no status of a run ({'.'.join(map(str, first['loc']))}: {first['msg']}); "
                "delete it: what is finished is found again, nothing is generated twice"
            ) from error

    def take(self, run: Run, source: str) -> Run:
        """Keep `run`, read from `source`, as what is carried out here from now on; return it with generation and status.

        The generation rises when the spec differs from the one kept, and when a failed run is asked for again: both let it go on.
        Of a run that failed before anything was prepared everything may be changed: a mistyped path is mended in place.

        Raises:
            InvalidResource: it is another run, or a field that may not change differs; all such fields at once.
        """
        before = self.kept()
        generation = 1
        if before is not None:
            status = self.status()
            problems = tuple(_other_name(before, run) if _made_nothing(status) else _conflicts(before, run))
            if problems:
                raise InvalidResource(source, problems)
            again = before.spec != run.spec or _failed(status)
            generation = before.metadata.generation + (1 if again else 0)
        ours = {"generation": generation, "uid": "", "resource_version": None, "deletion_timestamp": None}
        metadata = run.metadata.model_copy(update=ours)
        taken = run.model_copy(update={"metadata": metadata, "status": None})
        self._keep(taken)
        return taken.model_copy(update={"status": before.status if before else None})

    def write_status(self, status: RunStatus) -> None:
        """Keep `status`."""
        write_json(self.status_file, status.full_wire())

    def _keep(self, run: Run) -> None:
        wire = run.wire() | {"metadata": run.metadata.full_wire()}
        ordered = {name: wire[name] for name in ("apiVersion", "kind", "metadata", "spec")}
        write_atomic(self.resource, (HEADER + yaml_text(ordered)).encode())


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        pid = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        raise Busy(
            f"{folder}: another `tpt run` (process {pid}) works here; wait for it, stop it with Ctrl-C, or take another --workdir"
        ) from error


def _other_name(before: Run, run: Run) -> Iterator[Problem]:
    if before.metadata.name != run.metadata.name:
        yield Problem(
            "metadata.name",
            f"found {run.metadata.name!r}, but this work folder belongs to the run {before.metadata.name!r}",
            "take another --workdir",
        )


def _conflicts(before: Run, run: Run) -> Iterator[Problem]:
    yield from _other_name(before, run)
    for path in changed_fixed_fields(before.spec, run.spec):
        was, found = (_shown(spec.full_wire(), path) for spec in (before.spec, run.spec))
        yield Problem(
            path,
            f"found {found}, was {was}; it may not change during a run, because it decides what comes of it",
            "change it back, or give the run another name",
        )
    current = int((before.status or {}).get("currentRound", 0))
    if max_rounds_too_low(before.spec, run.spec, current):
        yield Problem("spec.maxRounds", f"found {run.spec.max_rounds}, but round {current} has begun", f"{current} or more")


def _shown(spec: Any, path: str) -> str:
    value = spec
    for name in path.split(".")[1:]:
        value = value.get(name) if isinstance(value, dict) else None
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)


def _made_nothing(status: RunStatus | None) -> bool:
    """Return whether the run failed before data and model were prepared."""
    return status is not None and _failed(status) and status.resolved is None and status.current_round == 0


def _failed(status: RunStatus | None) -> bool:
    conditions = status.conditions if status else []
    return any(item.type is ConditionType.FAILED and item.status == "True" for item in conditions)
