"""A work folder, a run of fake steps in it, and a clock that does not wait where nothing runs."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tpt_runtime.core.configs import StepConfig
from tpt_runtime.core.resource import parse_run
from tpt_runtime.core.spec import Run
from tpt_runtime.core.status import RunStatus, StepName, StepStatus
from tpt_runtime.local.jobs import Jobs, Settings
from tpt_runtime.local.runner import Machine, Runner
from tpt_runtime.local.screen import View
from tpt_runtime.local.wakeups import SystemClock
from tpt_runtime.local.workdir import Workdir

FAKE_STEP = Path(__file__).with_name("fake_step.py")


def fake_command(config: StepConfig) -> Sequence[str]:
    return (sys.executable, str(FAKE_STEP), config.model_dump_json(by_alias=True, exclude_none=True))


class SkippingClock(SystemClock):
    """The real time while a process runs; otherwise a wait is over at once, and time has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = timedelta()
        self.waits: list[float] = []
        self.busy: Callable[[], bool] = lambda: False
        self.on_wait: Callable[[], None] = lambda: None

    def now(self) -> datetime:
        return super().now() + self.skipped

    def wait(self, seconds: float) -> None:
        self.on_wait()
        if self.busy() or self.stops:
            super().wait(min(seconds, 0.05))
        else:
            self.waits.append(seconds)
            self.skipped += timedelta(seconds=max(0.0, seconds))

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.kill(os.getpid(), signal.SIGINT)


@dataclass
class RecordingScreen:
    said: list[str] = field(default_factory=list)
    views: list[View] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.said)

    def say(self, text: str) -> None:
        self.said.append(text)

    def show(self, key: str, view: View) -> None:
        self.views.append(view)

    def forget(self, key: str) -> None:
        """Nothing is drawn."""

    def close(self) -> None:
        """Nothing is drawn."""


@dataclass
class Place:
    """A work folder and what was seen of the last run in it."""

    folder: Workdir
    gpus: tuple[str, ...] = ()
    grace: float = 10.0
    clock: SkippingClock = field(default_factory=SkippingClock)
    screen: RecordingScreen = field(default_factory=RecordingScreen)

    @property
    def command(self) -> Callable[[StepConfig], Sequence[str]]:
        """What carries out a step's configuration."""
        return fake_command

    def behave(self, **steps: list[str]) -> None:
        """Say what attempts do wrong: `train_r1=["crash"]`."""
        self.folder.path.mkdir(parents=True, exist_ok=True)
        named = {name.replace("_", "-"): attempts for name, attempts in steps.items()}
        (self.folder.path / "behaviour.json").write_text(json.dumps(named))

    @contextmanager
    def prepared(self, run: Run) -> Iterator[Runner]:
        """Yield what carries out `run`, with a new clock and screen."""
        self.clock, self.screen = SkippingClock(), RecordingScreen()
        with self.folder.locked(), self.clock:
            settings = Settings(self.folder.jobs, self.folder.logs, fake_command, dict(os.environ), self.grace)
            jobs = Jobs(settings)
            self.clock.busy = lambda: jobs.busy
            machine = Machine(self.folder, jobs, self.screen, self.clock, self.gpus)
            yield Runner(self.folder.take(run, "run.yaml"), machine)

    def carry_out(self, run: Run) -> RunStatus:
        with self.prepared(run) as runner:
            return runner.carry_out()

    @property
    def work(self) -> list[str]:
        """What was done, in order: `train-r1-0`."""
        log = self.folder.artifacts / "work.log"
        return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []

    @property
    def gpus_of_work(self) -> dict[str, str]:
        log = self.folder.artifacts / "work.log"
        return {line.split()[0]: line.split("gpus=")[1] for line in log.read_text().splitlines()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(Workdir(tmp_path / "work"))


def make_run(**sections: Any) -> Run:
    """Return a run of one round; keyword arguments replace fields of its spec."""
    spec: dict[str, Any] = {
        "maxRounds": 1,
        "model": {"uri": "model"},
        "dataset": {"train": {"uri": "train.jsonl"}},
        "storage": {"persistentVolumeClaim": {"claimName": "runs"}},
    }
    body = {"apiVersion": "tpt.dev/v1alpha1", "kind": "SelfImprovementRun", "metadata": {"name": "test"}}
    return parse_run({**body, "spec": spec | sections}, "test")


@pytest.fixture(name="make_run")
def make_run_fixture() -> Callable[..., Run]:
    return make_run


def step_of(status: RunStatus, number: int, name: StepName) -> StepStatus:
    """Return the record of a step."""
    return next(step for entry in status.rounds if entry.round == number for step in entry.steps if step.name is name)


@pytest.fixture(name="step_of")
def step_of_fixture() -> Callable[[RunStatus, int, StepName], StepStatus]:
    return step_of
