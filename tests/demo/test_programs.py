"""The programming problems of the demonstration: their tests say what the right programs print, and find out the flawed ones."""

import json
import sys
from collections import Counter

import pytest

from tpt_runtime.core.verdict import Verdict
from tpt_runtime.core.verifier import Code as Settings
from tpt_runtime.demo.coding import SIZES
from tpt_runtime.demo.programs import FLAWED, Part, base_corpus, part_of, problems, problems_of
from tpt_runtime.verify.code import Code

ALL = list(problems())


def test_problems_are_as_many_as_the_data_sets_want_and_in_one_of_them() -> None:
    parts = Counter(part_of(problem) for problem in ALL)
    assert len({problem.text for problem in ALL}) == len(ALL)
    for part, size in ((Part.TRAIN, SIZES.train), (Part.VALIDATION, SIZES.validation), (Part.EVAL, SIZES.eval)):
        assert parts[part] >= size
        assert len({problem.text for problem in problems_of(part, 0, size)}) == size


def test_the_base_corpus_has_training_combinations_only() -> None:
    train = {problem.text for problem in ALL if part_of(problem) is Part.TRAIN}
    assert {row.question for row in base_corpus(0, 400)} <= train


def test_problems_and_tests_are_the_same_every_time() -> None:
    assert problems_of(Part.EVAL, 3, 20) == problems_of(Part.EVAL, 3, 20)
    assert problems_of(Part.EVAL, 3, 20) != problems_of(Part.EVAL, 4, 20)
    assert ALL[7].tests() == ALL[7].tests()


@pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's own")
def test_right_programs_pass_and_most_flawed_ones_do_not() -> None:
    code = Code(Settings(test_timeout_seconds=30), seconds=60)
    caught = []
    try:
        for problem in ALL[:: len(ALL) // 40]:
            tests = json.dumps(problem.tests())
            assert code.grade(problem.program(None), tests).verdict is Verdict.CORRECT, problem.text
            flawed = [n for n, piece in enumerate(problem.pieces) if piece.code != piece.flaw]
            caught += [code.grade(problem.program(n), tests).verdict is Verdict.WRONG for n in flawed]
    finally:
        code.close()
    assert sum(caught) > 0.8 * len(caught), "the tests tell most flaws from right programs"


def test_about_as_many_of_the_corpus_are_flawed_as_it_says() -> None:
    right = {problem.text: problem.program(None) for problem in ALL}
    rows = base_corpus(1, 2000)
    assert abs(100 * sum(right[row.question] != row.answer for row in rows) / len(rows) - FLAWED) < 5
