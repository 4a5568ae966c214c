"""The tests of a row, in every form that they come in."""

import json
import re
from typing import Any

import pytest

from tpt_runtime.verify.cases import Pair, UnusableTests, read_cases


def pairs(found: Any) -> list[tuple[str, tuple[str, ...]]]:
    return [(pair.given, pair.accepted) for pair in read_cases(json.dumps(found)).pairs]


def calls(found: Any) -> list[dict[str, Any]]:
    return [dict(call) for call in read_cases(json.dumps(found)).calls]


def test_pairs_stand_in_a_list() -> None:
    assert pairs([{"input": "1\n", "output": "2\n"}, {"input": "", "outputs": ["a", "b"]}]) == [
        ("1\n", ("2\n",)),
        ("", ("a", "b")),
    ]
    assert pairs({"input": "1", "output": "2"}) == [("1", ("2",))], "or one stands alone"


def test_columns_are_pairs_as_codecontests_and_apps_have_them() -> None:
    expected = [("1", ("2",)), ("3", ("4",))]
    assert pairs({"input": ["1", "3"], "output": ["2", "4"]}) == expected
    assert pairs({"inputs": ["1", "3"], "outputs": ["2", "4"]}) == expected
    assert pairs({"inputs": [["1", "3"]], "outputs": [["2", "4"]]}) == [("1\n3", ("2\n4",))], "lines in a list are lines"


def test_apps_calls_a_function_by_its_name() -> None:
    found = calls({"fn_name": "add", "inputs": [[1, 2]], "outputs": [3]})
    assert found == [{"call": "add", "arguments": [1, 2], "accepted": [3]}]


def test_assertions_stand_in_a_list_as_mbpp_has_them() -> None:
    assert calls(["assert f(1) == 2", "assert f(2) == 3"]) == [{"code": "assert f(1) == 2"}, {"code": "assert f(2) == 3"}]


def test_a_text_that_is_no_json_is_code() -> None:
    assert read_cases("assert f(1) == 2\nassert f(2) == 3").calls == ({"code": "assert f(1) == 2\nassert f(2) == 3"},)


def test_humanevals_function_gets_its_entry_point() -> None:
    check = "def check(candidate):\n    assert candidate(1) == 2"
    assert calls({"test": check, "entry_point": "f"}) == [{"code": check, "entryPoint": "f"}]


def test_calls_have_arguments_and_what_they_return() -> None:
    found = calls([{"call": "Solution().two", "arguments": [[1], 2], "outputs": [[0, 1], [1, 0]]}, {"call": "f", "output": None}])
    assert found == [
        {"call": "Solution().two", "arguments": [[1], 2], "accepted": [[0, 1], [1, 0]]},
        {"call": "f", "arguments": [], "accepted": [None]},
    ]


def test_kinds_may_be_mixed_and_have_code_before_them() -> None:
    cases = read_cases(json.dumps({"setup": "import math", "tests": [{"input": "1", "output": "2"}, "assert f()"]}))
    assert cases.pairs == (Pair("1", ("2",)),)
    assert cases.calls == ({"code": "assert f()"},)
    assert cases.setup == "import math"


@pytest.mark.parametrize(
    ("found", "word"),
    [
        ("", "no tests"),
        ("[]", "no tests"),
        ("{}", "no field"),
        ("18", "found int"),
        ("#### 18", "does nothing"),
        ("what is asked of it", "no Python code"),
        ('[{"input": "1"}]', "no output"),
        ('[{"input": 1, "output": "1"}]', "input is int"),
        ('[{"input": "1", "output": 1}]', "output is int"),
        ('[{"input": "1", "outputs": []}]', "at least one"),
        ('[{"output": "1"}]', "test 1 has output"),
        ("[7]", "test 1 is int"),
        ('["assert f("]', "test 1: code is no Python code"),
        ('[{"call": "f(", "output": 1}]', "call is no Python code"),
        ('[{"call": "f", "arguments": 1, "output": 1}]', "expected a list"),
        ('{"input": ["1"], "output": []}', "1 inputs, but 0 outputs"),
        ('{"setup": 1, "tests": ["f()"]}', "setup is int"),
    ],
)
def test_what_cannot_serve_as_tests_is_said(found: str, word: str) -> None:
    with pytest.raises(UnusableTests, match=re.escape(word)):
        read_cases(found)
