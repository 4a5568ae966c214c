"""prune over whole sets: which questions count where, and that nothing hangs on how sampling went about it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.steps.conftest import write_jsonl
from tests.steps.sampled import prompts, rows, sample, samples
from tpt_runtime.artifacts.manifest import write_manifest
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.status import SUMMARY_BYTES, PruneSummary
from tpt_runtime.core.verifier import Verifier
from tpt_runtime.prune import grading
from tpt_runtime.prune.evaluation import HELD_OUT_EXAMPLES
from tpt_runtime.prune.figures import difficulty
from tpt_runtime.prune.reading import FOLLOWED, PER_VERDICT
from tpt_runtime.prune.step import prune
from tpt_runtime.step.context import Context
from tpt_runtime.verify.pool import MAX_WORKERS, GradingPool

CommandsOf = Callable[..., Commands]
EVAL = {"train": {"uri": "train.jsonl"}, "eval": {"uri": "eval.jsonl"}, "prompt": {"mode": "Completion"}}


def metric(summary: PruneSummary, name: str) -> float | None:
    return next((found.value for found in summary.metrics if found.name == name), None)


def chunk(folder: Path, digest: str, found: list[tuple[str, str, list[str]]]) -> None:
    """Write (set, prompt, texts) as one chunk with its manifest, in the order given."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [{"id": key, "set": name, "samples": [sample(i, text) for i, text in enumerate(texts)]} for name, key, texts in found]
    write_jsonl(folder / "chunk-0.jsonl", made)
    write_manifest(folder, digest, summary={}, name="shard-00000-of-00001.manifest.json", files=[folder / "chunk-0.jsonl"])


def test_a_question_that_stands_in_validation_and_in_eval_counts_in_both(commands: CommandsOf, context: Context) -> None:
    built = commands(dataset=EVAL, evaluation={"samplesPerPrompt": 2, "k": [1]})
    root = Path(built.prepare(1).root)
    prompts(root, built, "validation", {"v": "1", "both": "2"})
    prompts(root, built, "eval", {"both": "2", "e": "3"})
    found = [
        ("validation", "v", ["#### 1", "#### 1"]),
        ("validation", "both", ["#### 2", "#### 0"]),
        ("eval", "both", ["#### 2", "#### 0"]),
        ("eval", "e", ["#### 0", "#### 0"]),
    ]
    chunk(root / built.paths.evaluate_dir(0), built.paths.evaluate(0), found)
    summary = prune(built.grade(0, 1, compare=None), context)
    assert (metric(summary, "validation/pass@1"), metric(summary, "eval/pass@1")) == (0.75, 0.25)
    graded = [(row["set"], row["id"]) for row in rows(root / built.paths.grade_dir(0) / "grades.jsonl")]
    assert graded == [("validation", "v"), ("validation", "both"), ("eval", "both"), ("eval", "e")]
    held_out = rows(root / built.paths.grade_dir(0) / "validation.jsonl")
    assert [row["id"] for row in held_out] == ["v", "both"]


def test_what_is_written_does_not_hang_on_how_the_samples_were_drawn(commands: CommandsOf, context: Context) -> None:
    built = commands(pruning={"minExamples": 1, "maxExamples": 7}, sampling={"samplesPerPrompt": 2})
    root = Path(built.prepare(1).root)
    names = [f"p{n:02d}" for n in range(20)]
    prompts(root, built, "train", dict.fromkeys(names, "1"))
    texts = {name: [f"{name} #### 1", f"{name} #### {n % 3}"] for n, name in enumerate(names)}
    folder, digest = root / built.paths.sample_dir(1), built.paths.sample(1)
    made = []
    for order, shards in ((names, 1), (names[::-1], 1), (names[7:] + names[:7], 3)):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(root / built.paths.prune_dir(1), ignore_errors=True)
        samples(folder, digest, "train", {name: texts[name] for name in order}, shards=shards)
        prune(built.prune(1, 1, evaluate=False, compare=None), context)
        files = sorted((root / built.paths.prune_dir(1)).iterdir())
        made.append({file.name: file.read_bytes() for file in files if file.name != "manifest.json"})
    assert set(made[0]) == {"grades.jsonl", "traces.jsonl", "train.jsonl", "report.json"}
    assert made[0] == made[1] == made[2]


