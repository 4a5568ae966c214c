"""prepare, prune and finalize: ended at any point, the next attempt makes what an undisturbed one makes, byte for byte."""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.artifacts.mortal import dies
from tests.steps.conftest import SilentJournal, problems, write_jsonl, write_model
from tests.steps.sampled import prompts, samples
from tests.steps.test_finalize import build
from tpt_runtime.artifacts.manifest import verified
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.errors import Interrupted
from tpt_runtime.finalize.step import finalize
from tpt_runtime.prepare.step import prepare
from tpt_runtime.prune.step import prune
from tpt_runtime.step.context import Context

Attempt = Callable[[int, Context], object]
"""Does one attempt of a step."""


class Scene:
    """A step's input, what an undisturbed attempt makes of it, and a way back to the beginning."""

    def __init__(self, root: Path, attempt: Attempt, copy: Path) -> None:
        self.root = root
        self.attempt = attempt
        self._copy = copy
        shutil.copytree(root, copy, symlinks=True)
        attempt(1, Context(SilentJournal()))
        self.expected = made(root)

    def reset(self) -> None:
        """Let the input lie there as at first."""
        shutil.rmtree(self.root)
        shutil.copytree(self._copy, self.root, symlinks=True)

    def goes_on(self, attempt: int) -> None:
        """Check that the next attempt ends with what an undisturbed one makes, and that the one after it finds that done."""
        for number in (attempt, attempt + 1):
            self.attempt(number, Context(SilentJournal()))
            assert made(self.root) == self.expected


def made(root: Path) -> dict[str, Any]:
    """Return every file below `root`; of manifests what hangs on neither the clock nor the attempt.

    A file that was being written when its writer was killed is hidden, and nobody's.
    """
    files = [path for path in root.rglob("*") if path.is_file() and not path.name.endswith(".partial")]
    return {path.relative_to(root).as_posix(): _content(path) for path in files}


def _content(path: Path) -> Any:
    if path.name != "manifest.json":
        return path.read_bytes()
    found = json.loads(path.read_text())
    verified(path.parent, found["digest"])
    found["summary"].pop("seconds", None)
    del found["created"]
    return found


@pytest.fixture
def preparing(tmp_path: Path, commands: Callable[..., Commands]) -> Scene:
    write_model(tmp_path / "model")
    write_jsonl(tmp_path / "train.jsonl", problems(12))
    write_jsonl(tmp_path / "eval.jsonl", problems(4, first=100))
    built = commands(
        dataset={
            "train": {"uri": "train.jsonl"},
            "eval": {"uri": "eval.jsonl"},
            "validation": {"fraction": 0.25},
            "prompt": {"mode": "Chat"},
        }
    )
    root = tmp_path / "artifacts"
    root.mkdir()
    return Scene(root, lambda number, context: prepare(built.prepare(number), context), tmp_path / "copy")


@pytest.fixture
def pruning(tmp_path: Path, commands: Callable[..., Commands]) -> Scene:
    built = commands(pruning={"minExamples": 1, "maxExamples": 2}, evaluation={"samplesPerPrompt": 2, "k": [1, 2]})
    root = tmp_path / "artifacts"
    prompts(root, built, "train", {"a": "4", "b": "9", "c": "1"})
    prompts(root, built, "validation", {"v": "7", "w": "8"})
    texts: dict[str, list[Any]] = {
        "a": ["2 + 2 = 4. #### 4", "#### 5"],
        "b": ["#### 8", "#### 9"],
        "c": ["#### 1", ("#### 1", "length")],
    }
    samples(root / built.paths.sample_dir(1), built.paths.sample(1), "train", texts, shards=2)
    samples(
        root / built.paths.evaluate_dir(0), built.paths.evaluate(0), "validation", {"v": ["#### 7", "no"], "w": ["#### 3", "8"]}
    )
    return Scene(
        root, lambda number, context: prune(built.prune(1, number, evaluate=True, compare=None), context), tmp_path / "copy"
    )


@pytest.fixture
def finalizing(tmp_path: Path, commands: Callable[..., Commands], monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr("vl_convert.javascript_bundle", lambda code: code)  # takes seconds, and writes nothing
    built = commands(pruning={"minExamples": 1}, evaluation={"samplesPerPrompt": 1}, sampling={"samplesPerPrompt": 2})
    root = build(built, Context(SilentJournal()))
    return Scene(
        root, lambda number, context: finalize(built.finalize(3, number, best_round=1, status={}), context), tmp_path / "copy"
    )


STEPS = ("preparing", "pruning", "finalizing")
EVERY = {"preparing": 5, "pruning": 5, "finalizing": 4}
"""Of all operations every so manieth; the ones in between are of the kind that `tests/artifacts` goes through one by one."""


@pytest.mark.parametrize("step", STEPS)
def test_a_step_killed_at_an_operation_is_made_good_by_the_next_attempt(
    step: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")  # no threads in what is forked
    scene: Scene = request.getfixturevalue(step)
    survived = 0
    for number in count(1, EVERY[step]):
        scene.reset()
        if not dies(lambda: scene.attempt(1, Context(SilentJournal())), scene.root, number):
            break
        survived += 1
        scene.goes_on(2)
    assert survived > 10


class Stopped(Context):
    """Surroundings that are asked to stop at the nth thing that the step says."""

    def __init__(self, number: int) -> None:
        super().__init__(SilentJournal())
        self._left = number

    def _said(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.stopping.set()

    def phase(self, name: str) -> None:
        super().phase(name)
        self._said()

    def progress(self, completed: int, total: int, **figures: float) -> None:
        super().progress(completed, total, **figures)
        self._said()


def stops(scene: Scene) -> Iterator[tuple[int, bool]]:
    """Yield, for every point at which the step can be stopped, whether it heard it before its end."""
    for number in count(1):
        scene.reset()
        context = Stopped(number)
        try:
            scene.attempt(1, context)
        except Interrupted:
            yield number, True
            continue
        if not context.stopping.is_set():
            return
        yield number, False


@pytest.mark.parametrize("step", STEPS)
def test_a_step_stopped_at_a_named_point_is_made_good_by_the_next_attempt(step: str, request: pytest.FixtureRequest) -> None:
    scene: Scene = request.getfixturevalue(step)
    heard = []
    for _, interrupted in stops(scene):
        heard.append(interrupted)
        scene.goes_on(2)
    assert heard.count(True) >= 1
    assert heard == sorted(heard, reverse=True), "near its end a step ends by itself; before that it stops"


@pytest.mark.parametrize("step", STEPS)
def test_attempt_after_attempt_may_be_killed(step: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    scene: Scene = request.getfixturevalue(step)
    scene.reset()
    attempt = 0
    for attempt in range(1, 6):
        dies(partial(scene.attempt, attempt, Context(SilentJournal())), scene.root, 5 + 7 * attempt)
    scene.goes_on(attempt + 1)
