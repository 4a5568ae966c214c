"""A small run with the real engines, ended at random points again and again, ends with the same rounds as one that was not.

One case is part of the tests; `make soak` has the long form, with more rounds and more ends.
"""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from tpt_runtime.artifacts.yaml import read_resources
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.resource import parse_run
from tpt_runtime.core.status import ConditionType
from tpt_runtime.demo.model import Recipe
from tpt_runtime.demo.quickstart import Sizes, write_quickstart
from tpt_runtime.local.runner import is_true
from tpt_runtime.local.workdir import Workdir
from tpt_runtime.local.yamltext import yaml_text

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
SIZES = Sizes(train=96, validation=16, eval=16)
RECIPE = Recipe(rows=4000, steps=350)
"""A base model that solves a question now and then: enough to train on."""
SECONDS = 900
"""Longest life; an undisturbed one takes a minute and a half."""
MOST_POINTS = 16
"""Lines that a life says before its end is due, at most: it may come in any step."""
MOST_DELAY = 3.0
"""Seconds from the line that a life ends after to its end, at most."""


@dataclass(frozen=True)
class Ordeal:
    """How often a run is ended before it may end by itself."""

    rounds: int
    ends: int
    seed: int


ONE = Ordeal(rounds=1, ends=3, seed=5)
LONG = [Ordeal(rounds=2, ends=12, seed=seed) for seed in (1, 2, 3)]
ORDEALS = LONG if os.environ.get("TPT_SOAK") else [ONE]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the base model and the data."""
    folder = tmp_path_factory.mktemp("made")
    write_quickstart(folder, 0, sizes=SIZES, recipe=RECIPE, tell=lambda line: None)
    return folder


def small_run(made: Path, rounds: int) -> dict[str, Any]:
    """Return the quickstart's resource in small."""
    (resource,) = read_resources(ROOT / "examples" / "quickstart" / "run.yaml")
    spec = resource["spec"]
    spec["maxRounds"] = rounds
    spec["model"] = {"uri": f"file://{made}/model"}
    for name in ("train", "validation", "eval"):
        spec["dataset"][name] = {"uri": f"file://{made}/data/{name}.jsonl"}
    spec["pruning"]["minExamples"] = 4
    spec["evaluation"]["samplesPerPrompt"] = 8
    spec["training"] |= {"checkpointEverySeconds": 1, "epochs": 8, "batchSize": 8, "microBatchSize": 8}
    return dict(resource)


class Life:
    """One `tpt run` in `folder`."""

    def __init__(self, folder: Path) -> None:
        file = folder / "asked.yaml"
        command = [sys.executable, "-c", "from tpt_runtime.cli import main; main()", "run", str(file), "--workdir", str(folder)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self.said: list[str] = []
        self._limit = Timer(SECONDS, self.process.kill)
        self._limit.daemon = True
        self._limit.start()

    def lines(self) -> Iterator[str]:
        """Yield what it says, until it has ended."""
        assert self.process.stderr is not None
        with self.process.stderr:
            for line in self.process.stderr:
                self.said.append(line)
                yield line

    def end(self) -> int:
        """Let it end by itself, and return its exit code."""
        for _ in self.lines():
            pass
        return self._ended()

    def end_after(self, points: int, delay: float, number: signal.Signals) -> int:
        """Send it the signal `number` some time after its `points`-th line, unless it has ended by then; return its exit code."""
        for count, _ in enumerate(self.lines(), 1):
            if count == points:
                Timer(delay, self.process.send_signal, [number]).start()
        return self._ended()

    def stop(self) -> None:
        """End it if the test has not."""
        self.process.kill()
        self._ended()

    def _ended(self) -> int:
        code = self.process.wait(SECONDS)
        self._limit.cancel()
        return code


@pytest.fixture
def live() -> Iterator[Callable[[Path], Life]]:
    """Return a function that begins a life; none outlives the test."""
    lives: list[Life] = []

    def begin(folder: Path) -> Life:
        lives.append(Life(folder))
        return lives[-1]

    yield begin
    for life in lives:
        life.stop()


def begin(folder: Path, resource: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "asked.yaml").write_text(yaml_text(resource))
    return folder


def outcome(folder: Path, resource: dict[str, Any]) -> dict[str, Any]:
    """Return what a run came to: its figures by round, and what it trained on, byte for byte."""
    workdir = Workdir(folder)
    status = workdir.status()
    assert status is not None
    assert is_true(status, ConditionType.COMPLETE), status.conditions
    paths = Commands(parse_run(resource, "asked.yaml"), str(folder), str(workdir.artifacts)).paths
    rounds = {
        entry.round: {
            "metrics": {metric.name: metric.value for metric in entry.metrics},
            "samples": entry.samples,
            "examples": entry.examples,
            "model": entry.model,
        }
        for entry in status.rounds
    }
    trained_on = [(workdir.artifacts / paths.prune_dir(n) / "train.jsonl").read_bytes() for n in rounds if n]
    return {"rounds": rounds, "best": status.best_round, "trained on": trained_on}


@pytest.mark.parametrize("ordeal", ORDEALS, ids=lambda ordeal: f"seed-{ordeal.seed}")
def test_a_run_with_real_engines_that_is_ended_at_random_points_ends_the_same(
    ordeal: Ordeal, made: Path, tmp_path: Path, live: Callable[[Path], Life]
) -> None:
    resource = small_run(made, ordeal.rounds)
    undisturbed = live(begin(tmp_path / "undisturbed", resource))
    chance = random.Random(ordeal.seed)
    mortal = begin(tmp_path / "mortal", resource)
    codes = []
    for _ in range(ordeal.ends):
        number = chance.choice((signal.SIGKILL, signal.SIGTERM))
        life = live(mortal)
        codes.append(life.end_after(chance.randint(1, MOST_POINTS), chance.uniform(0, MOST_DELAY), number))
        assert codes[-1] in (0, -signal.SIGKILL, 128 + signal.SIGTERM), life.said
    last = live(mortal)
    assert last.end() == 0, last.said
    assert undisturbed.end() == 0, undisturbed.said
    assert -signal.SIGKILL in codes
    assert 128 + signal.SIGTERM in codes
    expected, found = outcome(tmp_path / "undisturbed", resource), outcome(mortal, resource)
    assert found == expected
