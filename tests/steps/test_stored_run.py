"""A whole run, its artifacts at home in an object store: what it ends with is what it ends with in a folder."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.object_store import Bucket, make_bucket
from tests.steps.conftest import RunOf, problems, write_jsonl
from tests.steps.stored import BELOW, Pods, artifacts, files_below, pods, put_folder, uri
from tests.steps.test_train_resume import LONG, checkpoint, last_checkpoint, model_bytes, phase, reached, resumed_at
from tests.steps.training import TRAINED, examples, launch, run_to_end, tiny_model, training_config, workshop
from tpt_runtime.core.choices import SamplingEngine
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.configs import TrainConfig
from tpt_runtime.core.spec import Run
from tpt_runtime.finalize.step import finalize
from tpt_runtime.prepare.step import prepare
from tpt_runtime.prune.step import prune
from tpt_runtime.sample.engine import EngineSettings, Generated, Request, Result
from tpt_runtime.sample.step import sample
from tpt_runtime.train.step import train

__all__ = ["pods"]

pytestmark = pytest.mark.engine


@pytest.fixture
def bucket(stores: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Return an empty bucket in the one store that is most like the real ones; this process's environment leads to it."""
    made = make_bucket(stores("versitygw" if os.environ.get("TPT_E2E_CLUSTER") else "moto"))
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    return made


class Answering:
    """An engine that reads the question, and by the seed alone answers it rightly or not."""

    def open(self, kind: SamplingEngine, settings: EngineSettings) -> "Answering":
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(settings.model / "tokenizer.json"))
        return self

    def generate(self, requests: Iterator[Request]) -> Iterator[list[Result]]:
        for request in requests:
            number = int(self._tokenizer.decode(list(request.prompt_ids)).split("What is ")[1].split()[0])
            yield [Result(request.key, [self._sample(number, request.seed + i) for i in range(request.drawing.samples)])]

    def close(self) -> None:
        """Nothing is open."""

    def _sample(self, number: int, seed: int) -> Generated:
        text = f" I think of {seed % 7}.\n#### {number + 1 + seed % 2}"
        return Generated([*self._tokenizer.encode(text, add_special_tokens=False).ids, 1], "stop", -1.0)


