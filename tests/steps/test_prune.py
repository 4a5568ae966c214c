"""prune from samples to training set, and what it makes of artifacts that are not as they should be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.steps.sampled import END, prompts, rows, sample, samples
from tpt_runtime.artifacts.manifest import write_manifest
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.configs import PruneConfig
from tpt_runtime.core.errors import ArtifactError
from tpt_runtime.core.status import PruneOutcome, PruneSummary
from tpt_runtime.prune.step import prune
from tpt_runtime.step.context import Context

CommandsOf = Callable[..., Commands]


@pytest.fixture
def built(commands: CommandsOf) -> Commands:
    return commands(pruning={"minExamples": 1, "maxCorrectPerPrompt": 2}, evaluation={"samplesPerPrompt": 2, "k": [1, 2]})


@pytest.fixture
def root(built: Commands) -> Path:
    root = Path(built.prepare(1).root)
    prompts(root, built, "train", {"a": "4", "b": "9", "c": "1"})
    prompts(root, built, "validation", {"v": "7", "w": "8"})
    texts: dict[str, list[Any]] = {
        "a": ["2 + 2 = 4. #### 4", "2 + 2 = 4. #### 4", "It is 4."],
        "b": ["#### 8", ("4 + 5 = 9. ####", "length"), "so 4 + 5 = 9 #### $9.00"],
        "c": ["no idea", "#### 3", "#### 5"],
    }
    samples(root / built.paths.sample_dir(1), built.paths.sample(1), "train", texts, shards=2)
    evaluation = {"v": ["#### 7", "#### 7.0"], "w": ["#### 3", "it is 8"]}
    samples(root / built.paths.evaluate_dir(0), built.paths.evaluate(0), "validation", evaluation)
    return root


def run(config: PruneConfig, context: Context) -> PruneSummary:
    return prune(config, context)


def value(summary: PruneSummary, name: str) -> float:
    return next(metric.value for metric in summary.metrics if metric.name == name)


def test_the_training_set_is_the_prompt_ids_then_the_sampled_ids(root: Path, built: Commands, context: Context) -> None:
    summary = run(built.prune(1, 1, evaluate=False, compare=None), context)
    examples = {(row["id"], row["sample"]): row for row in rows(root / built.paths.prune_dir(1) / "train.jsonl")}
    assert set(examples) == {("a", 0), ("b", 2)}, "a repeats itself, then says it without a marker; c is never right"
    assert examples["a", 0]["ids"] == [0, 5, *sample(0, "2 + 2 = 4. #### 4")["ids"]]
    assert examples["a", 0]["promptTokens"] == 2
    assert examples["a", 0]["ids"][-1] == END
    assert summary.outcome is PruneOutcome.TRAINABLE
    assert summary.examples == 2


def test_every_verdict_is_counted_apart(root: Path, built: Commands, context: Context) -> None:
    counts = run(built.prune(1, 1, evaluate=False, compare=None), context).samples
    assert counts is not None
    found = (counts.total, counts.correct, counts.wrong, counts.unparseable, counts.truncated, counts.timed_out)
    assert found == (9, 4, 3, 1, 1, 0)


def test_every_sample_says_what_became_of_it(root: Path, built: Commands, context: Context) -> None:
    run(built.prune(1, 1, evaluate=False, compare=None), context)
    kept = {
        row["id"]: [grade["kept"] for grade in row["grades"]] for row in rows(root / built.paths.prune_dir(1) / "grades.jsonl")
    }
    assert kept["a"] == ["kept", "repeats another sample", "answer not marked"]
    assert kept["b"] == ["not correct", "not ended", "kept"]
    report = json.loads((root / built.paths.prune_dir(1) / "report.json").read_text())
    assert report["fates"]["kept"] == 2
    assert sum(report["fates"].values()) == 9


@pytest.mark.parametrize(("check", "kept"), [(False, [0, 1]), (True, [1])])
def test_right_answers_with_false_equations_are_counted_and_left_out_if_asked(
    commands: CommandsOf, context: Context, check: bool, kept: list[int]
) -> None:
    built = commands(pruning={"minExamples": 1, "maxCorrectPerPrompt": 2, "checkArithmetic": check})
    root = Path(built.prepare(1).root)
    prompts(root, built, "train", {"a": "7"})
    texts = ["14 - 7 = 5 #### 7", "14 - 7 = 7 #### 7", "14 - 7 = 6 #### 6"]
    samples(root / built.paths.sample_dir(1), built.paths.sample(1), "train", {"a": texts})
    summary = run(built.prune(1, 1, evaluate=False, compare=None), context)
    folder = root / built.paths.prune_dir(1)
    assert sorted(row["sample"] for row in rows(folder / "train.jsonl")) == kept
    report = json.loads((folder / "report.json").read_text())
    assert (report["correct"], report["falseEquations"]) == (2, 1), "the wrong answer's false equation is not among them"
    assert report["fates"]["false equation"] == check
    assert value(summary, "train/falseEquations") == 0.5


def test_a_model_is_measured_under_both_verifiers(root: Path, built: Commands, context: Context) -> None:
    summary = run(built.prune(1, 1, evaluate=True, compare=None), context)
    assert value(summary, "validation/pass@1") == 0.75
    assert value(summary, "validation/pass@2") == 1.0
    assert value(summary, "validation/strict/pass@1") == 0.25, "7.0 and an unmarked 8 are wrong to the regular expression"
    assert value(summary, "validation/formatRate") == 0.75
    assert value(summary, "train/pass@1") == pytest.approx(4 / 9, abs=1e-4)
    assert summary.outcome is PruneOutcome.TRAINABLE


def test_correct_validation_traces_serve_for_the_held_out_loss(root: Path, built: Commands, context: Context) -> None:
    run(built.prune(1, 1, evaluate=True, compare=None), context)
    held_out = rows(root / built.paths.prune_dir(1) / "validation.jsonl")
    assert [(row["id"], row["sample"]) for row in held_out] == [("v", 0), ("w", 1)]


def test_a_later_model_is_compared_by_question(root: Path, built: Commands, context: Context) -> None:
    run(built.grade(0, 1, compare=None), context)
    better = {"v": ["#### 7", "#### 7"], "w": ["#### 8", "#### 8"]}
    samples(root / built.paths.evaluate_dir(1), built.paths.evaluate(1), "validation", better)
    comparison = run(built.grade(1, 1, compare=0), context).comparison
    assert comparison is not None
    assert (comparison.round, comparison.difference) == (0, 0.25)
    assert comparison.low <= 0.25 <= comparison.high


def test_nothing_correct_is_an_outcome_not_a_crash(root: Path, built: Commands, context: Context) -> None:
    samples(root / built.paths.sample_dir(1), built.paths.sample(1), "train", {key: ["#### 0"] for key in "abc"}, shards=2)
    summary = run(built.prune(1, 1, evaluate=False, compare=None), context)
    assert summary.outcome is PruneOutcome.NO_CORRECT_SAMPLES
    assert summary.examples == 0


def test_too_few_examples_is_an_outcome(commands: CommandsOf, root: Path, context: Context) -> None:
    strict = commands(pruning={"minExamples": 3, "maxCorrectPerPrompt": 2})
    texts = {"a": ["#### 4"], "b": ["#### 9"], "c": ["#### 0"]}
    samples(root / strict.paths.sample_dir(1), strict.paths.sample(1), "train", texts, shards=2)
    prompts(root, strict, "train", {"a": "4", "b": "9", "c": "1"})
    assert run(strict.prune(1, 1, evaluate=False, compare=None), context).outcome is PruneOutcome.TOO_FEW_EXAMPLES


def test_finished_work_is_not_repeated(root: Path, built: Commands, context: Context) -> None:
    first = run(built.prune(1, 1, evaluate=True, compare=None), context)
    for file in (root / built.paths.sample_dir(1)).iterdir():
        file.unlink()
    again = run(built.prune(1, 2, evaluate=True, compare=None), context)
    assert again.model_copy(update={"seconds": first.seconds}) == first


def test_an_evaluation_graded_by_the_closing_step_is_reused_by_the_next_round(
    root: Path, built: Commands, context: Context
) -> None:
    graded = run(built.grade(0, 1, compare=None), context)
    for file in (root / built.paths.evaluate_dir(0)).iterdir():
        file.unlink()
    summary = run(built.prune(1, 1, evaluate=True, compare=None), context)
    assert value(summary, "validation/pass@1") == value(graded, "validation/pass@1")


def test_a_prompt_that_two_attempts_sampled_counts_once(root: Path, built: Commands, context: Context) -> None:
    folder = root / built.paths.sample_dir(1)
    again = folder / "chunk-again.jsonl"
    again.write_text((folder / "chunk-train-0.jsonl").read_text())
    name = "shard-00001-of-00003.manifest.json"
    write_manifest(folder, built.paths.sample(1), summary={}, name=name, files=[again])
    counts = run(built.prune(1, 1, evaluate=False, compare=None), context).samples
    assert counts is not None
    assert counts.total == 9


def break_missing(folder: Path) -> None:
    for file in folder.glob("*00001-of-00002*"):
        file.unlink()


def break_edited(folder: Path) -> None:
    chunk = folder / "chunk-train-0.jsonl"
    chunk.write_text(chunk.read_text().replace("#### 4", "#### 9"))


def break_truncated(folder: Path) -> None:
    chunk = folder / "chunk-train-0.jsonl"
    chunk.write_bytes(chunk.read_bytes()[:-20])


def break_config(folder: Path) -> None:
    for file in folder.glob("*.manifest.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"digest": "another"}))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (break_missing, r"1 of 3 prompts have no samples, such as b"),
        (break_edited, r"chunk-train-0\.jsonl: SHA-256 .* the file was edited or damaged"),
        (break_truncated, r"chunk-train-0\.jsonl: has \d+ bytes, but its manifest says"),
        (break_config, r"is of configuration another, expected"),
    ],
)
def test_a_damaged_artifact_is_refused(
    damage: Callable[[Path], None], expected: str, root: Path, built: Commands, context: Context
) -> None:
    damage(root / built.paths.sample_dir(1))
    with pytest.raises(ArtifactError, match=expected):
        run(built.prune(1, 1, evaluate=False, compare=None), context)
