"""train: rows from what was kept."""

from pathlib import Path

import pytest

from tests.steps.training import END, examples
from tpt_runtime.artifacts.files import write_rows
from tpt_runtime.core.errors import ArtifactError
from tpt_runtime.core.rows import Example
from tpt_runtime.train.examples import IGNORED, Row, held_out_set, training_set


def folder_of(root: Path, rows: list[Example], name: str = "prune", file: str = "train.jsonl") -> Path:
    write_rows(root / name / file, rows)
    return root / name


def example(name: str, ids: list[int], prompt: int, number: int = 1) -> Example:
    return Example(id=name, round=number, sample=0, ids=ids, promptTokens=prompt)


def test_only_sampled_tokens_have_a_label_and_the_last_one_ends_the_sequence() -> None:
    row = Row((0, 5, 6, 7, END), prompt_tokens=3)
    assert row.labels() == [IGNORED, IGNORED, IGNORED, 7, END]
    assert row.trained == 2


def test_an_example_that_is_too_long_is_dropped_and_counted_never_cut(tmp_path: Path) -> None:
    found = training_set([folder_of(tmp_path, [example("a", [0, 5, 6, END], 2), example("b", [0, 5, END], 2)])], max_length=3)
    assert [row.ids for row in found.rows] == [(0, 5, END)]
    assert (found.dropped, found.repeated) == (1, 0)


def test_accumulated_rounds_are_trained_on_without_repetitions(tmp_path: Path) -> None:
    first = folder_of(tmp_path, [example("a", [0, 5, END], 2), example("b", [0, 5, END], 2)], "one")
    second = folder_of(tmp_path, [example("a", [0, 5, END], 2, 2), example("a", [0, 6, END], 2, 2)], "two")
    found = training_set([first, second], max_length=8)
    assert [row.ids for row in found.rows] == [(0, 5, END), (0, 5, END), (0, 6, END)]
    assert (found.dropped, found.repeated) == (0, 1)


def test_held_out_examples_are_none_where_the_file_is_missing(tmp_path: Path) -> None:
    assert held_out_set(folder_of(tmp_path, examples(2)), 128).rows == []


def test_held_out_examples_that_are_too_long_are_dropped_too(tmp_path: Path) -> None:
    rows = [example("a", [0, 5, 6, END], 2), example("b", [0, 5, END], 2)]
    found = held_out_set(folder_of(tmp_path, rows, file="validation.jsonl"), 3)
    assert ([row.ids for row in found.rows], found.dropped) == ([(0, 5, END)], 1)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"id": "a", "ids": [1, 2, 3]}, "promptTokens: found None, allowed is 1 to 2"),
        ({"id": "a", "ids": [1, 2, 3], "promptTokens": 3}, "promptTokens: found 3, allowed is 1 to 2"),
        ({"id": "a", "ids": [1, 2, 3], "promptTokens": 0}, "promptTokens: found 0"),
        ({"id": "a", "ids": "text", "promptTokens": 1}, "ids: expected a list of token ids"),
        ({"id": "a", "ids": [1, -2], "promptTokens": 1}, "ids: expected a list of token ids"),
        ({"id": "a", "promptTokens": 1}, "ids: expected a list of token ids"),
    ],
)
def test_a_line_that_is_no_example_is_named(tmp_path: Path, row: Example, said: str) -> None:
    with pytest.raises(ArtifactError, match=said) as caught:
        training_set([folder_of(tmp_path, [*examples(1), row])], 128)
    assert "train.jsonl, line 2" in str(caught.value)
