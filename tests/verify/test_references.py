"""References are checked within a time limit, in a process that can be ended."""

import time

import pytest

from tpt_runtime.verify.math import Math
from tpt_runtime.verify.protocol import Verifier
from tpt_runtime.verify.references import References
from tpt_runtime.verify.strict import GSM8KStrict

ENDLESS = r"\binom{999999999}{99999999}x"
"""Math-Verify multiplies it out while it parses it."""


def test_a_reference_that_cannot_be_read_in_time_is_named_and_the_next_one_is_checked() -> None:
    with References(Math(), timeout_seconds=1.0) as references:
        began = time.monotonic()
        problem = references.check(ENDLESS)
        assert problem is not None
        assert r"too long or too much memory to be read (time limit, 1 s): '\\binom{999999999}{99999999}x'" in problem
        assert time.monotonic() - began < 60
        assert references.check("x^2 + 1") is None
        assert "cannot be read as a number or an expression" in (references.check(r"\frac{1}{") or "")


@pytest.mark.parametrize("verifier", [Math(), GSM8KStrict()])
@pytest.mark.parametrize("reference", ["18", "9 * 2 = 18\n#### 18", "$1,080.00", "", "Tuesday", "18 or 20", "word " * 100])
def test_what_needs_no_parsing_is_checked_here_and_alike(verifier: Verifier, reference: str) -> None:
    assert verifier.is_quick(reference)
    with References(verifier, timeout_seconds=5.0) as references:
        assert references.check(reference) == verifier.check_reference(reference)
        assert references.worker_pids == []


@pytest.mark.parametrize("reference", [r"\frac{\sqrt{3}}{2}", "x^2 + 1", r"\frac{1}{", ENDLESS])
def test_what_must_be_parsed_is_not_quick(reference: str) -> None:
    assert not Math().is_quick(reference)
