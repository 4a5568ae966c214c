"""Programs from the data to the training set: prepare takes tests as they stand in the data, prune runs the samples."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.steps.conftest import write_jsonl, write_model
from tests.steps.sampled import rows, samples
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.prepare.step import prepare
from tpt_runtime.prune.step import prune
from tpt_runtime.step.context import Context
from tpt_runtime.verify import sandbox

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's own")

CommandsOf = Callable[..., Commands]
PAIRS = [{"input": "1 2", "output": "3"}, {"input": "5 5", "output": "10"}]
CODE: dict[str, Any] = {"minExamples": 1, "verifier": {"type": "Code", "timeoutSeconds": 60, "code": {"testTimeoutSeconds": 30}}}
DATA = {"train": {"uri": "train.jsonl", "answerField": "tests"}, "prompt": {"mode": "Completion"}}


def block(program: str) -> str:
    return f"```python\n{program}\n```"


def warnings(context: Context) -> list[str]:
    return [event["message"] for event in context.journal.events if event["event"] == "warning"]  # type: ignore[attr-defined]


def prepared(commands: CommandsOf, tmp_path: Path, context: Context, tests: list[Any], **pruning: Any) -> Commands:
    write_model(tmp_path / "model")
    write_jsonl(tmp_path / "train.jsonl", [{"question": f"Problem {n}", "tests": test} for n, test in enumerate(tests)])
    write_jsonl(tmp_path / "validation.jsonl", [{"question": "Another", "tests": PAIRS}])
    data = DATA | {"validation": {"uri": "validation.jsonl"}}
    built = commands(dataset=data, pruning=CODE | pruning)
    prepare(built.prepare(1), context)
    return built


def test_programs_that_pass_their_tests_are_trained_on(commands: CommandsOf, tmp_path: Path, context: Context) -> None:
    called = ["assert add(1, 2) == 3"]
    built = prepared(commands, tmp_path, context, [PAIRS, called, json.dumps(PAIRS)], maxCorrectPerPrompt=2)
    root = Path(built.prepare(1).root)
    questions = {row["question"]: row["id"] for row in rows(root / built.paths.prompts("train")["train"])}
    adds, cheats = block("print(sum(map(int, input().split())))"), block("print(3)")
    texts: dict[str, list[Any]] = {
        questions["Problem 0"]: [cheats, adds, "I do not know.", (adds, "length")],
        questions["Problem 1"]: [block("def add(a, b): return a + b"), block("import os\nos._exit(0)")],
        questions["Problem 2"]: [block("while True: print(3)"), block("import socket; socket.socket(); print(3)")],
    }
    samples(root / built.paths.sample_dir(1), built.paths.sample(1), "train", texts)
    summary = prune(built.prune(1, 1, evaluate=False, compare=None), context)
    kept = {(row["id"], row["sample"]) for row in rows(root / built.paths.prune_dir(1) / "train.jsonl")}
    assert kept == {(questions["Problem 0"], 1), (questions["Problem 1"], 0)}
    counts = summary.samples
    assert counts is not None
    assert (counts.correct, counts.wrong, counts.unparseable, counts.truncated) == (2, 4, 1, 1)
    assert not [metric.name for metric in summary.metrics if "strict" in metric.name], (
        "tests are no answer to a regular expression"
    )
    assert not any("sandbox" in message for message in warnings(context)), "all is contained here"


def test_tests_that_cannot_be_used_are_named_before_anything_is_sampled(
    commands: CommandsOf, tmp_path: Path, context: Context
) -> None:
    with pytest.raises(ConfigurationError, match=r"train.jsonl, line 2: field 'tests': test 1 has no output"):
        prepared(commands, tmp_path, context, [PAIRS, [{"input": "1"}]])


def test_a_list_is_an_answer_to_code_only(commands: CommandsOf, tmp_path: Path, context: Context) -> None:
    with pytest.raises(ConfigurationError, match=r"'tests' \(answerField\) is list, expected text or a number"):
        prepared(commands, tmp_path, context, [PAIRS], verifier={"type": "Math"})


def test_a_machine_that_contains_no_programs_is_refused_before_anything_is_sampled(
    commands: CommandsOf, tmp_path: Path, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind = sandbox.START.replace("from tpt", "import tpt_runtime.verify.confine as c; c.landlock_version = lambda: 0; from tpt")
    monkeypatch.setattr(sandbox, "START", blind)
    with pytest.raises(ConfigurationError, match="sandbox: Required, but here it does not hold that programs read no files"):
        prepared(commands, tmp_path, context, [PAIRS])
    best_effort = CODE["verifier"] | {"sandbox": "BestEffort"}
    built = commands(
        dataset=DATA | {"validation": {"uri": "validation.jsonl"}}, pruning=CODE | {"verifier": best_effort, "minExamples": 1}
    )
    write_jsonl(tmp_path / "train.jsonl", [{"question": "Problem", "tests": PAIRS}])
    prepare(built.prepare(1), context)
    assert any("BestEffort" in message and "read no files" in message for message in warnings(context))
