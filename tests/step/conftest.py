"""Starts step programs and reads what they say."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

DEADLINE = 60.0
"""Longest wait for anything; no test needs more than a few seconds of it."""


class Program:
    """One running step program."""

    def __init__(self, argument: str, folder: Path, command: list[str] | None = None, **environment: str) -> None:
        self.termination = folder / "termination"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TPT_", "JOB_"))}
        own = {"TPT_TERMINATION_LOG": str(self.termination), "TPT_LOG": "json"}
        self.process = subprocess.Popen(
            [*(command or [sys.executable, "-m", "tests.step.small_step"]), argument],
            env=inherited | own | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.events: list[dict[str, Any]] = []

    def until(self, event: str, **fields: Any) -> dict[str, Any]:
        """Read the log until something is said, and return it."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == event and fields.items() <= self.events[-1].items():
                return self.events[-1]
        raise AssertionError(f"it never said {event} {fields}, but {self.events}")

    def end(self) -> int:
        """Wait for the end, read the rest of the log, and return the exit code."""
        out, rest = self.process.communicate(timeout=DEADLINE)
        self.events += [json.loads(line) for line in rest.splitlines()]
        assert out == "", "a step says everything on standard error"
        return self.process.returncode

    def handed_in(self) -> dict[str, Any]:
        """Return the summary or the error."""
        return dict(json.loads(self.termination.read_bytes()))

    def processor_seconds(self) -> float:
        """Return the processor time that it has taken so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def config(run: str, root: Path) -> str:
    """Return the argument of a small step."""
    fields = {
        "run": run,
        "namespace": "default",
        "step": "prune",
        "round": 1,
        "attempt": 1,
        "storage": str(root),
        "root": str(root),
    }
    return json.dumps(fields)


StartProgram = Callable[..., Program]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartProgram]:
    """Return a function that starts the small step; whatever still runs at the end is killed."""
    started: list[Program] = []

    def begin(run: str, command: list[str] | None = None, root: Path = tmp_path, **environment: str) -> Program:
        started.append(Program(config(run, root), tmp_path, command, **environment))
        return started[-1]

    yield begin
    for program in started:
        program.process.kill()
        program.process.communicate()


@pytest.fixture
def free_port() -> int:
    """Return a port that nobody serves."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_until(condition: Callable[[], Any], what: str) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"{what} never happened"
        time.sleep(0.001)
