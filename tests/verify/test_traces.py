"""Files of traces are graded line by line, and a bad line is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.verify.traces import GradeRequest, grade_file

REFERENCE = "9 * 2 = <<9*2=18>>18\n#### 18"


def written(folder: Path, *lines: dict[str, Any] | str) -> Path:
    path = folder / "traces.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), encoding="utf-8")
    return path


def trace(prompt: str | int, solution: str, reference: Any = "18", **more: Any) -> dict[str, Any]:
    return {"id": prompt, "solution": solution, "reference": reference} | more


def test_verdicts_are_counted_and_pass_at_k_is_over_prompts(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        trace("a", "#### 18", REFERENCE),
        trace("b", "#### $5.00", 5),
        trace("a", "#### 20", REFERENCE),
        trace("b", "no idea", 5),
    )
    figures = grade_file(GradeRequest(path, k=(1, 2)))
    metrics = figures.pop("metrics")
    assert figures == {
        "verifier": "Math",
        "prompts": 2,
        "samples": {"total": 4, "correct": 2, "wrong": 1, "unparseable": 1, "truncated": 0, "timedOut": 0},
    }
    assert [(metric["name"], metric["value"]) for metric in metrics] == [("pass@1", 0.5), ("pass@2", 1.0)]
    assert all(set(metric) == {"name", "value", "low", "high"} for metric in metrics)
    assert metrics[0]["low"] < 0.5 < metrics[0]["high"]


def test_the_figures_are_json(tmp_path: Path) -> None:
    figures = grade_file(GradeRequest(written(tmp_path, trace("a", "#### 18"))))
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


@pytest.mark.parametrize("field", ["finishReason", "finish_reason"])
def test_a_trace_that_was_cut_off_is_truncated_even_if_it_looks_right(tmp_path: Path, field: str) -> None:
    path = written(tmp_path, trace("a", "#### 18", **{field: "length"}), trace("a", "#### 18", **{field: "stop"}))
    samples = grade_file(GradeRequest(path))["samples"]
    assert (samples["truncated"], samples["correct"]) == (1, 1)


def test_a_verdict_that_takes_too_long_is_counted_apart(tmp_path: Path) -> None:
    path = written(tmp_path, trace("a", r"\boxed{9^{9^{9^{9}}}}"), trace("a", "#### 18"))
    samples = grade_file(GradeRequest(path, timeout_seconds=0.5, workers=1))["samples"]
    assert (samples["timedOut"], samples["correct"]) == (1, 1)


def test_verdicts_are_written_in_the_order_of_the_traces(tmp_path: Path) -> None:
    output = tmp_path / "verdicts.jsonl"
    path = written(tmp_path, trace(7, "#### 18", "\\sqrt{324}"), "", trace("b", "So 20 dollars."), trace("c", "hm"))
    grade_file(GradeRequest(path, output=output))
    assert [json.loads(line) for line in output.read_text().splitlines()] == [
        {"line": 1, "id": "7", "verdict": "correct", "answer": "18", "marked": True, "pattern": "####"},
        {"line": 3, "id": "b", "verdict": "wrong", "answer": "20", "marked": False, "pattern": "last number"},
        {"line": 4, "id": "c", "verdict": "unparseable", "answer": None, "marked": False, "pattern": None},
    ]


def test_the_strict_verifier_leaves_a_bare_reference_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, trace("a", "#### 1,080", "1,080"), trace("b", "#### 1080", "1,080"))
    strict = grade_file(GradeRequest(path, verifier="GSM8KStrict"))
    assert (strict["verifier"], strict["samples"]["correct"]) == ("GSM8KStrict", 1)
    assert grade_file(GradeRequest(path))["samples"]["correct"] == 2


def test_prompts_with_fewer_than_k_samples_are_left_out_and_counted(tmp_path: Path) -> None:
    path = written(tmp_path, trace("a", "#### 18"), trace("a", "#### 18"), trace("b", "#### 18"))
    assert grade_file(GradeRequest(path, k=(1, 2)))["leftOut"] == {"pass@2": 1}
    assert "leftOut" not in grade_file(GradeRequest(path, k=(1,)))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("not json", r"traces.jsonl: line 2: not JSON \(.*\); expected one JSON object a line"),
        ("[1, 2]", r"traces.jsonl: line 2: found \[1, 2\]; expected a JSON object with id, solution and reference"),
        ('"caf\udce9"', r"traces.jsonl: line 2: not JSON"),
        (
            {"id": "b", "reference": "18"},
            r"line 2: field solution: is missing; expected a string \(fields found: id, reference\)",
        ),
        ({}, r"line 2: field id: is missing; expected a string or a number \(fields found: none\)"),
        (trace("b", "x") | {"solution": 3}, "line 2: field solution: found 3; expected a string"),
        (trace("b", "x") | {"solution": None}, "line 2: field solution: found null; expected a string"),
        (trace("b", "x") | {"id": True}, "line 2: field id: found true; expected a string or a number"),
        (trace("b", "x") | {"id": 1.5}, "line 2: field id: found 1.5; expected a string or a number"),
        (trace("", "x"), "line 2: field id: is empty; expected the id of the prompt"),
        (trace("b", "x", None), "line 2: field reference: found null; expected a string or a number"),
        (trace("b", "x", ["18"]), r'line 2: field reference: found \["18"\]; expected a string or a number'),
        (trace("b", "x", float("nan")), "line 2: field reference: found NaN; expected a string or a number"),
        (trace("b", "x", "18 or 20"), "line 2: field reference: the reference names several answers: '18 or 20'"),
        (
            trace("a", "x", "19"),
            "line 2: field reference: differs from that of an earlier line with the id 'a'; expected one for each id",
        ),
    ],
)
def test_a_bad_line_is_named_with_what_is_expected(tmp_path: Path, line: dict[str, Any] | str, complaint: str) -> None:
    path = written(tmp_path, trace("a", "#### 18"))
    text = line if isinstance(line, str) else json.dumps(line)
    path.write_bytes(path.read_bytes() + text.encode("utf-8", "surrogateescape") + b"\n")
    with pytest.raises(ConfigurationError, match=complaint):
        grade_file(GradeRequest(path))


def test_a_bad_line_leaves_no_output(tmp_path: Path) -> None:
    output = tmp_path / "verdicts.jsonl"
    path = written(tmp_path, trace("a", "#### 18"), "not json")
    with pytest.raises(ConfigurationError):
        grade_file(GradeRequest(path, output=output))
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_a_file_without_traces_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="holds no traces; expected one JSON object a line"):
        grade_file(GradeRequest(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent.jsonl: cannot be read \(No such file or directory\)"):
        grade_file(GradeRequest(tmp_path / "absent.jsonl"))


def test_an_output_in_a_missing_folder_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, trace("a", "#### 18"))
    with pytest.raises(ConfigurationError, match=r"output: .*verdicts.jsonl cannot be written"):
        grade_file(GradeRequest(path, output=tmp_path / "absent" / "verdicts.jsonl"))


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, *(trace("a", "#### 18") for _ in range(2000)))
    output = tmp_path / "verdicts.jsonl"
    output.with_name("verdicts.jsonl.partial").symlink_to("/dev/full")
    with pytest.raises(ConfigurationError, match=r"output: .*verdicts.jsonl cannot be written \(No space left on device\)"):
        grade_file(GradeRequest(path, output=output))
    assert not output.exists()


def test_the_traces_are_never_overwritten_by_their_verdicts(tmp_path: Path) -> None:
    path = written(tmp_path, trace("a", "#### 18"))
    with pytest.raises(ConfigurationError, match="is the file of traces itself"):
        grade_file(GradeRequest(path, output=path))


@pytest.mark.parametrize(("k", "found"), [((0,), "0"), ((1, -2), "-2"), ((), "nothing")])
def test_a_k_below_one_is_refused(tmp_path: Path, k: tuple[int, ...], found: str) -> None:
    path = written(tmp_path, trace("a", "#### 18"))
    with pytest.raises(ConfigurationError, match=f"k: {found} was given; allowed: one or more whole numbers from 1"):
        grade_file(GradeRequest(path, k=k))


def test_a_k_that_no_prompt_has_samples_for_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, trace("a", "#### 18"))
    with pytest.raises(
        ConfigurationError, match="pass@10 needs at least 10 samples of a prompt; the most that a prompt has is 1"
    ):
        grade_file(GradeRequest(path, k=(1, 10)))


def test_an_unknown_verifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'Maths' is not a verifier; allowed: Math, GSM8KStrict"):
        grade_file(GradeRequest(written(tmp_path, trace("a", "#### 18")), verifier="Maths"))


def test_a_reference_that_keeps_the_parser_busy_is_a_bad_line(tmp_path: Path) -> None:
    path = written(tmp_path, trace("a", "#### 18"), trace("b", "#### 18", r"\binom{999999999}{99999999}x"))
    with pytest.raises(ConfigurationError, match=r"line 2: field reference: the reference takes too long"):
        grade_file(GradeRequest(path, timeout_seconds=1.0))
