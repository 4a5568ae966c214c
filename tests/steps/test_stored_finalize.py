"""finalize and prune, at home in an object store: what they make in a folder, and models that are not kept are removed there."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.object_store import Answer, Bucket, Request, Wire, refusal
from tests.steps.conftest import SilentJournal
from tests.steps.stored import BELOW, Pods, artifacts, files_below, pods, put_folder, uri
from tests.steps.test_finalize import build
from tpt_runtime.artifacts import objects
from tpt_runtime.artifacts.manifest import write_manifest
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.errors import StepFailed, TptError
from tpt_runtime.core.status import FinalizeSummary
from tpt_runtime.finalize.step import finalize
from tpt_runtime.prune.step import prune
from tpt_runtime.step.context import Context

__all__ = ["pods"]


@dataclass(frozen=True)
class Scene:
    """Three rounds, in a folder and in a bucket."""

    bucket: Bucket
    wire: Wire
    pods: Pods
    here: Commands
    there: Commands

    @property
    def root(self) -> Path:
        return Path(self.here.prepare(1).root)

    def ending(self, attempt: int = 1, best_round: int = 1) -> FinalizeSummary:
        config = self.there.finalize(3, attempt, best_round=best_round, status={})
        return self.pods.carry_out(finalize, config)

    def models(self) -> list[int]:
        """Return the rounds whose models are in the store."""
        names = self.bucket.names(BELOW)
        return [n for n in (1, 2, 3) if f"{BELOW}/{self.here.paths.model_dir(n)}/model.safetensors" in names]


@pytest.fixture
def scene(commands: Callable[..., Commands], bucket: Bucket, wire: Wire, pods: Pods, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr("vl_convert.javascript_bundle", lambda code: code)  # takes seconds, and writes nothing
    monkeypatch.setattr(objects, "RETRIES", {"max_retries": 0})
    built = commands(pruning={"minExamples": 1}, evaluation={"samplesPerPrompt": 1}, sampling={"samplesPerPrompt": 2})
    root = build(built, Context(SilentJournal()))
    prepared = root / built.prepare(1).path
    (prepared / "model" / "config.json").write_text("{}")
    write_manifest(prepared, built.paths.prepare, summary={})
    put_folder(bucket, root)
    return Scene(bucket, wire, pods, built, Commands(built.run, storage=f"s3://{bucket.name}", root=uri(bucket)))


def test_the_report_is_the_same_and_the_best_and_the_last_model_stay(scene: Scene) -> None:
    summary = scene.ending()
    expected = finalize(scene.here.finalize(3, 1, best_round=1, status={}), Context(SilentJournal()))
    assert (summary.kept, summary.removed) == (expected.kept, expected.removed)
    assert scene.models() == [1, 3]
    assert artifacts(scene.bucket.files(BELOW)) == artifacts(files_below(scene.root))


def test_no_model_is_fetched_for_a_report(scene: Scene) -> None:
    scene.ending()
    assert not [name for name in scene.wire.gets() if name.endswith((".safetensors", "config.json"))]


def test_another_ending_replaces_the_report_and_the_same_one_is_not_made_again(scene: Scene) -> None:
    scene.ending()
    scene.wire.seen.clear()
    assert scene.ending(attempt=2).removed == 1
    assert scene.wire.puts() == []
    assert scene.ending(attempt=3, best_round=3).kept == [scene.here.paths.model_dir(3)]
    assert scene.models() == [3]
    record = json.loads(scene.bucket.get(f"{BELOW}/report/report.json"))
    assert record["bestRound"] == 3


def nth(number: int) -> Callable[[Request], Answer | None]:
    """Return the rule of a store that does nothing any more from the `number`th change on."""
    changes = iter(range(1, 10**6))
    gone: list[bool] = []

    def rule(request: Request) -> Answer | None:
        if request.method in ("PUT", "POST", "DELETE") and next(changes) >= number:
            gone.append(True)
        return refusal(500, "InternalError") if gone else None

    return rule


def interrupted_everywhere(scene: Scene, attempt: Callable[[int], Any], reset: Callable[[], None]) -> int:
    """Cut an attempt off before each of its changes to the store, and see that the next one makes it good; return how many."""
    attempt(1)
    expected = artifacts(scene.bucket.files(BELOW))
    for number in range(1, 1000):
        reset()
        scene.wire.rule = nth(number)
        try:
            attempt(1)
        except StepFailed:
            scene.wire.rule = lambda request: None
            attempt(2)
            assert artifacts(scene.bucket.files(BELOW)) == expected
            continue
        finally:
            scene.wire.rule = lambda request: None
        return number - 1
    raise AssertionError("unreachable")


def test_an_ending_cut_off_at_any_change_is_made_good(scene: Scene) -> None:
    before = scene.bucket.files(BELOW)

    def reset() -> None:
        for name in scene.bucket.names(BELOW):
            scene.bucket.delete(name)
        for name, data in before.items():
            scene.bucket.put(f"{BELOW}/{name}", data)

    assert interrupted_everywhere(scene, scene.ending, reset) >= 6


def test_a_prune_cut_off_at_any_change_is_made_good_and_makes_what_it_makes_in_a_folder(scene: Scene) -> None:
    folder = f"{BELOW}/{scene.here.paths.prune_dir(1)}/"
    in_a_folder = {name: data for name, data in scene.bucket.files(folder).items() if name != "manifest.json"}

    def reset() -> None:
        for name in scene.bucket.names(folder):
            scene.bucket.delete(name)

    def attempt(number: int) -> None:
        scene.pods.carry_out(prune, scene.there.prune(1, number, evaluate=False, compare=None))

    reset()
    assert interrupted_everywhere(scene, attempt, reset) == len(in_a_folder) + 1
    assert {name: data for name, data in scene.bucket.files(folder).items() if name != "manifest.json"} == in_a_folder


@pytest.mark.parametrize("damage", ["truncated", "edited", "missing"])
def test_a_damaged_object_ends_the_next_step_with_its_uri(damage: str, scene: Scene) -> None:
    folder = f"{BELOW}/{scene.here.paths.sample_dir(1)}"
    (chunk,) = [name for name in scene.bucket.names(folder) if "/chunk-" in name]
    data = scene.bucket.get(chunk)
    match damage:
        case "truncated":
            scene.bucket.put(chunk, data[:-2])
        case "edited":
            scene.bucket.put(chunk, data.replace(b"#### 1", b"#### 7"))
        case "missing":
            scene.bucket.delete(chunk)
    for name in scene.bucket.names(f"{BELOW}/{scene.here.paths.prune_dir(1)}/"):
        scene.bucket.delete(name)
    with pytest.raises(TptError, match=rf"s3://{scene.bucket.name}/{chunk}: ") as caught:
        scene.pods.carry_out(prune, scene.there.prune(1, 1, evaluate=False, compare=None))
    assert caught.value.exit_code == 65
