"""A step program that is asked to stop while it still imports."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.step.conftest import DEADLINE
from tpt_runtime.core.commands import PROGRAMS

ROOT = Path(__file__).parents[2]
ENDLESS = "import sys\nprint('imports', flush=True)\nsys.stdin.read()\n"
"""Stands for a library that takes long to import."""


@pytest.mark.parametrize("program", sorted(set(PROGRAMS.values())))
def test_a_step_that_still_imports_ends_at_once_and_says_that_it_was_stopped(program: str, tmp_path: Path) -> None:
    (tmp_path / "pydantic.py").write_text(ENDLESS)
    command, paths = [sys.executable, "-m", program, "{}"], {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, env=paths, stdin=pipe, stdout=pipe, text=True) as step:
        assert step.stdout is not None
        assert step.stdout.readline() == "imports\n"
        step.send_signal(signal.SIGTERM)
        # Without a handler it would be -SIGTERM here, and as the first process of a container nothing at all.
        assert step.wait(DEADLINE) == 143
