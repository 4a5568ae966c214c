"""sample, at home in an object store: chunks are kept as they come, and whoever goes on finds them there."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.object_store import Bucket, Wire, refusal
from tests.steps.conftest import SilentJournal
from tests.steps.sampling import END, TRAINED, TURN, FakeEngine, config, part, sampled, write_bpe_tokenizer, write_prompts
from tests.steps.stored import Pods, pods, put_folder, uri
from tests.steps.test_sample_step import MORTAL
from tpt_runtime.artifacts import objects
from tpt_runtime.artifacts.files import write_atomic
from tpt_runtime.artifacts.manifest import write_manifest
from tpt_runtime.core.configs import SampleConfig
from tpt_runtime.core.errors import ArtifactError, StepFailed
from tpt_runtime.core.status import SampleSummary
from tpt_runtime.sample.feeding import Pace
from tpt_runtime.sample.step import sample
from tpt_runtime.step.context import Context

__all__ = ["pods"]

TRAIN = part("train", "train")
EVALUATE = part("evaluate", "validation", "eval", samples_per_prompt=2, temperature=0.7)
PROMPTS = 20


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Return a folder with what prepare makes."""
    root = tmp_path / "prepared"
    for name, count in (("train", 11), ("validation", 4), ("eval", 5)):
        write_prompts(root, name, count)
    folder = root / "prepare-1"
    write_bpe_tokenizer(folder / "model")
    model: dict[str, Any] = {"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 96}
    (folder / "model" / "config.json").write_text(json.dumps(model))
    (folder / "model" / "generation_config.json").write_text(json.dumps({"eos_token_id": [END, TURN]}))
    (folder / "model" / "model.safetensors").write_bytes(b"weights")
    write_manifest(folder, "1", summary={})
    return root


@dataclass(frozen=True)
class Scene:
    """A run that was prepared, at home in a bucket."""

    bucket: Bucket
    wire: Wire
    pods: Pods
    prepared: Path
    """The same in a folder."""

    @property
    def home(self) -> str:
        return uri(self.bucket)

    def run(self, given: SampleConfig, engine: FakeEngine, shard: int = 0) -> SampleSummary:
        def work(given: SampleConfig, context: Context) -> SampleSummary:
            return sample(given, context, engine.open, Pace(seconds=0.0))

        return self.pods.carry_out(work, given, Context(SilentJournal(), shard))

    def kept(self) -> dict[str, dict[tuple[str, str], Any]]:
        """Return the samples in the store by purpose; none may be there twice."""
        folder, found = self.pods.new(), {}
        for one in (EVALUATE, TRAIN):
            for name, data in self.bucket.files(f"runs/team/test/{one.path}").items():
                write_atomic(folder / one.purpose / name, data)
            found[one.purpose] = sampled(folder / one.purpose)
        return found

    def uninterrupted(self) -> dict[str, dict[tuple[str, str], Any]]:
        """Return the samples that a step makes whose home is a folder."""
        sample(settings(str(self.prepared)), Context(SilentJournal()), FakeEngine().open, Pace(seconds=0.0))
        return {one.purpose: sampled(self.prepared / one.path) for one in (EVALUATE, TRAIN)}


@pytest.fixture
def scene(bucket: Bucket, wire: Wire, pods: Pods, prepared: Path) -> Scene:
    put_folder(bucket, prepared)
    return Scene(bucket, wire, pods, prepared)


def settings(root: str, attempt: int = 1, **more: Any) -> SampleConfig:
    changes = {"root": root, "storage": root, "model": "prepare-1/model", "attempt": attempt} | more
    return config(Path("unused"), EVALUATE, TRAIN).model_copy(update=changes)


POINTS = {
    "engine start KILL": 0,
    "before the first chunk KILL": 0,
    "after the third chunk KILL": 3,
    "before the third put KILL": 2,
    "before the first manifest KILL": 20,
    "before the second manifest is put KILL": 20,
    "engine start TERM": 0,
    "generation TERM": 5,
}


@pytest.mark.parametrize("point", POINTS)
def test_a_step_that_was_ended_goes_on_in_another_pod_and_makes_the_same_samples(
    point: str, scene: Scene, tmp_path: Path
) -> None:
    variables = {
        "TPT_LOG": "json",
        "TPT_TERMINATION_LOG": str(tmp_path / "termination"),
        "XDG_CACHE_HOME": str(tmp_path / "first"),
    }
    command = [sys.executable, MORTAL, point, settings(scene.home).model_dump_json(by_alias=True)]
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ | variables | path, timeout=120, check=False)
    assert ended.returncode == (-9 if point.endswith("KILL") else 143), ended.stderr
    left = scene.kept()
    assert sum(map(len, left.values())) == POINTS[point]

    engine = FakeEngine(at_once=2)
    summary = scene.run(settings(scene.home, attempt=2), engine)
    assert len(engine.requests) == PROMPTS - POINTS[point], "nothing that was kept is generated again"
    assert scene.kept() == scene.uninterrupted()
    assert (summary.prompts, summary.samples) == (20, 9 * 2 + 11 * 3)


