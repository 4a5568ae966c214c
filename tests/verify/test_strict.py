"""GSM8KStrict grades exactly as the published figures were graded, defects included."""

import pytest

from tpt_runtime.core.verdict import Verdict
from tpt_runtime.verify.strict import GSM8KStrict


@pytest.mark.parametrize(
    ("solution", "reference", "verdict"),
    [
        ("#### 18", "18", Verdict.CORRECT),
        ("####18", "18", Verdict.CORRECT),
        ("####\n18", "18", Verdict.CORRECT),
        ("#### -3", "-3", Verdict.CORRECT),
        ("#### 18 dollars", "18", Verdict.CORRECT),
        ("#### 1,080", "1,080", Verdict.CORRECT),
        ("#### 1080", "1,080", Verdict.WRONG),
        ("#### 1,080", "1080", Verdict.WRONG),
        ("#### 25.0", "25", Verdict.WRONG),
        ("#### 18.", "18", Verdict.WRONG),
        ("#### $18", "18", Verdict.UNPARSEABLE),
        ("**#### Answer: 11**", "11", Verdict.UNPARSEABLE),
        ("The answer is 18", "18", Verdict.UNPARSEABLE),
        ("#### 9\n#### 18", "18", Verdict.WRONG),
        ("#### 18\n#### 9", "18", Verdict.CORRECT),
        ("#### Step 1\n#### 18", "18", Verdict.CORRECT),
        ("#### 18", "9 * 2 = <<9*2=18>>18\n#### 18", Verdict.CORRECT),
        ("#### 1,080", "...\n#### 1,080", Verdict.CORRECT),
    ],
)
def test_the_first_digits_after_hashes_are_compared_as_a_string(solution: str, reference: str, verdict: Verdict) -> None:
    assert GSM8KStrict().grade(solution, reference).verdict is verdict


def test_every_answer_of_the_strict_verifier_is_marked() -> None:
    grade = GSM8KStrict().grade("#### 18", "18")
    assert (grade.answer, grade.marked, grade.pattern) == ("18", True, "####")


@pytest.mark.parametrize("reference", ["", "$18", "18 dollars", "\\frac{1}{2}", "9 eggs\n#### nine", "Tuesday"])
def test_a_reference_that_no_solution_can_match_is_explained(reference: str) -> None:
    assert "GSM8KStrict matches digits" in (GSM8KStrict().check_reference(reference) or "")


@pytest.mark.parametrize("reference", ["18", "1,080", "-2.5", " 18 ", "9 * 2 = 18\n#### 18"])
def test_a_reference_of_digits_is_usable(reference: str) -> None:
    assert GSM8KStrict().check_reference(reference) is None


def test_the_strict_verifier_is_always_quick() -> None:
    assert GSM8KStrict().grade_quickly("#### 18", "18") == GSM8KStrict().grade("#### 18", "18")
