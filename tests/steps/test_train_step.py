"""train: from the configuration to the manifest, with scripts in the place of a training."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.steps.conftest import SilentJournal
from tests.steps.training import PREPARED, TRAINED, examples, training_config, write_examples
from tpt_runtime.artifacts.manifest import verified, write_manifest
from tpt_runtime.core.configs import TrainConfig
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.status import SUMMARY_BYTES
from tpt_runtime.step.context import Context
from tpt_runtime.train import processes, step
from tpt_runtime.train.job import ERROR_FOLDER, Device, Job, Outcome, outcome_file

CPU = Device(kind="cpu", memory=8 * 10**9)
GPU = Device(kind="cuda", memory=80 * 10**9)
LONG = 600
"""Seconds that nothing here takes: whoever sleeps so long is expected to be ended."""


def job_of(config: TrainConfig, device: Device = CPU) -> Job:
    count = config.training.nodes * config.training.processes_per_node
    return Job(config=config, device=device, processes=count, attention="sdpa", recompute=False)


def script(text: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(text)]


def run(text: str, errors: Path, stopping: threading.Event | None = None) -> tuple[processes.Ended, list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    environment = os.environ | {ERROR_FOLDER: str(errors)}
    return processes.run(script(text), environment, events.append, stopping or threading.Event()), events


OUTCOME = Outcome(
    loss=1.5,
    held_out=[2.0, 1.25],
    steps=5,
    tokens=320,
    examples=40,
    dropped=2,
    repeated=1,
    changed_share=0.99,
    changed_share_bf16=0.4,
    versions={"torch": "2"},
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    model, tokenizer = tmp_path / PREPARED / "model", tmp_path / PREPARED / "tokenizer"
    for folder in (model, tokenizer):
        folder.mkdir(parents=True)
    (model / "config.json").write_text('{"vocab_size": 260}')
    (model / "pytorch_model.bin").write_bytes(b"weights")
    (tokenizer / "tokenizer.json").write_text("{}")
    (tokenizer / "chat_template.jinja").write_text("{{ messages }}")
    (tokenizer / ".hidden").write_text("")
    write_manifest(tmp_path / PREPARED, PREPARED.rpartition("-")[2], summary={})
    write_examples(tmp_path, examples(10))
    return tmp_path


Trained = list[Job]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Replace the training by one that writes a model at once; what it was told is noted."""
    told: Trained = []

    def train(job: Job, context: Context) -> None:
        told.append(job)
        folder = Path(job.config.root) / job.config.path
        partial = folder / f"model.partial-a{job.config.attempt}"
        partial.mkdir(parents=True)
        (partial / "model.safetensors").write_bytes(b"new weights")
        (folder / "checkpoints" / "checkpoint-3").mkdir(parents=True)
        outcome_file(job).write_text(OUTCOME.model_dump_json(by_alias=True))

    monkeypatch.setattr(step, "_run", train)
    monkeypatch.setattr(step, "find_devices", lambda: [CPU])
    return told


def test_the_model_is_published_with_tokenizer_card_and_manifest(root: Path, context: Context, trained: Trained) -> None:
    config = training_config(root)
    step.train(config, context)
    manifest = verified(root / TRAINED, config.digest)
    names = {"model/model.safetensors", "model/tokenizer.json", "model/chat_template.jinja", "model/README.md"}
    assert set(manifest.files) == names
    assert manifest.counts == {"examples": 40}


def test_nothing_of_the_unfinished_training_stays(root: Path, context: Context, trained: Trained) -> None:
    (root / TRAINED / "model.partial-a0").mkdir(parents=True)
    step.train(training_config(root), context)
    assert sorted(path.name for path in (root / TRAINED).iterdir()) == ["manifest.json", "model"]


def test_finished_work_is_not_repeated_and_its_left_overs_are_removed(root: Path, context: Context, trained: Trained) -> None:
    first = step.train(training_config(root), context)
    (root / TRAINED / "checkpoints").mkdir()
    again = step.train(training_config(root, attempt=2), context)
    assert again == first
    assert len(trained) == 1
    assert not (root / TRAINED / "checkpoints").exists()


def test_the_summary_has_all_figures_and_is_small(root: Path, context: Context, trained: Trained) -> None:
    summary = step.train(training_config(root), context)
    assert {metric.name: metric.value for metric in summary.metrics} == {
        "train/loss": 1.5,
        "train/steps": 5,
        "train/tokens": 320,
        "train/examples": 40,
        "train/dropped": 2,
        "train/repeated": 1,
        "train/changedShare": 0.99,
        "train/changedShareBF16": 0.4,
        "validation/lossBefore": 2.0,
        "validation/loss": 1.25,
    }
    assert len(json.dumps(summary.full_wire())) < SUMMARY_BYTES / 2
    assert {"check", "publish"} <= set(summary.seconds)


def test_a_training_that_changed_nothing_is_an_error(
    root: Path, context: Context, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "_outcome", lambda job: OUTCOME.model_copy(update={"changed_share": 0.0}))
    with pytest.raises(ConfigurationError, match=r"changed no weight in 5 steps.*learningRate"):
        step.train(training_config(root), context)
    assert not (root / TRAINED / "manifest.json").exists()


def test_only_the_first_node_publishes(root: Path, trained: Trained) -> None:
    summary = step.train(training_config(root), Context(SilentJournal(), index=1))
    assert summary.metrics == []
    assert not (root / TRAINED / "manifest.json").exists()


def test_the_card_says_where_the_model_comes_from(root: Path, context: Context, trained: Trained) -> None:
    step.train(training_config(root, settings_note={"model": {"uri": "base"}}), context)
    card = (root / TRAINED / "model" / "README.md").read_text()
    for said in (
        "tiny, round 1",
        "0000000000000000",
        "1111111111111111",
        "2222222222222222",
        '"uri": "base"',
        "train/loss | 1.5",
    ):
        assert said in card
    assert '"correct": 10' in card
    assert "| torch | 2 |" in card
    assert '"learningRate": 0.001' in card


def test_processes_speak_through_the_log_of_the_step(context: Context) -> None:
    step.pass_on({"event": "phase", "phase": "load"}, context)
    progress = {"completed": 2, "total": 5, "loss": 1.5, "tokens": 7, "tokens_per_second": 3.5, "optimizer_step": 2}
    step.pass_on({"event": "progress"} | progress, context)
    step.pass_on({"event": "output", "text": "words"}, context)
    assert isinstance(context.journal, SilentJournal)
    assert context.journal.events == [
        {"event": "phase", "phase": "load"},
        {"event": "progress"} | progress,
        {"event": "output", "text": "words"},
    ]


def test_the_launcher_imports_no_torch(root: Path, context: Context, trained: Trained) -> None:
    """Neither when the work is done already nor when it only starts processes."""
    code = "import sys, tpt_runtime.train.step; print([m for m in ('torch', 'transformers', 'trl') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_sigterm_to_the_program_ends_it_with_143(root: Path, tmp_path: Path) -> None:
    """The real program, whose training process is asked to stop while it imports."""
    from tests.steps.training import launch

    program = launch(training_config(root))
    assert program.stderr is not None
    with program.stderr:
        for line in program.stderr:
            if '"phase": "import"' in line:
                break
        began = time.monotonic()
        program.send_signal(signal.SIGTERM)
        rest = program.stderr.read()
    assert program.wait(timeout=20) == 143
    assert time.monotonic() - began < 20
    assert '"interrupted"' in rest