def test_the_held_out_traces_are_the_first_questions_that_the_model_gets_right(commands: CommandsOf, context: Context) -> None:
    built = commands(evaluation={"samplesPerPrompt": 2, "k": [1]})
    root = Path(built.prepare(1).root)
    names = [f"v{n:03d}" for n in range(HELD_OUT_EXAMPLES + 50)]
    prompts(root, built, "validation", dict.fromkeys(names, "1"))
    texts = {name: ["#### 0", "#### 1"] if n % 10 else ["#### 0", "no"] for n, name in enumerate(names)}
    samples(root / built.paths.evaluate_dir(0), built.paths.evaluate(0), "validation", texts)
    prune(built.grade(0, 1, compare=None), context)
    held_out = rows(root / built.paths.grade_dir(0) / "validation.jsonl")
    assert [row["id"] for row in held_out] == [name for n, name in enumerate(names) if n % 10][:HELD_OUT_EXAMPLES]
    assert {row["sample"] for row in held_out} == {1}, "the first right one of each"
    assert held_out[0]["ids"] == [0, 5, *sample(1, "#### 1")["ids"]]


def test_pass_at_k_is_told_for_every_k_that_all_questions_have_samples_for(commands: CommandsOf, context: Context) -> None:
    built = commands(evaluation={"samplesPerPrompt": 4, "k": [1, 2, 4]}, objective={"metric": "pass@1"})
    root = Path(built.prepare(1).root)
    prompts(root, built, "validation", {"v": "1", "w": "1"})
    texts = {"v": ["#### 1"] * 4, "w": ["#### 1", "#### 0"]}
    samples(root / built.paths.evaluate_dir(0), built.paths.evaluate(0), "validation", texts)
    summary = prune(built.grade(0, 1, compare=None), context)
    assert [metric(summary, f"validation/pass@{k}") for k in (1, 2, 4)] == [0.75, 1.0, None]


def test_the_strict_figure_is_over_questions_that_the_strict_verifier_can_read(commands: CommandsOf, context: Context) -> None:
    built = commands(dataset=EVAL, evaluation={"samplesPerPrompt": 1})
    root = Path(built.prepare(1).root)
    half = "\\frac{1}{2}"
    prompts(root, built, "validation", {"v": "7", "w": half})
    prompts(root, built, "eval", {"e": half})
    found = [("validation", "v", ["#### 7"]), ("validation", "w", [f"#### {half}"]), ("eval", "e", [f"#### {half}"])]
    chunk(root / built.paths.evaluate_dir(0), built.paths.evaluate(0), found)
    summary = prune(built.grade(0, 1, compare=None), context)
    assert metric(summary, "validation/pass@1") == 1.0
    assert metric(summary, "validation/strict/pass@1") == 1.0, "of one question, not of two"
    assert metric(summary, "eval/pass@1") == 1.0
    assert metric(summary, "eval/strict/pass@1") is None


def test_a_truncated_sample_is_right_under_no_verifier(commands: CommandsOf, context: Context) -> None:
    built = commands(evaluation={"samplesPerPrompt": 2})
    root = Path(built.prepare(1).root)
    prompts(root, built, "validation", {"v": "7"})
    texts: dict[str, list[Any]] = {"v": [("#### 7\n\nNext question", "length"), "#### 7"]}
    samples(root / built.paths.evaluate_dir(0), built.paths.evaluate(0), "validation", texts)
    summary = prune(built.grade(0, 1, compare=None), context)
    names = ("pass@1", "strict/pass@1", "formatRate", "truncated")
    assert [metric(summary, f"validation/{name}") for name in names] == [0.5, 0.5, 0.5, 0.5]


