"""Jobs of processes on one machine: what the planner asks for is carried out here, and what became of it is seen from disk.

    jobs/JOB/job.json       what was asked for
    jobs/JOB/INDEX/         of one shard or node: alive, started.json, process.json, termination, exit.json (see `processes.py`)
    logs/JOB-INDEX.log      all that it said

A Job is made of these files alone, so a run that was killed sees the same Jobs when it is started again; a process that nobody
saw end counts as disrupted. Nothing here decides what runs next or what a failure means for the run: that is the planner's.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tpt_runtime.artifacts.files import write_json
from tpt_runtime.core.actions import StartStep
from tpt_runtime.core.commands import PROGRAMS
from tpt_runtime.core.configs import StepConfig
from tpt_runtime.core.model import Model
from tpt_runtime.core.observed import JobState, ObservedJob
from tpt_runtime.core.status import Progress, StepName
from tpt_runtime.local.devices import Place
from tpt_runtime.local.failures import failure_of, worst
from tpt_runtime.local.processes import (
    GRACE_SECONDS,
    TERMINATION,
    Exit,
    Launch,
    Process,
    lives,
    started,
    termination,
)

RECORD = "job.json"


def step_command(config: StepConfig) -> tuple[str, ...]:
    """Return the command that carries out `config` on this machine."""
    return (sys.executable, "-m", PROGRAMS[config.step], config.model_dump_json(by_alias=True, exclude_none=True))


@dataclass(frozen=True)
class Settings:
    """How Jobs are carried out."""

    jobs: Path
    """Folder of the records."""
    logs: Path
    """Folder of the logs."""
    command: Callable[[StepConfig], Sequence[str]] = step_command
    """What carries out a configuration."""
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    """What every process gets, and more on top."""
    grace: float = GRACE_SECONDS
    """Seconds from the request to stop to the kill."""


class JobRecord(Model):
    """What was asked for."""

    name: str
    step: StepName
    round: int
    attempt: int
    indexes: int
    created: datetime
    deleting: datetime | None = None
    """Since when it is to go and its processes are being ended; None: it is to stay."""


@dataclass(frozen=True)
class Starting:
    """All that a new Job needs."""

    start: StartStep
    config: StepConfig
    places: tuple[Place, ...]


class Jobs:
    """The Jobs of one run."""

    def __init__(self, settings: Settings) -> None:
        """Carry out Jobs as `settings` say; those of an earlier `tpt run` are seen at once (see `recover`)."""
        self._settings = settings
        self._running: dict[tuple[str, int], tuple[Process, Place]] = {}
        self._waiting: dict[str, tuple[Starting, list[int]]] = {}

    @property
    def busy(self) -> bool:
        """Whether a process runs or waits for its place."""
        return bool(self._running or self._waiting)

    @property
    def running(self) -> Iterator[tuple[str, int, Path]]:
        """Job, index and log of every process that runs."""
        return ((job, index, process.log) for (job, index), (process, _) in self._running.items())

    def survivors(self) -> list[Path]:
        """Return the records of processes of an earlier `tpt run` that still live; they are ending by themselves."""
        mine = {process.folder for process, _ in self._running.values()}
        folders = (path for path in self._settings.jobs.glob("*/*") if path.is_dir())
        return [folder for folder in folders if folder not in mine and lives(folder)]

    def recover(self, now: datetime) -> None:
        """Close the records of an earlier `tpt run`, whose processes have all ended: what nobody saw end was disrupted."""
        for record in self._records():
            for index in range(record.indexes):
                folder = self._folder(record.name, index)
                if Exit.read(folder) is None:
                    Exit(None, stopped=True, finished=now).write(folder)
            self._settle(record)

    def start(self, starting: Starting, now: datetime) -> None:
        """Start a Job, as many of its processes as there are places; a Job that is there already is left as it is."""
        start = starting.start
        path = self._settings.jobs / start.job / RECORD
        if path.exists():
            return
        self._clear(start.job)  # what is left of one of that name whose removal was cut off
        record = JobRecord(
            name=start.job,
            step=start.step,
            round=start.round,
            attempt=start.attempt,
            indexes=start.indexes,
            created=now,
        )
        write_json(path, record.full_wire())
        self._waiting[start.job] = (starting, list(range(start.indexes)))
        self._fill(start.job, now)

    def delete(self, job: str, now: datetime) -> None:
        """End a Job's processes; its records go when they have ended."""
        record = self._record(job)
        if record is None:
            return
        if record.deleting is None:
            record = record.model_copy(update={"deleting": now})
            write_json(self._settings.jobs / job / RECORD, record.full_wire())
        self._stop(job)
        self._settle(record)

    def release(self, job: str) -> None:
        """Clear away the records of a finished Job; its log stays."""
        self._clear(job)

    def kill(self) -> None:
        """End every process at once."""
        for process, _ in self._running.values():
            process.kill()

    def close(self) -> None:
        """Ask every process that still runs to end, and wait until all have ended."""
        for process, _ in self._running.values():
            process.stop()
        for process, _ in self._running.values():
            process.close()

    def tend(self, now: datetime) -> bool:
        """Collect what has ended and start what waited for its place; return whether anything changed."""
        ended = [key for key, (process, _) in self._running.items() if process.ended]
        for key in ended:
            self._collect(key, now)
        for job in {job for job, _ in ended}:
            record = self._record(job)
            if record is not None and self._failed(record):
                self._stop(job)
            self._fill(job, now)
            if record is not None:
                self._settle(record)
        return bool(ended)

    def observe(self, progress: Mapping[str, Progress]) -> tuple[ObservedJob, ...]:
        """Return every Job as the planner sees it; `progress` is what the Jobs in progress have said."""
        return tuple(self._observed(record, progress.get(record.name)) for record in self._records())

    def failed_logs(self, job: str) -> list[Path]:
        """Return the logs of the processes of `job` that failed by themselves."""
        record = self._record(job)
        exits = self._exits(record) if record else []
        return [self.log(job, i) for i, exit_ in enumerate(exits) if exit_ and exit_.code != 0 and not exit_.stopped]

    def log(self, job: str, index: int) -> Path:
        """Return where a process's output goes."""
        return self._settings.logs / f"{job}-{index}.log"

    def _clear(self, job: str) -> None:
        """Remove a Job's records: job.json first, so that it is there whole or not at all."""
        folder = self._settings.jobs / job
        (folder / RECORD).unlink(missing_ok=True)
        if folder.exists():
            shutil.rmtree(folder)

    def _folder(self, job: str, index: int) -> Path:
        return self._settings.jobs / job / str(index)

    def _record(self, job: str) -> JobRecord | None:
        path = self._settings.jobs / job / RECORD
        return JobRecord.model_validate_json(path.read_bytes()) if path.exists() else None

    def _records(self) -> list[JobRecord]:
        found = [self._record(path.parent.name) for path in self._settings.jobs.glob(f"*/{RECORD}")]
        return sorted((record for record in found if record is not None), key=lambda record: record.created)

    def _exits(self, record: JobRecord) -> list[Exit | None]:
        return [Exit.read(self._folder(record.name, index)) for index in range(record.indexes)]

    def _failed(self, record: JobRecord) -> bool:
        return any(exit_ is not None and exit_.code != 0 for exit_ in self._exits(record))

    def _fill(self, job: str, now: datetime) -> None:
        """Start processes of `job` while there are both a process that waits and a place that is free."""
        if job not in self._waiting:
            return
        starting, left = self._waiting[job]
        taken = [place for (name, _), (_, place) in self._running.items() if name == job]
        free = [place for place in starting.places if place not in taken]
        while left and free:
            index = left.pop(0)
            place = free.pop(0)
            self._running[job, index] = (Process(self._launch(starting, index, place), now), place)
        if not left:
            del self._waiting[job]

    def _launch(self, starting: Starting, index: int, place: Place) -> Launch:
        job = starting.start.job
        folder = self._folder(job, index)
        told = {
            "JOB_COMPLETION_INDEX": str(index),
            "TPT_TERMINATION_LOG": str(folder / TERMINATION),
            "TPT_LOG": "json",
            "PYTHONSAFEPATH": "1",  # a random.py in the folder that `tpt run` is called from is not the standard library's
        }
        return Launch(
            folder=folder,
            log=self.log(job, index),
            command=tuple(self._settings.command(starting.config)),
            environment={**self._settings.environment, **told, **place.environment},
            grace=self._settings.grace,
        )

    def _stop(self, job: str) -> None:
        self._waiting.pop(job, None)
        for (name, _), (process, _) in self._running.items():
            if name == job:
                process.stop()

    def _collect(self, key: tuple[str, int], now: datetime) -> None:
        process, _ = self._running.pop(key)
        process.close()
        if Exit.read(process.folder) is None:  # the warden itself had trouble, which its exit code and the log tell of
            Exit(process.warden_code or 1, stopped=False, finished=now).write(process.folder)

    def _settle(self, record: JobRecord) -> None:
        """Clear away a deleted Job once nothing of it runs."""
        current = self._record(record.name)
        if current is not None and current.deleting is not None and not self._alive(record.name):
            self._clear(record.name)

    def _alive(self, job: str) -> bool:
        return job in self._waiting or any(name == job for name, _ in self._running)

    def _observed(self, record: JobRecord, progress: Progress | None) -> ObservedJob:
        folders = [self._folder(record.name, index) for index in range(record.indexes)]
        exits = self._exits(record)
        began = [moment for moment in map(started, folders) if moment is not None]
        state = self._state(record, exits)
        over = state in (JobState.SUCCEEDED, JobState.FAILED)
        failures = [
            failure_of(exit_, termination(folder), self.log(record.name, index))
            for index, (exit_, folder) in enumerate(zip(exits, folders, strict=True))
        ]
        return ObservedJob(
            name=record.name,
            step=record.step,
            round=record.round,
            attempt=record.attempt,
            state=state,
            created=record.created,
            started=min(began, default=None),
            finished=max((exit_.finished for exit_ in exits if exit_), default=None) if over else None,
            deleting=record.deleting is not None,
            deleting_since=record.deleting,
            failure=worst(failures) if state is JobState.FAILED else None,
            summaries=tuple(map(termination, folders)) if state is JobState.SUCCEEDED else (),
            progress=progress,
        )

    def _state(self, record: JobRecord, exits: list[Exit | None]) -> JobState:
        if all(exit_ is not None and exit_.code == 0 for exit_ in exits):
            return JobState.SUCCEEDED
        if self._alive(record.name):
            return JobState.RUNNING
        return JobState.FAILED