def program(scene: Scene, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Carry out the second attempt as a program, for which `folder`/forbidden comes before all libraries."""
    paths = os.pathsep.join([str(folder / "forbidden"), str(Path(__file__).parents[2])])
    variables = {"TPT_LOG": "json", "TPT_TERMINATION_LOG": str(folder / "termination"), "PYTHONPATH": paths}
    scene.pods.new()
    command = [sys.executable, "-m", "tpt_runtime.sample", settings(scene.home, attempt=2).model_dump_json(by_alias=True)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | variables, timeout=60, check=False)


def test_a_finished_shard_starts_no_engine_fetches_no_model_and_imports_nothing_heavy(scene: Scene, tmp_path: Path) -> None:
    scene.run(settings(scene.home), FakeEngine())
    for name in ("torch", "vllm", "transformers", "tokenizers"):
        (tmp_path / "forbidden" / name).mkdir(parents=True)
        (tmp_path / "forbidden" / name / "__init__.py").write_text("raise SystemExit(99)")
    scene.wire.seen.clear()
    ended = program(scene, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert SampleSummary.model_validate_json((tmp_path / "termination").read_text()).digest == TRAINED
    assert {name.rpartition("/")[2] for name in scene.wire.gets()} == {"shard-00000-of-00001.manifest.json"}
    assert scene.bucket.environment()["AWS_SECRET_ACCESS_KEY"] not in ended.stderr


def test_shards_in_pods_of_their_own_make_what_one_makes(scene: Scene) -> None:
    for shard in range(2):
        scene.run(settings(scene.home, shards=2), FakeEngine(), shard)
    assert scene.kept() == scene.uninterrupted()


def test_a_model_whose_object_was_edited_is_refused_with_its_uri(scene: Scene) -> None:
    scene.bucket.put("runs/team/test/prepare-1/model/model.safetensors", b"WEIGHTS")
    with pytest.raises(ArtifactError, match=rf"{scene.home}/prepare-1/model/model\.safetensors: SHA-256"):
        scene.run(settings(scene.home), FakeEngine())


def test_a_chunk_that_was_truncated_is_named_with_its_uri_before_the_engine_is_started(scene: Scene, tmp_path: Path) -> None:
    scene.run(settings(scene.home), FakeEngine())
    name = next(name for name in scene.bucket.names() if "/train/chunk-" in name)
    scene.bucket.delete("runs/team/test/round-001/train/shard-00000-of-00001.manifest.json")
    scene.bucket.put(name, scene.bucket.get(name)[:-20])
    ended = program(scene, tmp_path)
    assert ended.returncode == 65, ended.stderr
    error = json.loads((tmp_path / "termination").read_text())["error"]
    assert error.startswith(f"s3://{scene.bucket.name}/{name}: damaged chunk of samples")
    assert str(tmp_path) not in error
    assert "engine start" not in ended.stderr


def test_a_store_that_fails_midway_costs_an_attempt_and_what_was_kept_stays(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "RETRIES", {"max_retries": 0})
    scene.wire.rule = lambda request: refusal(500, "InternalError") if len(scene.wire.puts()) > 6 else None
    with pytest.raises(StepFailed, match="the object store failed: InternalError"):
        scene.run(settings(scene.home), FakeEngine())
    scene.wire.rule = lambda request: None
    assert sum(map(len, scene.kept().values())) == 6
    scene.run(settings(scene.home, attempt=2), FakeEngine())
    assert scene.kept() == scene.uninterrupted()


def test_nothing_is_written_beside_the_run(scene: Scene) -> None:
    scene.run(settings(scene.home), FakeEngine())
    assert all(name.startswith("runs/team/test/") for name in scene.bucket.names())
    assert not [name for name in scene.bucket.names() if name.endswith((".partial", ".tmp"))]
