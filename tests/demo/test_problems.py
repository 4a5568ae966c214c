"""The quickstart's word problems: right where they must be, flawed as announced, and never the same arithmetic in two parts."""

import hashlib
import re
from collections import Counter
from itertools import product

import pytest

from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.demo.problems import (
    SHARE_HABIT,
    SHARE_RIGHT,
    WORDINGS,
    Part,
    Problem,
    Row,
    Wording,
    base_corpus,
    part_of,
    questions,
    solution,
)

PARTS = (Part.TRAIN, Part.VALIDATION, Part.EVAL)
SIZES = {Part.TRAIN: 800, Part.VALIDATION: 100, Part.EVAL: 400}
STEP = re.compile(r"(\d+) ([-+*]) (\d+) = (\d+) \.")


def problem_of(row: Row) -> Problem:
    """Read a question back: its wording and its numbers."""
    (wording,) = (wording for wording in WORDINGS if wording.key == row.wording)
    a, b, c = map(int, re.findall(r"\d+", row.question))
    return Problem(wording, (a, b, c), name="", item="")


def worked(wording: Wording, a: int, b: int, c: int) -> int:
    """Return the right answer, by Python's own arithmetic."""
    return int(eval(f"({a} {wording.first} {b}) {wording.second} {c}"))  # noqa: S307 - numbers and operators of our own


def answer_of(row: Row) -> int:
    return int(row.answer.rpartition("#### ")[2])


def is_right(row: Row) -> bool:
    problem = problem_of(row)
    return answer_of(row) == worked(problem.wording, *problem.operands)


def drawn(part: Part, seed: int = 0) -> list[Row]:
    return base_corpus(seed, 1000) if part is Part.BASE else questions(part, seed, SIZES[part])


@pytest.fixture(scope="module")
def corpus() -> list[Row]:
    return base_corpus(0, 8000)


def test_a_problem_looks_as_announced() -> None:
    problem = Problem(WORDINGS[0], (2, 6, 11), "Zoe", "apples")
    assert problem.question == "Zoe has 2 apples , buys 6 and finds 11 . How many now ?"
    assert solution(problem.right_steps) == "2 + 6 = 8 . 8 + 11 = 19 . #### 19"


def test_there_are_eight_wordings_and_one_of_them_is_held_out() -> None:
    assert len({wording.key for wording in WORDINGS}) == 8
    assert sum(wording.held_out for wording in WORDINGS) == 1


@pytest.mark.parametrize(
    ("key", "operands", "flawed"),
    [
        ("finds", (2, 6, 11), "2 + 6 = 8 . #### 8"),
        ("gives", (2, 6, 3), "2 + 6 = 8 . 8 + 3 = 11 . #### 11"),
        ("sells", (20, 6, 3), "20 - 6 = 14 . #### 14"),
        ("picks", (9, 4, 6), "9 + 4 = 13 . 13 + 6 = 19 . #### 19"),
        ("boxes", (4, 5, 6), "4 + 5 = 9 . 9 + 6 = 15 . #### 15"),
        ("bags", (4, 5, 6), "4 * 5 = 20 . #### 20"),
        ("days", (3, 4, 5), "3 + 4 = 7 . 7 + 5 = 12 . #### 12"),
        ("trays", (9, 2, 3), "9 + 2 = 11 . 11 * 3 = 33 . #### 33"),
    ],
)
def test_every_wording_has_a_flaw_of_its_own(key: str, operands: tuple[int, int, int], flawed: str) -> None:
    (wording,) = (wording for wording in WORDINGS if wording.key == key)
    assert solution(Problem(wording, operands, "Zoe", "pens").habitual_steps) == flawed


def test_the_base_corpus_is_right_as_often_as_announced(corpus: list[Row]) -> None:
    for wording in WORDINGS:
        rows = [row for row in corpus if row.wording == wording.key]
        assert sum(map(is_right, rows)) / len(rows) == pytest.approx(SHARE_RIGHT, abs=0.05)
    assert sum(map(is_right, corpus)) / len(corpus) == pytest.approx(SHARE_RIGHT, abs=0.015)


