"""finalize: the report of what there is, and which models stay."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.steps.sampled import prompts, rows, samples
from tpt_runtime.artifacts.manifest import finished, write_manifest
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.errors import ArtifactError
from tpt_runtime.core.status import Metric, TrainSummary
from tpt_runtime.finalize.step import finalize
from tpt_runtime.prune.step import prune
from tpt_runtime.step.context import Context

CommandsOf = Callable[..., Commands]
ROUNDS = 3


def trained(root: Path, commands: Commands, number: int) -> None:
    folder = root / commands.paths.train_dir(number)
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "model.safetensors").write_text(f"model {number}")
    summary = TrainSummary(digest=commands.paths.train(number), metrics=[Metric(name="train/loss", value=1 / number)])
    write_manifest(folder, commands.paths.train(number), summary=summary.full_wire())


def build(commands: Commands, context: Context) -> Path:
    """Make the artifacts of three rounds: the models get one question more right each time."""
    root = Path(commands.prepare(1).root)
    prompts(root, commands, "train", {"a": "1", "b": "2"})
    prompts(root, commands, "validation", {"v": "1", "w": "2", "x": "3"})
    (root / commands.paths.model_dir(0)).mkdir()
    answers = ["#### 0", "#### 0", "#### 0"]
    for number in range(ROUNDS + 1):
        answers[:number] = ["#### 1", "#### 2", "#### 3"][:number]
        texts = {key: [answer] for key, answer in zip("vwx", answers, strict=True)}
        samples(root / commands.paths.evaluate_dir(number), commands.paths.evaluate(number), "validation", texts)
        prune(commands.grade(number, 1, compare=None), context)
        if number:
            drawn = {"a": ["#### 1", "#### 9"], "b": ["#### 2", "no"]}
            samples(root / commands.paths.sample_dir(number), commands.paths.sample(number), "train", drawn)
            prune(commands.prune(number, 1, evaluate=False, compare=None), context)
            trained(root, commands, number)
    return root


@pytest.fixture
def built(commands: CommandsOf) -> Commands:
    return commands(pruning={"minExamples": 1}, evaluation={"samplesPerPrompt": 1}, sampling={"samplesPerPrompt": 2})


@pytest.fixture
def root(built: Commands, context: Context) -> Path:
    return build(built, context)


def report(root: Path) -> dict[str, Any]:
    return dict(json.loads((root / "report" / "report.json").read_text()))


def test_the_report_tells_every_round(root: Path, built: Commands, context: Context) -> None:
    finalize(built.finalize(ROUNDS, 1, best_round=3, status={}), context)
    rounds = report(root)["rounds"]
    values = [next(m["value"] for m in entry["metrics"] if m["name"] == "validation/pass@1") for entry in rounds]
    assert values == [0.0, pytest.approx(1 / 3, abs=1e-4), pytest.approx(2 / 3, abs=1e-4), 1.0]
    assert "samples" not in rounds[0], "the base model was not trained on samples"
    assert [entry["samples"]["correct"] for entry in rounds[1:]] == [2, 2, 2]
    assert [entry["fates"]["kept"] for entry in rounds[1:]] == [2, 2, 2]
    page = (root / "report" / "report.html").read_text()
    assert "vegaEmbed" in page
    assert "33.3%" in page


def test_the_report_says_what_prepare_counted(root: Path, built: Commands, context: Context) -> None:
    counts = {"train": 2, "validation": 3, "trainTooLong": 1}
    write_manifest((root / built.paths.model_dir(0)).parent, built.paths.prepare, summary={}, counts=counts)
    finalize(built.finalize(ROUNDS, 1, best_round=3, status={}), context)
    assert report(root)["prompts"] == counts
    assert "train too long 1" in (root / "report" / "report.html").read_text()


def test_the_report_names_the_questions_that_changed(root: Path, built: Commands, context: Context) -> None:
    finalize(built.finalize(ROUNDS, 1, best_round=2, status={}), context)
    found = report(root)
    assert (found["gainedCount"], found["lostCount"]) == (2, 0)
    assert [change["question"] for change in found["gained"]] == ["question v", "question w"]
    assert found["gained"][0]["beforeSolution"] == "#### 0"
    assert found["gained"][0]["afterSolution"] == "#### 1"


def test_the_best_and_the_last_model_stay(root: Path, built: Commands, context: Context) -> None:
    summary = finalize(built.finalize(ROUNDS, 1, best_round=1, status={}), context)
    present = [(root / built.paths.model_dir(number)).is_dir() for number in range(ROUNDS + 1)]
    assert present == [True, True, False, True]
    assert summary.kept == [built.paths.model_dir(1), built.paths.model_dir(3)]
    assert summary.removed == 1


def test_the_training_of_a_removed_model_still_counts_as_done(root: Path, built: Commands, context: Context) -> None:
    finalize(built.finalize(ROUNDS, 1, best_round=1, status={}), context)
    manifest = finished(root / built.paths.train_dir(2), built.paths.train(2))
    assert manifest is not None
    assert TrainSummary.from_wire(manifest.summary).metrics == [Metric(name="train/loss", value=0.5)]


def test_all_models_stay_when_that_is_asked_for(commands: CommandsOf, context: Context) -> None:
    every = commands(retention={"checkpoints": "All"}, pruning={"minExamples": 1})
    root = build(every, context)
    finalize(every.finalize(ROUNDS, 1, best_round=1, status={}), context)
    assert all((root / every.paths.model_dir(number)).is_dir() for number in range(ROUNDS + 1))


def test_a_finished_report_is_not_made_again_and_another_ending_replaces_it(
    root: Path, built: Commands, context: Context
) -> None:
    first = finalize(built.finalize(2, 1, best_round=1, status={}), context)
    page = root / "report" / "report.html"
    page.write_text("touched")
    assert finalize(built.finalize(2, 2, best_round=1, status={}), context) == first
    assert page.read_text() == "touched"
    finalize(built.finalize(ROUNDS, 1, best_round=3, status={}), context)
    assert page.read_text() != "touched"


def test_a_run_that_ended_before_it_trained_anything_has_a_report(root: Path, built: Commands, context: Context) -> None:
    finalize(built.finalize(0, 1, best_round=None, status={}), context)
    assert len(report(root)["rounds"]) == 2
    assert rows(root / built.paths.prune_dir(1) / "train.jsonl")


def test_what_was_removed_is_told_the_same_by_every_attempt(root: Path, built: Commands, context: Context) -> None:
    model = root / built.paths.model_dir(2)
    model.replace(model.with_name("model.removed"))  # as if an attempt had been killed there
    summary = finalize(built.finalize(ROUNDS, 2, best_round=1, status={}), context)
    assert (summary.kept, summary.removed) == ([built.paths.model_dir(1), built.paths.model_dir(3)], 1)
    assert [path.name for path in (root / built.paths.train_dir(2)).iterdir()] == ["manifest.json"]


def test_seconds_come_from_the_status(root: Path, built: Commands, context: Context) -> None:
    step = {"name": "train", "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:01:30Z"}
    begun = {"name": "sample", "startTime": "2026-01-01T00:00:00Z"}
    status = {"rounds": [{"round": 0}, {"round": 1, "steps": [begun, step]}]}
    finalize(built.finalize(ROUNDS, 1, best_round=3, status=status), context)
    assert report(root)["rounds"][1]["seconds"] == {"train": 90.0}
    assert report(root)["rounds"][2]["seconds"] == {}


@pytest.mark.parametrize("content", [None, "{oops", "[]"])
def test_a_prune_report_that_cannot_be_read_is_named(content: str | None, root: Path, built: Commands, context: Context) -> None:
    path = root / built.paths.prune_dir(1) / "report.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(
        ArtifactError, match=r"round-001/prune-\w+/report\.json: cannot be read \(.*\); delete .*prune-\w+ to make it"
    ):
        finalize(built.finalize(ROUNDS, 1, best_round=3, status={}), context)


def test_a_best_round_whose_grades_are_gone_still_has_a_report(root: Path, built: Commands, context: Context) -> None:
    for kind in ("grade", "prune", "train"):
        shutil.rmtree(root / built.paths.artifacts(3)[kind])
    finalize(built.finalize(ROUNDS, 1, best_round=3, status={}), context)
    assert len(report(root)["rounds"]) == ROUNDS
    assert "best round 3." in (root / "report" / "report.html").read_text()