ODD_SOLUTIONS = {
    "nothing": ("", "unparseable"),
    "white space": (" \n\t ", "unparseable"),
    "line separators": ("one\u2028two\u2029 #### 4", "correct"),
    "half of a surrogate pair": ("\ud83d #### 4", "correct"),
    "null bytes": ("\x00\x00 #### 4", "correct"),
    "one digit for ever": ("1" * 20_000, "wrong"),
}


@pytest.mark.parametrize("name", ODD_SOLUTIONS)
def test_whatever_a_model_writes_is_graded_and_kept_for_reading(name: str, commands: CommandsOf, context: Context) -> None:
    text, verdict = ODD_SOLUTIONS[name]
    built = commands(pruning={"minExamples": 1, "deduplicate": "Equations"}, sampling={"samplesPerPrompt": 1})
    root = Path(built.prepare(1).root)
    prompts(root, built, "train", {"a": "4"})
    samples(root / built.paths.sample_dir(1), built.paths.sample(1), "train", {"a": [text]})
    prune(built.prune(1, 1, evaluate=False, compare=None), context)
    lines = (root / built.paths.prune_dir(1) / "traces.jsonl").read_bytes().split(b"\n")[:-1]
    [trace] = [json.loads(line) for line in lines]
    assert (trace["solution"], trace["verdict"]) == (text, verdict)


def test_a_log_probability_that_is_no_number_does_not_stop_grading(commands: CommandsOf, context: Context) -> None:
    built = commands(pruning={"minExamples": 1}, sampling={"samplesPerPrompt": 1})
    root = Path(built.prepare(1).root)
    prompts(root, built, "train", {"a": "4"})
    folder = root / built.paths.sample_dir(1)
    folder.mkdir(parents=True)
    row = {"id": "a", "set": "train", "samples": [sample(0, "#### 4") | {"logprob": float("nan")}]}
    (folder / "chunk-0.jsonl").write_text(json.dumps(row) + "\n")
    manifest = "shard-00000-of-00001.manifest.json"
    write_manifest(folder, built.paths.sample(1), summary={}, name=manifest, files=[folder / "chunk-0.jsonl"])
    assert prune(built.prune(1, 1, evaluate=False, compare=None), context).examples == 1


def test_what_the_cap_takes_out_is_told_everywhere(commands: CommandsOf, context: Context) -> None:
    built = commands(pruning={"minExamples": 1, "maxExamples": 3}, sampling={"samplesPerPrompt": 2})
    root = Path(built.prepare(1).root)
    names = [f"p{n}" for n in range(8)]
    prompts(root, built, "train", dict.fromkeys(names, "1"))
    samples(root / built.paths.sample_dir(1), built.paths.sample(1), "train", {key: ["#### 0", "#### 1"] for key in names})
    summary = prune(built.prune(1, 1, evaluate=False, compare=None), context)
    folder = root / built.paths.prune_dir(1)
    assert summary.examples == 3
    kept = {(row["id"], row["sample"]) for row in rows(folder / "train.jsonl")}
    fates = {(row["id"], i): grade["kept"] for row in rows(folder / "grades.jsonl") for i, grade in enumerate(row["grades"])}
    assert {pair for pair, fate in fates.items() if fate == "kept"} == kept
    assert list(fates.values()).count("over maxExamples") == 5
    assert list(fates.values()).count("not correct") == 8
    assert {(t["id"], t["sample"]): t["kept"] for t in rows(folder / "traces.jsonl")} == fates
    report = json.loads((folder / "report.json").read_text())
    assert {fate: count for fate, count in report["fates"].items() if count} == {
        "kept": 3,
        "over maxExamples": 5,
        "not correct": 8,
    }
    assert not list(folder.glob(".*")), "what was only needed on the way is gone"