def until(program: "subprocess.Popen[str]", point: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Read what a program says until it is `point`; the rest is read by nobody."""
    assert program.stderr is not None
    said = []
    for line in program.stderr:
        said.append(line)
        if line.startswith("{") and point(event := json.loads(line)):
            return dict(event)
    raise AssertionError(f"it ended before: {said[-5:]}")


def sampling(config: Any, context: Any) -> Any:
    return sample(config, context, Answering().open)


def carried_out(run: Run, storage: str, root: str, pods: Pods) -> None:
    """Carry out two rounds, step by step."""
    build = Commands(run, storage=storage, root=root)
    steps: list[tuple[Callable[..., Any], Any]] = [
        (prepare, build.prepare(1)),
        (sampling, build.sample(1, 1, evaluate=True)),
        (prune, build.prune(1, 1, evaluate=True, compare=None)),
        (train, build.train(1, 1)),
        (sampling, build.sample(2, 1, evaluate=True)),
        (prune, build.prune(2, 1, evaluate=True, compare=0)),
        (train, build.train(2, 1)),
        (sampling, build.evaluate(2, 1)),
        (prune, build.grade(2, 1, compare=1)),
        (finalize, build.finalize(2, 1, best_round=2, status={})),
    ]
    for work, config in steps:
        pods.carry_out(work, config)


def test_a_run_ends_with_the_same_artifacts_in_an_object_store_and_in_a_folder(
    run_of: RunOf, bucket: Bucket, pods: Pods, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    tiny_model(source / "model")
    write_jsonl(source / "train.jsonl", problems(24))
    write_jsonl(source / "eval.jsonl", problems(4, first=100))
    run = run_of(
        dataset={
            "train": {"uri": "train.jsonl"},
            "eval": {"uri": "eval.jsonl"},
            "validation": {"fraction": 0.25},
            "prompt": {"mode": "Completion"},
        },
        sampling={"samplesPerPrompt": 3, "maxTokens": 40},
        evaluation={"samplesPerPrompt": 2, "k": [1, 2]},
        pruning={"minExamples": 1},
        training={
            "engine": "Torch",
            "precision": "FP32",
            "batchSize": 4,
            "microBatchSize": 2,
            "maxLength": 128,
            "learningRate": 1e-3,
        },
        storage={"uri": f"s3://{bucket.name}/runs"},
    )
    carried_out(run, str(source), str(tmp_path / "artifacts"), pods)
    put_folder(bucket, source, "runs")
    carried_out(run, f"s3://{bucket.name}/runs", uri(bucket), pods)

    in_a_folder, stored = artifacts(files_below(tmp_path / "artifacts")), artifacts(bucket.files(BELOW))
    assert sorted(stored) == sorted(in_a_folder)
    assert stored == in_a_folder
    assert len([name for name in stored if name.endswith("model.safetensors")]) == 2, "the base model and the best, which is last"


@pytest.fixture
def stored_workshop(bucket: Bucket, tmp_path: Path) -> tuple[Path, Bucket]:
    """Return what a first round's training reads, in a folder and in a bucket."""
    root = workshop(tmp_path / "whole", examples(800), examples(8, seed=5))
    put_folder(bucket, root)
    return root, bucket


def stored_config(bucket: Bucket, attempt: int, training: dict[str, Any]) -> TrainConfig:
    given = training_config(Path("unused"), training, attempt=attempt)
    return given.model_copy(update={"root": uri(bucket), "storage": uri(bucket)})


def stored_model(bucket: Bucket) -> dict[str, bytes]:
    stored = bucket.files(f"{BELOW}/{TRAINED}/")
    assert not [name for name in stored if name.startswith("checkpoints/")]
    return {name.removeprefix("model/"): data for name, data in stored.items() if name.endswith("safetensors")}


def test_a_training_ended_again_and_again_in_pods_of_their_own_ends_with_the_same_bytes(
    stored_workshop: tuple[Path, Bucket], pods: Pods
) -> None:
    whole, bucket = stored_workshop
    code, _ = run_to_end(training_config(whole, LONG))
    assert code == 0

    def given(attempt: int) -> TrainConfig:
        pods.new()
        return stored_config(bucket, attempt, LONG)

    code, events = reached(given(1), phase("load"), signal.SIGKILL)
    assert code == -signal.SIGKILL
    code, events = reached(given(1), checkpoint, signal.SIGKILL)
    first = last_checkpoint(events)
    code, events = reached(given(2), checkpoint, signal.SIGTERM)
    assert code == 143
    assert resumed_at(events) >= first
    second = last_checkpoint(events)
    code, events = reached(given(3), phase("save"), signal.SIGKILL)
    assert resumed_at(events) >= second
    code, events = run_to_end(given(4))
    assert code == 0
    assert resumed_at(events) >= second

    assert stored_model(bucket) == model_bytes(whole)
    code, events = run_to_end(given(5))
    assert code == 0
    assert not [event for event in events if event.get("phase") in ("fetch", "load")], "it was found done"


TWO_NODES = LONG | {"engine": "DeepSpeed", "deepspeed": {"zeroStage": 2}, "nodes": 2, "batchSize": 4}
"""400 optimizer steps."""


def test_two_nodes_that_share_nothing_but_the_store_go_on_from_a_checkpoint_that_both_brought(
    stored_workshop: tuple[Path, Bucket], pods: Pods
) -> None:
    _, bucket = stored_workshop
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    def start(attempt: int) -> list["subprocess.Popen[str]"]:
        nodes = []
        for index in (1, 0):  # process 0 is on node 0, whoever comes first
            pods.new()
            where = {"JOB_COMPLETION_INDEX": str(index), "TPT_RENDEZVOUS": f"127.0.0.1:{port}"}
            nodes.append(launch(stored_config(bucket, attempt, TWO_NODES), **where))
        return nodes

    other, first = start(1)
    saved = until(first, checkpoint)["step"]
    for node in (other, first):
        node.kill()
        node.communicate()
    other, first = start(2)
    _, said = first.communicate(timeout=300)
    other.communicate(timeout=60)
    assert (first.returncode, other.returncode) == (0, 0), said[-3000:]
    assert resumed_at([json.loads(line) for line in said.splitlines() if line.startswith("{")]) >= saved
    assert stored_model(bucket)
