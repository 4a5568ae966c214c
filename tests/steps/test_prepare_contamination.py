"""Training questions that resemble one that models are measured on are left out, and told, before anything is sampled."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.steps.conftest import write_jsonl, write_model
from tests.steps.sampled import rows
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.prepare.contamination import Contamination
from tpt_runtime.prepare.questions import Question
from tpt_runtime.prepare.step import prepare
from tpt_runtime.step.context import Context

CommandsOf = Callable[..., Commands]
MEASURED = "Tom has 3 red apples and buys 5 green ones; how many apples does he have?"
ALIKE = "Yesterday TOM has 3 red apples, and buys 5 green ones. He eats one. How many are left?"
OTHER = "Tom has 4 red apples and buys 5 green ones; how many fruits does he have?"


def question(text: str) -> Question:
    return Question(text[:16], "line 1", text, text, "1")


def shared(size: int, text: str, *measured: str) -> str | None:
    contamination = Contamination(size)
    contamination.measure("eval", map(question, measured))
    found = contamination.find(question(text))
    return found.shared if found else None


@pytest.mark.parametrize(
    ("size", "text", "expected"),
    [
        (10, ALIKE, "tom has 3 red apples and buys 5 green ones"),
        (11, ALIKE, None),
        (9, OTHER, "red apples and buys 5 green ones how many"),
        (10, OTHER, None),
        (2, "A red apples", "red apples"),
        (2, "apples", None),
    ],
)
def test_a_shared_run_of_words_is_found_whatever_the_case_and_the_punctuation(size: int, text: str, expected: str | None) -> None:
    assert shared(size, text, MEASURED) == expected


def test_a_run_does_not_reach_from_one_question_into_the_next() -> None:
    assert shared(4, "one two three four", "one two", "three four") is None


def run(commands: CommandsOf, tmp_path: Path, context: Context, ngram: int, **more: Any) -> tuple[dict[str, int], Path]:
    write_model(tmp_path / "model", context=4096)
    texts = {"train": [ALIKE, OTHER, "What is 1 + 1?"], "held": ["What is 7 + 8?"], "eval": [MEASURED]}
    for name, found in texts.items():
        write_jsonl(tmp_path / f"{name}.jsonl", [{"question": text, "answer": "1"} for text in found])
    data = {
        "train": {"uri": "train.jsonl"},
        "validation": {"uri": "held.jsonl"},
        "eval": {"uri": "eval.jsonl"},
        "prompt": {"mode": "Completion"},
        "decontaminate": {"ngram": ngram},
    }
    built = commands(dataset=data, sampling={"maxTokens": 8}, **more)
    summary = prepare(built.prepare(1), context)
    return summary.resolved.counts, Path(built.prepare(1).root) / built.prepare(1).path


def test_what_resembles_is_left_out_and_reported(commands: CommandsOf, tmp_path: Path, context: Context) -> None:
    counts, folder = run(commands, tmp_path, context, 10)
    assert [row["question"] for row in rows(folder / "train.jsonl")] == [OTHER, "What is 1 + 1?"]
    (told,) = rows(folder / "contaminated.jsonl")
    assert (told["question"], told["set"], told["other"]) == (ALIKE, "eval", MEASURED)
    assert told["shared"] == "tom has 3 red apples and buys 5 green ones"
    assert (counts["train"], counts["trainContaminated"], counts["tooShortToCompare"]) == (2, 1, 1)
    said = [event["message"] for event in context.journal.events if event["event"] == "warning"]  # type: ignore[attr-defined]
    assert any("1 training questions resemble one of validation or eval: not trained on" in message for message in said)


def test_a_training_set_of_which_too_little_is_left_is_refused(commands: CommandsOf, tmp_path: Path, context: Context) -> None:
    with pytest.raises(ConfigurationError, match=r"minExamples: 3, but of 2 training questions"):
        run(commands, tmp_path, context, 10, pruning={"minExamples": 3})


def test_without_the_setting_digests_stay_and_with_it_they_differ(commands: CommandsOf) -> None:
    data = {"train": {"uri": "train.jsonl"}, "prompt": {"mode": "Completion"}}
    digests = {
        commands(dataset=data | more).prepare(1).digest for more in ({}, *({"decontaminate": {"ngram": n}} for n in (8, 13)))
    }
    assert len(digests) == 3