def test_the_same_questions_are_kept_to_be_read_in_every_round(commands: CommandsOf, context: Context) -> None:
    built = commands(pruning={"minExamples": 1}, sampling={"samplesPerPrompt": 3})
    root = Path(built.prepare(1).root)
    names = [f"p{n:03d}" for n in range(4 * PER_VERDICT)]
    prompts(root, built, "train", dict.fromkeys(names, "1"))
    seen = []
    for number in (1, 2):
        folder = root / built.paths.sample_dir(number)
        samples(folder, built.paths.sample(number), "train", {key: ["#### 0", "#### 1", "#### 2"] for key in names})
        prune(built.prune(number, 1, evaluate=False, compare=None), context)
        traces = rows(root / built.paths.prune_dir(number) / "traces.jsonl")
        assert len({(trace["id"], trace["sample"]) for trace in traces}) == len(traces), "none is there twice"
        first_two = [{trace["id"] for trace in traces if trace["sample"] == index} for index in (0, 1)]
        seen.append(first_two[0] & first_two[1])
    assert len(seen[0] & seen[1]) >= FOLLOWED
    assert len(seen[0] & seen[1]) < len(names) / 4, "they are a few"


def test_a_few_traces_of_every_verdict_are_drawn_for_reading(commands: CommandsOf, context: Context) -> None:
    built = commands(pruning={"minExamples": 1}, sampling={"samplesPerPrompt": 2})
    root = Path(built.prepare(1).root)
    names = [f"p{n:03d}" for n in range(3 * PER_VERDICT)]
    prompts(root, built, "train", dict.fromkeys(names, "1"))
    samples(root / built.paths.sample_dir(1), built.paths.sample(1), "train", {key: ["#### 0", "#### 1"] for key in names})
    prune(built.prune(1, 1, evaluate=False, compare=None), context)
    traces = rows(root / built.paths.prune_dir(1) / "traces.jsonl")
    for verdict in ("correct", "wrong"):
        drawn = [trace["id"] for trace in traces if trace["verdict"] == verdict]
        assert PER_VERDICT <= len(drawn) <= PER_VERDICT + FOLLOWED
        assert drawn not in (names[:PER_VERDICT], names[-PER_VERDICT:]), "by lot, not the first ones"
    assert {tuple(trace["correctOf"]) for trace in traces} == {(1, 2)}


def test_the_longest_summary_fits_into_a_termination_message(commands: CommandsOf, context: Context) -> None:
    ks = [1, 10, 100, 256]
    evaluation = {"samplesPerPrompt": 256, "k": ks}
    built = commands(dataset=EVAL, evaluation=evaluation, sampling={"samplesPerPrompt": 256}, pruning={"minExamples": 1})
    root = Path(built.prepare(1).root)
    texts = [f"#### {'1.0' if n % 7 else '1' if n % 3 else 2}" for n in range(256)]
    for name in ("train", "validation", "eval"):
        prompts(root, built, name, {f"{name}{n}": "1" for n in range(3)})
    samples(
        root / built.paths.sample_dir(1), built.paths.sample(1), "train", {f"train{n}": texts[n:] + texts[:n] for n in range(3)}
    )
    found = [(name, f"{name}{n}", texts) for name in ("validation", "eval") for n in range(3)]
    for number in (0, 1):
        chunk(root / built.paths.evaluate_dir(number), built.paths.evaluate(number), found)
    prune(built.grade(1, 1, compare=None), context)
    summary = prune(built.prune(1, 1, evaluate=True, compare=1), context)
    assert len(summary.metrics) == 28
    assert summary.comparison is not None
    assert len(json.dumps(summary.full_wire(), separators=(",", ":")).encode()) < SUMMARY_BYTES - 500


def test_a_prune_step_without_a_part_is_a_mistake(commands: CommandsOf, context: Context) -> None:
    config = commands().grade(0, 1, compare=None).model_copy(update={"grade": None})
    with pytest.raises(ConfigurationError, match="was told neither what to grade nor what to select"):
        prune(config, context)


@pytest.mark.parametrize(
    ("share", "bucket"),
    [
        (0.0, "0 %"),
        (0.01, "up to 25 %"),
        (0.25, "up to 25 %"),
        (0.26, "up to 50 %"),
        (0.75, "up to 75 %"),
        (0.99, "below 100 %"),
        (1.0, "100 %"),
    ],
)
def test_questions_are_sorted_by_how_often_they_are_right(share: float, bucket: str) -> None:
    assert difficulty(share) == bucket


