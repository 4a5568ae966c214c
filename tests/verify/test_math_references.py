"""Which reference answers are usable, and what the others are told."""

import json
import os
from pathlib import Path

import pytest

from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.verify.math import Math
from tpt_runtime.verify.protocol import VERIFIER_NAMES, verifier


@pytest.mark.parametrize(
    "reference",
    [
        "18",
        "1,080",
        "$18",
        "18 dollars",
        "-3",
        "3/4",
        "50%",
        "x = 18",
        "She has 16 - 7 = <<16-7=9>>9 eggs.\n#### 9",
        "So the area is $\\boxed{18}$.",
        "\\frac{\\sqrt{3}}{2}",
        "x^2 + 1",
        "(3, \\infty)",
        "3:2",
        "\\text{Tuesday}",
        "\\text{(B)}",
    ],
)
def test_a_reference_is_usable_if_it_is(reference: str) -> None:
    assert Math().check_reference(reference) is None


@pytest.mark.parametrize(
    ("reference", "complaint"),
    [
        ("", "no answer"),
        ("   ", "no answer"),
        ("She has 9 eggs.\n####", "no answer"),
        ("So \\boxed{}", "no answer"),
        ("So \\boxed{18", "no answer"),
        ("18 or 20", "several answers"),
        ("between 18 and 20", "several answers"),
        ("Tuesday", "words"),
        ("She sells 9 eggs for 2 dollars each and so makes 18", "words"),
        ("\\frac{1}{", "cannot be read"),
        ("She sells eggs. " * 40, "too long"),
    ],
)
def test_an_unusable_reference_is_explained(reference: str, complaint: str) -> None:
    problem = Math().check_reference(reference)
    assert problem is not None
    assert complaint in problem


@pytest.mark.parametrize(
    ("reference", "answer", "verdict"),
    [
        ("\\frac{\\sqrt{3}}{2}", "The answer is $\\frac{\\sqrt{3}}{2}$.", Verdict.CORRECT),
        ("\\frac{\\sqrt{3}}{2}", "\\boxed{\\dfrac{\\sqrt 3}{2}}", Verdict.CORRECT),
        ("\\frac{\\sqrt{3}}{2}", "\\boxed{\\frac{\\sqrt{3}}{3}}", Verdict.WRONG),
        ("\\frac{\\sqrt{3}}{2}", "So it is $\\sqrt{3/4}$", Verdict.CORRECT),
        ("x^2 + 1", "\\boxed{1 + x^2}", Verdict.CORRECT),
        ("x^2 + 1", "\\boxed{x^2 - 1}", Verdict.WRONG),
        ("(3, \\infty)", "\\boxed{(3,\\infty)}", Verdict.CORRECT),
        ("[3, \\infty)", "\\boxed{(3,\\infty)}", Verdict.WRONG),
        ("[3, \\infty)", "\\boxed{[3,\\infty]}", Verdict.WRONG),
        ("(1, 2)", "\\boxed{\\left(1, \\frac{4}{2}\\right)}", Verdict.CORRECT),
        ("(1, 2)", "\\boxed{[1, 2]}", Verdict.WRONG),
        ("\\{1, 2\\}", "\\boxed{\\{2, 1\\}}", Verdict.CORRECT),
        ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "$\\boxed{\\begin{pmatrix}1\\\\2\\end{pmatrix}}$", Verdict.CORRECT),
        ("2\\pi", "The answer is $2\\pi$.", Verdict.CORRECT),
        ("2\\pi", "The answer is 2.", Verdict.WRONG),
        ("3:2", "#### 3:2", Verdict.CORRECT),
        ("3:2", "#### 2:3", Verdict.WRONG),
        ("3:2", "The ratio is 3:2.", Verdict.CORRECT),
        ("\\text{Tuesday}", "The answer is Tuesday.", Verdict.CORRECT),
        ("\\text{Tuesday}", "\\boxed{\\text{Monday}}", Verdict.WRONG),
        ("\\text{no}", "\\boxed{\\text{on}}", Verdict.WRONG),
        ("\\text{(B)}", "The answer is B.", Verdict.CORRECT),
        ("\\sqrt{2}", "", Verdict.UNPARSEABLE),
        ("\\sqrt{2}", "\\boxed{{ unbalanced }", Verdict.WRONG),
        ("\\sqrt{2}", "#### sqrt(2)", Verdict.CORRECT),
        ("\\sqrt{2}", "#### 2", Verdict.WRONG),
    ],
)
def test_an_answer_that_is_no_number_is_compared_as_an_expression(reference: str, answer: str, verdict: Verdict) -> None:
    assert Math().grade(answer, reference).verdict is verdict


def test_a_reference_that_is_a_solution_counts_by_its_last_hashes() -> None:
    reference = "16 - 7 = <<16-7=9>>9\n#### 9\n9 * 2 = 18\n#### 1,018"
    assert Math().grade("#### 1018", reference).verdict is Verdict.CORRECT
    assert Math().grade("#### 9", reference).verdict is Verdict.WRONG


def test_a_verifier_is_found_by_its_name() -> None:
    assert [verifier(name).name for name in VERIFIER_NAMES] == ["Math", "GSM8KStrict"]


def test_an_unknown_verifier_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ConfigurationError, match="'math' is not a verifier; allowed: Math, GSM8KStrict"):
        verifier("math")


@pytest.mark.parametrize("name", VERIFIER_NAMES)
@pytest.mark.parametrize("file", ["train.jsonl", "test.jsonl"])
def test_every_reference_of_gsm8k_is_usable_and_correct_against_itself(name: str, file: str) -> None:
    folder = os.environ.get("TPT_GSM8K")
    if not folder:
        pytest.skip("set TPT_GSM8K to a folder with GSM8K's train.jsonl and test.jsonl to run this")
    chosen = verifier(name)
    references = [json.loads(line)["answer"] for line in (Path(folder) / file).read_text(encoding="utf-8").splitlines()]
    assert len(references) > 1000
    assert [reference for reference in references if chosen.check_reference(reference)] == []
    assert [reference for reference in references if chosen.grade(reference, reference).verdict is not Verdict.CORRECT] == []
