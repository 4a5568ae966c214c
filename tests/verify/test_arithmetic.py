"""Equations in solutions: which are plainly false, and which must not be called so."""

import json
import os
import time
from pathlib import Path

import pytest

from tpt_runtime.verify.arithmetic import has_false_equation, stated_equations

FALSE = [
    ("with a right answer", "14 - 7 = 5 cookies. #### 7"),
    ("in an annotation", "9 * 2 = $<<9*2=19>>18"),
    ("beside an annotation", "9 * 2 = $<<9*2=18>>19"),
    ("in a chain", "10 - 2 = 8 + 3 = 12"),
    ("with spaces around every token", "2 + 6 = 8 . 8 + 11 = 18 . #### 19"),
    ("with money", "It costs 5 * $12 = $70."),
    ("with thousands", "10 * 1,248 = 11,480"),
    ("with brackets", "2 * (3 + 4) = 15"),
    ("in brackets", "She has some left (14 - 7 = 5)."),
    ("with a letter for the sign", "9 x 2 = 17"),
    ("with a typographic sign", "9 × 2 = 17"),
    ("in a formula", r"So $\frac{36}{2} = 17$."),
    ("of a variable", "x = 3 + 1 = 5"),
    ("with the same unit everywhere", "5 apples + 3 apples = 9 apples"),
    ("after a list number", "1) 16 - 7 = 8"),
    ("after a bullet", "- 16 - 7 = 8"),
    ("after a total", "That is a total of 14 - 7 = 5"),
    ("of a negative number", "-3 + 5 = 1"),
    ("in bold", "**16 - 7 = 8**"),
    ("of decimals", "1.5 + 1.5 = 3.5"),
    ("that a sign of the other kind does not excuse", "7 / 2 = 4.5"),
    ("after a true one", "2 + 2 = 4. 3 + 3 = 7."),
]
NOT_FALSE = [
    ("true", "14 - 7 = 7 cookies"),
    ("no equation", "She has 14 cookies, then 7."),
    ("a chain by its first number", "2 + 3 = 5 * 4 = 20"),
    ("a chain by its whole side", "2 * 10 = 4 * 5"),
    ("rounded to decimals", "10 / 3 = 3.33"),
    ("rounded up", "20 / 3 = 6.67"),
    ("rounded to a whole number", "15 / 2 = 7"),
    ("rounded up to a whole number", "15 / 2 = 8"),
    ("approximate", "3 * 33 ≈ 100"),
    ("approximate in a formula", r"$3 \cdot 33 \approx 100$"),
    ("a percentage as a share", "50% * 40 = 20"),
    ("a percentage as a number", "100% - 20% = 80"),
    ("a share as a percentage", "60 / 100 = 60%"),
    ("a percentage without its sign", "30 / 60 = 50"),
    ("of a variable on the left", "x + 14 - 7 = 5"),
    ("of an attached variable", "2x + 4x = 60"),
    ("of an attached variable on the right", "2 + 2 = 5x"),
    ("the end of a half", "half of 10 + 2 = 7"),
    ("the end of words that multiply", "twice 10 + 2 = 24"),
    ("with unlike units", "1 hour + 30 minutes = 90 minutes"),
    ("with a unit that is left out", "1 hour + 30 = 90"),
    ("of another unit", "3 * 20 = $0.60"),
    ("a power", "5^2 + 1 = 26"),
    ("a division by a fraction", "25 / 1/3 = 75"),
    ("a fraction of a variable", "8/3 = 24/Y"),
    ("an open bracket", "100 + (100*(10/100) = 110"),
    ("times of day", "0900-0130 = 0730"),
    ("a decimal comma", "37 / 4 = 9,25"),
    ("a product without a sign", "2(3 + 4) = 14"),
    ("a division by nought", "5 / 0 = 5"),
    ("nothing on the right", "5 + 5 ="),
    ("nothing on the left", "= 5 + 5"),
    ("words on the right", "5 + 5 = the number of cookies, 10"),
]


@pytest.mark.parametrize("solution", [row[1] for row in FALSE], ids=[row[0] for row in FALSE])
def test_a_false_equation_is_seen(solution: str) -> None:
    assert has_false_equation(solution)


@pytest.mark.parametrize("solution", [row[1] for row in NOT_FALSE], ids=[row[0] for row in NOT_FALSE])
def test_no_equation_is_called_false_that_is(solution: str) -> None:
    assert not has_false_equation(solution)


def test_an_equation_is_shown_as_it_stood() -> None:
    found = [(equation.text, equation.holds) for equation in stated_equations("So 14 - 7 = 5 cookies, x + 1 - 1 = 3, 2 + 2 = 4.")]
    assert found == [("14 - 7 = 5", False), ("+ 1 - 1 = 3", None), ("2 + 2 = 4", True)]


def test_next_to_no_reference_of_gsm8k_is_called_false() -> None:
    folder = os.environ.get("TPT_GSM8K")
    if not folder:
        pytest.skip("set TPT_GSM8K to a folder with GSM8K's test.jsonl to run this")
    references = [json.loads(line)["answer"] for line in (Path(folder) / "test.jsonl").read_text(encoding="utf-8").splitlines()]
    equations = [equation for reference in references for equation in stated_equations(reference)]
    assert sum(equation.holds is True for equation in equations) > 0.95 * len(equations)
    false = {equation.text for equation in equations if equation.holds is False}
    assert false == {"32 - 20 = 300"}, "it was read: a person wrote it, and it is false"


@pytest.mark.parametrize(
    "text",
    [
        "1" * 200_000,
        "1 + 1 = " * 30_000,
        "x=1" * 100_000,
        "1+" * 100_000 + "1 = 2",
        "(" * 100_000 + "1 + 1 = 3",
        "- " * 100_000 + "=3",
    ],
)
def test_a_model_that_repeats_itself_costs_no_time(text: str) -> None:
    began = time.process_time()
    has_false_equation(text)
    assert time.process_time() - began < 2
