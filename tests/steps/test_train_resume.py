"""train: the real program, killed at named points and started again; and what it exits with."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.steps.training import PREPARED, TRAINED, examples, launch, poison, run_to_end, training_config, workshop
from tpt_runtime.core.configs import TrainConfig

pytestmark = pytest.mark.engine

LONG = {"batchSize": 2, "microBatchSize": 1, "epochs": 2, "checkpointEverySeconds": 1, "learningRate": 1e-4}
"""800 optimizer steps: long enough for a few checkpoints, one a second."""

Event = dict[str, Any]
Point = Callable[[Event], bool]


def reached(config: TrainConfig, point: Point, number: int) -> tuple[int, list[Event]]:
    """Run the step until an event is the named point, send it signal `number`, and return exit code and events."""
    program = launch(config)
    events: list[Event] = []
    assert program.stderr is not None
    with program.stderr as log:
        for line in log:
            events.append(json.loads(line))
            if point(events[-1]):
                break
        else:
            pytest.fail(f"the point was never reached; last: {events[-3:]}")
        children = psutil.Process(program.pid).children(recursive=True)
        assert children
        began = time.monotonic()
        program.send_signal(number)
        events += [json.loads(line) for line in log]
    code = program.wait(timeout=30)
    _, left = psutil.wait_procs(children, timeout=20)
    assert left == []
    assert time.monotonic() - began < 20
    return code, events


def phase(name: str) -> Point:
    return lambda event: bool(event["event"] == "phase" and event["phase"] == name)


def checkpoint(event: Event) -> bool:
    return bool(event["event"] == "note" and event["message"].startswith("checkpoint at step"))


def notes(events: list[Event]) -> list[str]:
    return [event["message"] for event in events if event["event"] == "note"]


def resumed_at(events: list[Event]) -> int:
    found = [event["step"] for event in events if event["event"] == "note" and event["message"].startswith("going on from")]
    assert len(found) == 1, notes(events)
    return int(found[0])


def last_checkpoint(events: list[Event]) -> int:
    return max(int(event["step"]) for event in events if checkpoint(event))


def model_bytes(root: Path) -> dict[str, bytes]:
    files = sorted((root / TRAINED / "model").rglob("*.safetensors"))
    assert files
    return {path.name: path.read_bytes() for path in files}


def figures(events: list[Event]) -> dict[str, float]:
    done = [event["summary"] for event in events if event["event"] == "done"]
    assert len(done) == 1
    return {metric["name"]: metric["value"] for metric in done[0]["metrics"]}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    """Return a training that ran from beginning to end."""
    root = workshop(tmp_path_factory.mktemp("whole"), examples(800), examples(8, seed=5))
    code, events = run_to_end(training_config(root, LONG))
    assert code == 0
    return root, events


def test_a_training_killed_again_and_again_ends_with_the_same_bytes(
    tmp_path: Path, uninterrupted: tuple[Path, list[Event]]
) -> None:
    whole, expected = uninterrupted
    root = workshop(tmp_path, examples(800), examples(8, seed=5))
    config = training_config(root, LONG)

    code, events = reached(config, phase("load"), signal.SIGKILL)
    assert code == -signal.SIGKILL
    code, events = reached(config, checkpoint, signal.SIGKILL)
    first = last_checkpoint(events)
    code, events = reached(config, checkpoint, signal.SIGTERM)
    assert code == 143
    assert resumed_at(events) >= first
    second = last_checkpoint(events)
    assert second > first
    code, events = reached(config, phase("save"), signal.SIGKILL)
    assert resumed_at(events) >= second
    assert not (root / TRAINED / "manifest.json").exists()
    (root / TRAINED / ".outcome-a1.json.7-c0ffee00.partial").write_text('{"steps": 8')  # killed while it wrote its outcome
    code, events = run_to_end(config)
    assert code == 0

    assert model_bytes(root) == model_bytes(whole)
    assert figures(events) == figures(expected)
    assert sorted(path.name for path in (root / TRAINED).iterdir()) == ["manifest.json", "model"]


def test_a_training_that_diverges_fails_at_once_and_says_so(tmp_path: Path) -> None:
    root = workshop(tmp_path, examples(16))
    poison(root / PREPARED / "model")
    code, events = run_to_end(training_config(root))
    assert code == 64, "another attempt would take the same steps"
    (failed,) = (event for event in events if event["event"] == "failed")
    assert "the loss of step 1 is nan" in failed["message"]
    assert "training has diverged; lower training.learningRate in a new run" in failed["message"]
