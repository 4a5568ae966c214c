"""A run of fake steps that is killed by SIGKILL at the n-th point: `mortal_run.py WORKDIR FAKE_STEP N`; with N = 0, never.

Points lie before and after every write of the status and everything that is done to a job.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tpt_runtime.artifacts.yaml import read_resources
from tpt_runtime.core.configs import StepConfig
from tpt_runtime.core.resource import parse_run
from tpt_runtime.local.jobs import Jobs, Settings
from tpt_runtime.local.runner import Machine, Runner
from tpt_runtime.local.screen import LineScreen
from tpt_runtime.local.wakeups import SystemClock
from tpt_runtime.local.workdir import Workdir

PASSED = 0


def point() -> None:
    global PASSED  # noqa: PLW0603
    PASSED += 1
    if str(PASSED) == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)


def mortal(function: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(*arguments: Any) -> Any:
        point()
        result = function(*arguments)
        point()
        return result

    return guarded


def command(config: StepConfig) -> tuple[str, ...]:
    return (sys.executable, sys.argv[2], config.model_dump_json(by_alias=True, exclude_none=True))


def main() -> None:
    folder = Workdir(Path(sys.argv[1]))
    jobs = Jobs(Settings(folder.jobs, folder.logs, command))
    for owner, names in ((folder, ["write_status"]), (jobs, ["start", "delete", "release", "_collect", "_launch", "recover"])):
        for name in names:
            setattr(owner, name, mortal(getattr(owner, name)))
    file = folder.path / "asked.yaml"
    with folder.locked(), SystemClock() as clock:
        run = folder.take(parse_run(read_resources(file)[0], str(file)), str(file))
        Runner(run, Machine(folder, jobs, LineScreen(sys.stdout), clock)).carry_out()


if __name__ == "__main__":
    main()
