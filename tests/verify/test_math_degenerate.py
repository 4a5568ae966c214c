"""Degenerate texts, such as a model that repeats itself for ever, cost little time and break nothing."""

import subprocess
import sys
import time

import pytest

from tpt_runtime.verify.math import Math

LENGTH = 50_000
SECONDS = 2.0
"""Far above what any of these takes (some tens of milliseconds), far below what quadratic time would take (minutes)."""
PIECES = [
    *("#", "####", "#### ", "#### x ", "#### 5 ", "\\boxed{", "\\boxed{1}", "{", "}", "answer is ", "answer: 1=2\n"),
    *("the answer to ", "if the answer is 1, ", "1", "1,", "1 ", "1 000 ", "1/", "1/2 ", "-", "=", "= 1 ", "1=", "a", " ", "\n"),
    *("**", "**1** ", "*1* ", "<<", "<b>", "(", " (1", "or ", "1 or ", "1, ", "not 1 ", "wait, 1. ", "Q: 1\n", "1? ", "1. "),
    *("Note: 1\n", "\n1. ", "\\frac", "\\frac{1}{2}", "\\text{", "\\text{1} ", "$", "$1$ ", "\\(", "`", "~", "€1.080 "),
    *("Answer\n1\n", "is the answer. ", "x = 1, ", "word ", "1st ", "5 hours 3 ", "1e5 ", "½", "答案是1", "<answer>", "1% "),
    *("1 million ", "1 dollars and 5 cents ", "1:2"),
]


@pytest.mark.parametrize("before", ["", "#### ", "The answer is ", "\\boxed{", "#### 18\nWait, "])
@pytest.mark.parametrize("reference", ["18", "\\sqrt{2}"])
def test_a_text_of_endless_repetition_is_graded_quickly(before: str, reference: str) -> None:
    for piece in PIECES:
        text = before + piece * (LENGTH // len(piece))
        start = time.process_time()
        Math().grade_quickly(text, reference)
        assert time.process_time() - start < SECONDS, f"{before!r} followed by {piece!r} for ever"


def test_numbers_alone_never_import_a_symbolic_library() -> None:
    program = (
        "import sys; from tpt_runtime.verify.protocol import verifier; math = verifier('Math');"
        "assert math.check_reference('#### 1,080') is None;"
        "assert math.grade('The answer is $1,080.00.', '1080').verdict == 'correct';"
        "sys.exit(sorted(name for name in ('sympy', 'math_verify', 'torch') if name in sys.modules) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
