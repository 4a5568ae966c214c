"""`tpt run` killed by SIGKILL again and again, at any point, ends as it would have without."""

import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tpt_runtime.core.spec import Run
from tpt_runtime.core.status import ConditionType, RunStatus
from tpt_runtime.local.runner import is_true
from tpt_runtime.local.workdir import Workdir
from tpt_runtime.local.yamltext import yaml_text

HERE = Path(__file__).parent
MOST_LIVES = 40
SECONDS = 60
"""Longest life; none takes a tenth of it."""


def live(folder: Workdir, points: int) -> int:
    """Let the run live until its `points`-th point; return its exit code."""
    program = [sys.executable, str(HERE / "mortal_run.py"), str(folder.path), str(HERE / "fake_step.py"), str(points)]
    ended = subprocess.run(program, timeout=SECONDS, check=False, capture_output=True, text=True)
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
    return ended.returncode


def figures(status: RunStatus) -> list[Any]:
    return [(entry.round, entry.metrics, entry.examples, entry.samples, entry.model) for entry in status.rounds]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_that_is_killed_at_any_points_ends_the_same(
    place: Any, make_run: Callable[..., Run], tmp_path: Path, seed: int
) -> None:
    expected = place.carry_out(make_run(sampling={"shards": 2}))
    mortal = Workdir(tmp_path / "mortal")
    mortal.path.mkdir()
    (mortal.path / "asked.yaml").write_text(yaml_text(make_run(sampling={"shards": 2}).wire()))
    chance = random.Random(seed)
    codes = []
    while 0 not in codes:
        codes.append(live(mortal, chance.randint(8, 60)))
        assert len(codes) < MOST_LIVES, "it does not come to an end"
    assert len(codes) > 2, "it was hardly killed"
    status = mortal.status()
    assert status is not None
    assert is_true(status, ConditionType.COMPLETE)
    assert figures(status) == figures(expected)
    work = [line.split()[0] for line in (mortal.artifacts / "work.log").read_text().splitlines()]
    assert sorted(work) == sorted(place.work)
    assert all(step.failures == 0 for entry in status.rounds for step in entry.steps)
