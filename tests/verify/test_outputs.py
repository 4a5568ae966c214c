"""When what a program gave is what it should have given."""

from typing import Any

import pytest

from tpt_runtime.core.choices import Whitespace
from tpt_runtime.verify.outputs import EXACT, LINES, TOKENS, is_accepted, same_value


def test_the_rules_are_those_of_the_schema() -> None:
    assert {LINES, TOKENS, EXACT} == {choice.value for choice in Whitespace}


@pytest.mark.parametrize(
    ("found", "expected", "rules"),
    [
        ("1 2\n3\n", "1 2\n3", (LINES, TOKENS, EXACT)),
        ("1 2\n3\n\n\n", "1 2\n3\n", (LINES, TOKENS, EXACT)),
        ("1  2 \n3", "1 2\n3", (LINES, TOKENS)),
        ("1\t2\r\n3", "1 2\n3", (LINES, TOKENS)),
        ("1\n2\n3", "1 2\n3", (TOKENS,)),
        ("1 2\n\n3", "1 2\n3", (TOKENS,)),
        (" 1 2\n3", "1 2\n3", (LINES, TOKENS)),
        ("12\n3", "1 2\n3", ()),
        ("1 2", "1 2\n3", ()),
        ("1 2\n3 4", "1 2\n3", ()),
        ("", "1", ()),
        ("yes", "YES", ()),
    ],
)
def test_white_space_counts_as_the_rule_says(found: str, expected: str, rules: tuple[str, ...]) -> None:
    assert tuple(rule for rule in (LINES, TOKENS, EXACT) if is_accepted(found, [expected], rule, 1e-6)) == rules


@pytest.mark.parametrize(
    ("found", "expected", "right"),
    [
        ("0.5", "0.500000", True),
        ("0.5000001", "0.5", True),
        ("0.5001", "0.5", False),
        ("1e-7", "0.0", True),
        ("1000000.5", "1000000.0", True),
        ("1000002.0", "1000000.0", False),
        ("3", "3.0", True),
        ("3.0", "3", False),
        ("10000001", "10000000", False),
        ("nan", "0.5", False),
        ("inf", "1e999", False),
        ("nan", "nan", True),
        ("0x1p-1", "0.5", False),
        ("0_0.5", "0.5", False),
        ("1.5.0", "1.5", False),
        (".5", "0.5", True),
        ("-0.0", "0.0", True),
    ],
)
def test_only_decimal_fractions_have_a_tolerance(found: str, expected: str, right: bool) -> None:
    assert is_accepted(found, [expected], LINES, 1e-6) is right


def test_without_a_tolerance_other_digits_are_another_answer_only_if_the_value_differs() -> None:
    assert is_accepted("0.50", ["0.5"], LINES, 0.0)
    assert not is_accepted("0.5000001", ["0.5"], LINES, 0.0)


def test_any_of_several_outputs_will_do() -> None:
    assert is_accepted("2 1", ["1 2", "2 1"], LINES, 0.0)
    assert not is_accepted("1 1", ["1 2", "2 1"], LINES, 0.0)


@pytest.mark.parametrize(
    ("found", "expected", "right"),
    [
        (3, 3, True),
        (3.0, 3, False),
        (True, 1, False),
        (1, True, False),
        (3, 3.0, True),
        (0.1 + 0.2, 0.3, True),
        (float("nan"), 0.3, False),
        ("3", 3, False),
        ((1, 2), [1, 2], True),
        ([1, [2.0000000001]], [1, [2.0]], True),
        ([1, 2], [2, 1], False),
        ([1], [1, 2], False),
        ({1: "a"}, {"1": "a"}, True),
        ({"a": (1,)}, {"a": [1]}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({1, 2}, [1, 2], False),
        (None, None, True),
        (None, False, False),
    ],
)
def test_a_value_is_compared_with_what_json_can_say(found: Any, expected: Any, right: bool) -> None:
    assert same_value(found, expected, 1e-6) is right
