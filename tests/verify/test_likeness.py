"""When two solutions of one question count as the same."""

import time

import pytest

from tpt_runtime.core.choices import Deduplicate
from tpt_runtime.verify.likeness import equations, likeness


@pytest.mark.parametrize(
    ("one", "other", "how", "alike"),
    [
        ("2 + 6 = 8 .\n#### 8", "2 + 6 = 8 . #### 8", Deduplicate.TEXT, True),
        ("2 + 6 = 8", "2 + 6 = 9", Deduplicate.TEXT, False),
        ("First 2 + 6 = 8, so 8.", "She has 2+6=8 hats.", Deduplicate.EQUATIONS, True),
        ("2 + 6 = 8. 8 + 1 = 9.", "8 + 1 = 9. 2 + 6 = 8.", Deduplicate.EQUATIONS, False),
        ("It costs $3 × 4 = $12.", "3*4=12 is it.", Deduplicate.EQUATIONS, True),
        ("He has 5\n3 + 4 = 7", "She has 6\n3 + 4 = 7", Deduplicate.EQUATIONS, True),
        ("2 + 6 = 8 = 8", "2 + 6 = 8", Deduplicate.EQUATIONS, True),
        ("2 + 6 = 8 + 1 = 9", "2 + 6 = 8 + 2 = 10", Deduplicate.EQUATIONS, False),
        ("x = 3 + 1 = 4", "y = 3 + 1 = 4", Deduplicate.EQUATIONS, True),
        ("x = y", "x = z", Deduplicate.EQUATIONS, False),
        ("no sums here", "none here either", Deduplicate.EQUATIONS, False),
        ("same", "same", Deduplicate.NONE, False),
    ],
)
def test_likeness(one: str, other: str, how: Deduplicate, alike: bool) -> None:
    assert (likeness(one, how, 0) == likeness(other, how, 1)) is alike


def test_equations_are_read_as_they_stand() -> None:
    assert equations("2 + 6 = 8 . 8 - 1,000 = -992, so x = 5 and (3 / 4) = 0.75.") == ["2+6=8", "8-1,000=-992", "(3/4)=0.75"]


@pytest.mark.parametrize("text", ["1" * 200_000, "1 = " * 50_000, "x=1" * 200_000, "1" * 100_000 + "=,,,,," * 10_000])
def test_a_model_that_repeats_itself_costs_no_time(text: str) -> None:
    began = time.process_time()
    likeness(text, Deduplicate.EQUATIONS, 0)
    assert time.process_time() - began < 2