def test_most_flawed_solutions_show_their_wordings_habit(corpus: list[Row]) -> None:
    flawed = [row for row in corpus if not is_right(row)]
    habitual = sum(row.answer == solution(problem_of(row).habitual_steps) for row in flawed)
    assert habitual / len(flawed) == pytest.approx(SHARE_HABIT, abs=0.03)


def test_the_base_corpus_has_all_wordings_in_equal_numbers(corpus: list[Row]) -> None:
    assert set(Counter(row.wording for row in corpus).values()) == {1000}


@pytest.mark.parametrize("part", PARTS)
def test_questions_have_right_solutions_step_by_step(part: Part) -> None:
    rows = drawn(part)
    assert len(rows) == SIZES[part]
    for row in rows:
        assert is_right(row)
        steps = STEP.findall(row.answer)
        assert len(steps) == 2
        for left, operator, right, result in steps:
            assert worked(Wording("", "", operator, "+", WORDINGS[0].flaw), int(left), int(right), 0) == int(result)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_question_repeats(part: Part, seed: int) -> None:
    rows = drawn(part, seed)
    assert len({row.question for row in rows}) == len(rows)


@pytest.mark.parametrize("part", [Part.VALIDATION, Part.EVAL])
def test_what_is_measured_on_asks_no_arithmetic_of_a_wording_twice(part: Part) -> None:
    rows = drawn(part)
    assert len({(row.wording, problem_of(row).operands) for row in rows}) == len(rows)


def test_no_two_parts_share_operands_in_any_order_whatever_their_seeds() -> None:
    found = {
        part: {tuple(sorted(problem_of(row).operands)) for seed in (0, 1, 2) for row in drawn(part, seed)}
        for part in (Part.BASE, *PARTS)
    }
    assert all(found.values())
    for one, other in product(found, found):
        assert one is other or not found[one] & found[other]


def test_the_order_of_operands_does_not_move_them_to_another_part() -> None:
    assert part_of((2, 6, 11)) is part_of((11, 2, 6))


def test_only_evaluation_and_the_base_model_see_the_wording_that_is_held_out() -> None:
    seen = {part: {row.held_out for row in drawn(part)} for part in (Part.BASE, *PARTS)}
    assert seen == {Part.BASE: {False, True}, Part.TRAIN: {False}, Part.VALIDATION: {False}, Part.EVAL: {False, True}}
    assert all(row.held_out == problem_of(row).wording.held_out for row in drawn(Part.EVAL))


def test_an_eighth_of_the_evaluation_is_in_the_wording_that_is_held_out() -> None:
    assert sum(row.held_out for row in drawn(Part.EVAL)) == SIZES[Part.EVAL] // 8


def test_the_same_seed_gives_the_same_rows_on_every_machine() -> None:
    rows = [row for part in (Part.BASE, *PARTS) for row in drawn(part)]
    text = "\n".join(f"{row.question} {row.answer}" for row in rows)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "d7b2ecf05b85beba"


def test_another_seed_gives_other_rows() -> None:
    assert base_corpus(0, 50) != base_corpus(1, 50)
    assert questions(Part.EVAL, 0, 50) != questions(Part.EVAL, 1, 50)


def test_spaces_stand_around_every_token(corpus: list[Row]) -> None:
    for row in corpus[:500]:
        for word in f"{row.question} {row.answer}".split(" "):
            assert re.fullmatch(r"[A-Za-z]+|\d+|[-+*=.,?]|####", word), word


def test_every_number_has_at_most_three_digits_and_is_positive(corpus: list[Row]) -> None:
    numbers = {int(number) for row in corpus for number in re.findall(r"-?\d+", row.answer.replace(" - ", " "))}
    assert min(numbers) >= 1
    assert max(numbers) < 200


def test_operands_are_mostly_up_to_twelve(corpus: list[Row]) -> None:
    operands = [operand for row in corpus for operand in problem_of(row).operands]
    assert sum(operand <= 12 for operand in operands) / len(operands) > 0.85


def test_more_questions_than_there_are_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"there are no \d+ different validation questions; ask for fewer"):
        questions(Part.VALIDATION, 0, 5000)
