"""Explanations name the pattern, the place, the normal forms and the reason, and always the verifier's own verdict."""

import json
from pathlib import Path

import pytest

from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.verify.explain import explain, explain_file
from tpt_runtime.verify.pool import TIME_LIMIT
from tpt_runtime.verify.protocol import Grade, verifier
from tpt_runtime.verify.traces import GradeRequest


def explained(solution: str, reference: str, name: str = "Math") -> dict[str, str]:
    return dict(explain(name, solution, reference, verifier(name).grade(solution, reference)))


def test_a_number_is_explained_by_pattern_place_and_normal_form() -> None:
    found = explained("16 - 7 = 9 eggs.\n#### $1,018.00", "She sells them. #### 1018")
    assert found == {
        "verdict": "correct",
        "reference": '"1018", read as 1018',
        "pattern": "####",
        "place": 'characters 17 to 31: "#### $1,018.00"',
        "answer": '"$1,018.00", read as 1018',
        "reason": "both sides are equal",
    }


@pytest.mark.parametrize(
    ("solution", "reference", "name", "words"),
    [
        ("The answer is 18 or 20.", "18", "reason", "whoever offers a choice answers nothing"),
        ("#### 17", "18", "reason", "the two sides are not equal"),
        ("She has 4 eggs and sells them for the", "4", "reason", "no final answer was found"),
        ("The answer is 17.\n#### 18", "18", "passed over", 'answer is: "17", read as 17'),
        ("#### 18\nWait, that is wrong, it is 9 * 3 = 27.", "18", "pattern", "revised"),
        ("#### 18\nWait, that is wrong, it is 9 * 3 = 27.", "18", "passed over", '####: "18", read as 18'),
        ("She makes 9 * 2 = $18.\n\nQ: Tom has 4. How many?\nA: 4", "18", "not read", "from character 22 on"),
        ("She makes 9 * 2 = $18 in 5 days.", "18", "place", "She makes 9 * 2 = $18 in 5 days."),
        ("She makes **18** dollars.", "18", "pattern", "bold"),
        ("It is 50%.", "0.5", "answer", "read as 50, or 1/2 (0.5)"),
        ("#### 1/3", "1/3", "reference", "read as 1/3"),
        (r"\boxed{9 \cdot 2}", "18", "normal form", "parsed as 9*2"),
        (r"\boxed{\frac{3\sqrt{2}}{6}}", r"\frac{\sqrt{2}}{2}", "answer", "parsed as (3*sqrt(2))/6"),
        (r"\boxed{\frac{3\sqrt{2}}{6}}", r"\frac{\sqrt{2}}{2}", "reason", "compared by Math-Verify"),
        (r"$\sqrt{2}$", r"\sqrt{2}", "reason", "compared as strings"),
        ("The answer is Monday.", r"\text{Tuesday}", "reason", "compared as words"),
        ("", r"\sqrt{2}", "reason", "no final answer was found"),
    ],
)
def test_the_explanation_says(solution: str, reference: str, name: str, words: str) -> None:
    assert words in explained(solution, reference)[name]


def test_the_strict_verifier_is_explained_by_its_strings() -> None:
    found = explained("#### $18", "#### 18", "GSM8KStrict")
    assert (found["verdict"], found["pattern"], found["reference"]) == ("unparseable", "none", '"18", as a string')
    assert explained("#### 18.", "18", "GSM8KStrict")["answer"] == '"18.", as a string'


def test_another_verifier_is_explained_by_its_own_words() -> None:
    found = dict(explain("Code", "print(4)", '{"tests": []}', Grade(Verdict.WRONG, pattern="test 2 failed")))
    assert found == {"verdict": "wrong", "reference": '"{"tests": []}"', "reason": "test 2 failed"}


def test_a_long_text_is_shortened() -> None:
    assert len(explained("#### 18 " + "because " * 100, "18")["place"]) < 250


def test_a_verdict_that_took_too_long_is_explained_without_parsing_anything_again() -> None:
    for reference in ("18", r"\sqrt{2}"):
        found = dict(explain("Math", r"\boxed{9^{9^{9^{9}}}}", reference, Grade(Verdict.TIMED_OUT, pattern=TIME_LIMIT)))
        assert (found["verdict"], found["reason"]) == ("timed_out", "grading it took too long or too much memory")


def written(folder: Path, *rows: dict[str, object]) -> Path:
    path = folder / "traces.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_file_is_explained_trace_by_trace_or_by_its_line(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"id": "a", "solution": "#### 18", "reference": "18"},
        {"id": "b", "solution": "#### 18", "reference": "18", "finishReason": "length"},
        {"id": "c", "solution": r"\boxed{9^{9^{9^{9}}}}", "reference": "18"},
    ]
    path = written(tmp_path, *rows)
    found = {trace.prompt: dict(lines) for trace, lines in explain_file(GradeRequest(path, timeout_seconds=1.0, workers=1))}
    assert [lines["verdict"] for lines in found.values()] == ["correct", "truncated", "timed_out"]
    assert "cut off" in found["b"]["reason"]
    assert "too long" in found["c"]["reason"]
    assert [trace.prompt for trace, _ in explain_file(GradeRequest(path), line=2)] == ["b"]


@pytest.mark.parametrize(("line", "says"), [(None, "no line holds a trace"), (3, "not line 3 holds a trace")])
def test_where_nothing_stands_nothing_is_explained(tmp_path: Path, line: int | None, says: str) -> None:
    rows: list[dict[str, object]] = [] if line is None else [{"id": "a", "solution": "#### 18", "reference": "18"}]
    path = written(tmp_path, *rows)
    with pytest.raises(ConfigurationError, match=says):
        list(explain_file(GradeRequest(path), line))