def pruned_texts(commands: CommandsOf, context: Context, keep: str, texts: dict[str, list[Any]]) -> list[tuple[str, str]]:
    """Prune under the policy `keep`, and return (prompt, solution) of every trace that was kept."""
    built = commands(pruning={"minExamples": 1, "keep": keep}, sampling={"samplesPerPrompt": 3})
    root = Path(built.prepare(1).root)
    prompts(root, built, "train", dict.fromkeys(texts, "1"))
    samples(root / built.paths.sample_dir(1), built.paths.sample(1), "train", texts)
    prune(built.prune(1, 1, evaluate=False, compare=None), context)
    kept = rows(root / built.paths.prune_dir(1) / "train.jsonl")
    found = [texts[row["id"]][row["sample"]] for row in kept]
    return [(row["id"], text if isinstance(text, str) else text[0]) for row, text in zip(kept, found, strict=True)]


def test_the_controls_train_on_as_many_traces_of_all_questions_whatever_the_answers(
    commands: CommandsOf, context: Context
) -> None:
    texts: dict[str, list[Any]] = {f"p{n}": ["#### 1", "#### 0", "no idea"] for n in range(30)}
    texts |= {f"q{n}": ["#### 0", "#### 5", ("#### 1", "length")] for n in range(10)}
    kept = {keep: pruned_texts(commands, context, keep, texts) for keep in ("Correct", "Parseable", "Random")}
    asked = {keep: sorted(prompt for prompt, _ in found) for keep, found in kept.items()}
    assert asked["Correct"] == sorted(f"p{n}" for n in range(30))
    for control in ("Parseable", "Random"):
        assert len(set(asked[control])) == len(asked[control]) == 30
        assert any(name.startswith("q") for name in asked[control]), "a question that was never answered right is drawn as well"
    assert {keep: {text for _, text in found} for keep, found in kept.items()} == {
        "Correct": {"#### 1"},
        "Parseable": {"#### 1", "#### 0", "#### 5"},
        "Random": {"#### 1", "#### 0", "#### 5", "no idea"},
    }


def test_no_more_solutions_are_graded_at_once_than_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | None] = []

    class Noted(GradingPool):
        def __init__(self, chosen: Any, timeout_seconds: float, workers: int | None = None) -> None:
            asked.append(workers)
            super().__init__(chosen, timeout_seconds, workers)

    monkeypatch.setattr(grading, "GradingPool", Noted)
    for cores in (3, 1000):
        monkeypatch.setattr(grading, "allowed_cores", lambda cores=cores: cores)
        with grading.Grader(Verifier(), {}):
            pass
    assert asked == [3, MAX_WORKERS]


def test_of_samples_that_were_stopped_early_no_pass_at_k_is_told(commands: CommandsOf, context: Context) -> None:
    texts = {"easy": ["#### 1"], "hard": ["#### 0", "#### 0", "#### 1"], "never": ["#### 0"] * 4}

    def summary(strategy: str) -> PruneSummary:
        built = commands(
            pruning={"minExamples": 1},
            sampling={"samplesPerPrompt": 4, "strategy": strategy},
            evaluation={"k": [1], "samplesPerPrompt": 1},
        )
        root = Path(built.prepare(1).root)
        prompts(root, built, "train", dict.fromkeys(texts, "1"))
        samples(root / built.paths.sample_dir(1), built.paths.sample(1), "train", texts)
        return prune(built.prune(1, 1, evaluate=False, compare=None), context)

    fixed, stopped = summary("Fixed"), summary("StopWhenCorrect")
    assert metric(fixed, "train/pass@1") is not None
    assert not [found.name for found in stopped.metrics if "pass@" in found.name]
    assert metric(stopped, "train/formatRate") == 1.0
    assert (stopped.examples, stopped.samples) == (2, fixed.samples)
