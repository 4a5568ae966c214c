"""The one-step problems of the second example."""

import re
from itertools import product
from pathlib import Path

import pytest

from tpt_runtime.artifacts.yaml import read_resources
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.demo.onestep import ITEMS, KINDS, SHOWN, Kind, Part, part_of, questions, row_of
from tpt_runtime.demo.problems import NAMES

SIZES = {Part.TRAIN: 160, Part.VALIDATION: 40, Part.EVAL: 150}
EXAMPLE = Path(__file__).parents[2] / "examples" / "smollm2" / "run.yaml"
ANSWER = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+) (\w+)\. #### (\d+)")


def operands_of(kind: str, question: str) -> tuple[int, int]:
    left, right = map(int, re.findall(r"\d+", question))
    return {"take": (left - right, right), "share": (left // right, right)}.get(kind, (left, right))


@pytest.mark.parametrize(
    ("kind", "question", "answer"),
    [
        (KINDS[0], "Zoe has 5 hats and gets 4 more. How many hats now?", "5 + 4 = 9 hats. #### 9"),
        (KINDS[1], "Zoe has 9 hats and gives away 4. How many hats are left?", "9 - 4 = 5 hats. #### 5"),
        (KINDS[2], "Zoe has 5 bags with 4 hats each. How many hats in all?", "5 * 4 = 20 hats. #### 20"),
        (KINDS[3], "Zoe shares 20 hats among 4 friends. How many hats each?", "20 / 4 = 5 hats. #### 5"),
    ],
    ids=lambda value: value.key if isinstance(value, Kind) else None,
)
def test_every_kind_asks_and_answers_in_its_own_words(kind: Kind, question: str, answer: str) -> None:
    row = row_of(kind, (5, 4), "Zoe", "hats")
    assert (row.question, row.answer) == (question, answer)


@pytest.mark.parametrize("part", Part)
def test_solutions_are_right(part: Part) -> None:
    rows = questions(part, 0, SIZES[part])
    assert len({row.question for row in rows}) == SIZES[part]
    for row in rows:
        found = ANSWER.fullmatch(row.answer)
        assert found
        left, operator, right, result, item, answer = found.groups()
        assert eval(f"{left} {operator} {right} == {result} == {answer}")  # noqa: S307 - digits and one operator
        assert item in row.question


def test_there_are_sixteen_names_and_ten_items() -> None:
    assert (len(set(NAMES)), len(set(ITEMS))) == (16, 10)


def test_no_two_parts_share_operands() -> None:
    found = {
        part: {tuple(sorted(operands_of(row.kind, row.question))) for row in questions(part, 0, size)}
        for part, size in SIZES.items()
    }
    assert all(found.values())
    for one, other in product(found, found):
        assert one is other or not found[one] & found[other]


def test_all_kinds_come_equally_often() -> None:
    kinds = [row.kind for row in questions(Part.TRAIN, 0, SIZES[Part.TRAIN])]
    assert {kinds.count(kind.key) for kind in KINDS} == {40}


def test_no_question_has_the_operands_of_an_example_in_the_prompt() -> None:
    asked = {(row.kind, operands_of(row.kind, row.question)) for part in Part for row in questions(part, 0, SIZES[part])}
    assert not asked & set(SHOWN.items())


def test_the_examples_in_the_prompt_are_those_that_are_left_out() -> None:
    (run,) = read_resources(EXAMPLE)
    lines = run["spec"]["dataset"]["prompt"]["template"].splitlines()
    shown = zip(lines[:-2:2], lines[1:-2:2], strict=True)
    for (key, operands), (question, answer) in zip(SHOWN.items(), shown, strict=True):
        (kind,) = (kind for kind in KINDS if kind.key == key)
        name, item = question.split()[1], answer.split()[-3].rstrip(".")
        expected = row_of(kind, operands, name, item)
        assert (question, answer) == (f"Q: {expected.question}", f"A: {expected.answer}")
    assert lines[-2:] == ["Q: {{ question }}", "A:"]


def test_the_order_of_operands_does_not_move_them_to_another_part() -> None:
    assert part_of((3, 8)) is part_of((8, 3))


def test_more_questions_than_there_are_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="there are no 4000 different eval questions; ask for fewer"):
        questions(Part.EVAL, 0, 4000)
