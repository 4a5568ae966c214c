"""`tpt init`: what it writes is valid, and guessed from the data."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tpt_runtime.artifacts.yaml import read_resources
from tpt_runtime.cli.init import Guess, guess_fields, run_name
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.resource import parse_run
from tpt_runtime.core.spec import Run

Tpt = Callable[..., Any]
Write = Callable[..., Path]


def read(path: Path) -> Run:
    return parse_run(read_resources(path)[0], str(path))


@pytest.mark.parametrize("template", ["math", "quickstart"])
def test_every_template_is_valid_and_annotated(template: str, tpt: Tpt, here: Path) -> None:
    result = tpt("init", "--template", template)
    assert result.exit_code == 0
    assert read(here / "run.yaml").spec.max_rounds >= 1
    assert (here / "run.yaml").read_text().count("#") > 10


def test_what_is_commented_out_is_the_default(tpt: Tpt, here: Path) -> None:
    tpt("init")
    text = (here / "run.yaml").read_text()
    names = ("seed: 0", "shards: 1", "minExamples: 32", "from: Last", "precision: BF16", "everyRounds: 1", "engine: VLLM")
    for name in names:
        assert f"# {name} " in text or f"# {name}\n" in text
        text = text.replace(f"# {name}", name)
    (here / "run.yaml").write_text(text)
    plain = here / "plain.yaml"
    tpt("init", plain)
    assert read(here / "run.yaml").spec == read(plain).spec


def test_a_file_that_exists_is_left_alone(tpt: Tpt, here: Path) -> None:
    (here / "mine.yaml").write_text("mine")
    result = tpt("init", "mine.yaml")
    assert result.exit_code == 64
    assert (here / "mine.yaml").read_text() == "mine"


def test_a_file_that_cannot_be_written_is_told(tpt: Tpt, here: Path) -> None:
    (here / "file").touch()
    result = tpt("init", "file/run.yaml")
    assert result.exit_code == 64
    assert "tpt: file/run.yaml: cannot be written (" in result.stderr


def test_fields_are_guessed_from_the_data(tpt: Tpt, here: Path, write_data: Write) -> None:
    data = write_data("My Data.jsonl", question="problem", answer="final_answer")
    assert tpt("init", "--data", data).exit_code == 0
    run = read(here / "run.yaml")
    train = run.spec.dataset.train
    assert (train.uri, train.prompt_field, train.answer_field) == (f"file://{data}", "problem", "final_answer")
    assert run.spec.dataset.eval is None
    assert run.spec.dataset.prompt.template is not None
    assert "{{ problem }}" in run.spec.dataset.prompt.template
    assert run.metadata.name == "my-data"


def test_what_was_written_passes_validation_with_its_data(tpt: Tpt, write_data: Write) -> None:
    tpt("init", "--data", write_data("questions.jsonl", count=40, question="query"))
    result = tpt("validate", "--data", "run.yaml")
    assert result.exit_code == 0
    assert "What is" in result.stdout


def test_a_field_whose_name_no_template_can_use_is_taken_as_it_is(tpt: Tpt, here: Path) -> None:
    (here / "odd.jsonl").write_text(json.dumps({"the question": "1 + 1?", "answer": "2"}) + "\n")
    assert tpt("init", "--data", "odd.jsonl").exit_code == 0
    run = read(here / "run.yaml")
    assert run.spec.dataset.prompt.template is None
    assert run.spec.dataset.train.prompt_field == "the question"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"question": "q", "answer": "a"}, Guess("question", "answer")),
        ({"id": 1, "Problem": "q", "Solution": "s", "answer": "a"}, Guess("Problem", "answer")),
        ({"input": "q", "target": 3}, Guess("input", "target")),
        ({"question": "q", "goal": "a"}, Guess("question", "goal")),
        ({"puzzle": "q", "label": "a"}, Guess("puzzle", "label")),
    ],
)
def test_names_tell_question_from_answer(row: dict[str, Any], expected: Guess) -> None:
    assert guess_fields([row], "data") == expected


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "no rows"),
        ([{"a": "q", "b": "a"}], "which field holds the question: every row has a, b"),
        ([{"question": "q", "x": "a", "y": "b"}], "which field holds the reference answer"),
        ([{"question": "q", "answer": "a"}, {"question": "q", "answer": None}], "every row has question"),
        ([{}], "every row has no field"),
    ],
)
def test_what_cannot_be_told_is_not_guessed(rows: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        guess_fields(rows, "data")


def test_a_template_with_data_of_its_own_takes_none(tpt: Tpt, write_data: Write) -> None:
    result = tpt("init", "--template", "quickstart", "--data", write_data())
    assert result.exit_code == 64
    assert "--data" in result.stderr


@pytest.mark.parametrize(
    ("file", "name"),
    [("train.jsonl", "train"), ("GSM8K_train (1).json", "gsm8k-train-1"), ("_.jsonl", "run"), ("a" * 80, "a" * 63)],
)
def test_a_run_is_named_after_its_data(file: str, name: str) -> None:
    assert run_name(Path(file)) == name


def test_the_quickstart_is_the_one_of_the_examples(tpt: Tpt, here: Path) -> None:
    tpt("init", "--template", "quickstart")
    example = Path(__file__).parents[2] / "examples" / "quickstart" / "run.yaml"
    assert read(here / "run.yaml") == read(example)
