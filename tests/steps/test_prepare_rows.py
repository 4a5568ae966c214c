"""Rows as they come: odd values, odd bytes, and questions that stand in several sets."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.steps.conftest import SilentJournal, problems, write_jsonl, write_model
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.prepare.render import normalised, prompt_id
from tpt_runtime.prepare.step import prepare
from tpt_runtime.prepare.tables import read_table
from tpt_runtime.step.context import Context

CommandsOf = Callable[..., Commands]


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    write_model(tmp_path / "model", context=64)
    return tmp_path


def dataset(**more: Any) -> dict[str, Any]:
    base = {"train": {"uri": "train.jsonl"}, "validation": {"fraction": 0.5}, "prompt": {"mode": "Completion"}}
    return {"dataset": base | more, "sampling": {"maxTokens": 8}}


def prepared(built: Commands) -> tuple[dict[str, list[dict[str, Any]]], dict[str, int], list[str]]:
    """Prepare, and return the rows by set, the counts, and the warnings."""
    journal = SilentJournal()
    config = built.prepare(1)
    summary = prepare(config, Context(journal))
    rows = {
        path.stem: [json.loads(line) for line in path.read_bytes().splitlines()]
        for path in (Path(config.root) / config.path).glob("*.jsonl")
    }
    return rows, summary.resolved.counts, [event["message"] for event in journal.events if event["event"] == "warning"]


def refusal(built: Commands) -> str:
    with pytest.raises(ConfigurationError) as caught:
        prepared(built)
    return str(caught.value)


def test_numbers_are_answers_as_they_stand(storage: Path, commands: CommandsOf) -> None:
    write_jsonl(storage / "train.jsonl", [{"question": 1, "answer": 18}, {"question": "b", "answer": 2.5}])
    rows, _, _ = prepared(commands(**dataset()))
    assert {row["question"]: row["reference"] for row in rows["train"] + rows["validation"]} == {"1": "18", "b": "2.5"}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"question": "a", "answer": None}, "the field 'answer' (answerField) is null, expected text or a number"),
        ({"question": ["a"], "answer": "1"}, "the field 'question' (promptField) is list, expected text or a number"),
        ({"question": {"content": "a"}, "answer": "1"}, "the field 'question' (promptField) is dict"),
        ({"question": "a", "answer": True}, "the field 'answer' (answerField) is bool"),
        ({}, "no field 'question' (promptField); the row has no fields"),
    ],
)
def test_what_is_neither_text_nor_number_is_refused(row: Any, expected: str, storage: Path, commands: CommandsOf) -> None:
    write_jsonl(storage / "train.jsonl", [*problems(3), row])
    assert f"train.jsonl, line 4: {expected}" in refusal(commands(**dataset()))


def test_half_of_a_surrogate_pair_is_refused_with_its_place(storage: Path, commands: CommandsOf) -> None:
    text = json.dumps(problems(2)[0]) + '\n{"question": "what? \\ud83d", "answer": "1"}\n'
    (storage / "train.jsonl").write_text(text)
    assert "train.jsonl, line 2: half of a surrogate pair" in refusal(commands(**dataset()))


def test_line_separators_within_a_question_are_part_of_it(storage: Path, commands: CommandsOf) -> None:
    questions = [f"one\u2028two\u2029three\u0085 {n}?" for n in range(4)]
    lines = [json.dumps({"question": question, "answer": "1"}, ensure_ascii=False) for question in questions]
    (storage / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    config = commands(**dataset()).prepare(1)
    prepare(config, Context(SilentJournal()))
    written = b"".join((Path(config.root) / config.path / f"{name}.jsonl").read_bytes() for name in ("train", "validation"))
    assert sorted(json.loads(line)["question"] for line in written.split(b"\n")[:-1]) == questions


FILES = {
    "a byte order mark": b'\xef\xbb\xbf{"a": 1}\n{"a": 2}\n',
    "carriage returns": b'{"a": 1}\r\n{"a": 2}\r\n',
    "empty lines": b'\n{"a": 1}\n\n  \n{"a": 2}',
}


@pytest.mark.parametrize("name", FILES)
def test_jsonl_is_read_as_editors_write_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(FILES[name])
    assert [row.fields for row in read_table(path, "data.jsonl")] == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"a": "\xff"}\n', r"data\.jsonl, line 1: no JSON: 'utf-8' codec can't decode"),
        ('{"a": 1}\n{"a": 2}\n'.encode("utf-16"), r"data\.jsonl, line 1: no JSON"),
        (b"[" * 100_000, r"data\.jsonl, line 1: no JSON"),
        (b'{"a": 1} {"a": 2}\n', r"data\.jsonl, line 1: no JSON: Extra data"),
    ],
)
def test_what_is_no_jsonl_is_named_by_line(content: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=expected):
        list(read_table(path, "data.jsonl"))


def test_a_folder_or_a_broken_parquet_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "data.parquet").write_bytes(b"PAR1 no more")
    (tmp_path / "data.json").write_bytes(b'{"rows": []}')
    for name, expected in (
        ("folder.jsonl", "is a folder, expected a file"),
        ("data.parquet", "no Parquet file"),
        ("data.json", "expected a list of objects, found dict"),
    ):
        with pytest.raises(ConfigurationError, match=f"{name}: {expected}"):
            list(read_table(tmp_path / name, name))


def test_what_is_left_out_is_counted_and_said(storage: Path, commands: CommandsOf) -> None:
    write_jsonl(storage / "train.jsonl", [*problems(20), *problems(2), {"question": "long " * 20, "answer": "1"}])
    write_jsonl(storage / "eval.jsonl", [*problems(3), problems(1)[0]])
    write_jsonl(storage / "validation.jsonl", problems(2, first=2))
    built = commands(**dataset(eval={"uri": "eval.jsonl"}, validation={"uri": "validation.jsonl"}))
    rows, counts, warnings = prepared(built)
    assert counts == {
        "train": 16,
        "validation": 2,
        "eval": 3,
        "trainRepeated": 2,
        "evalRepeated": 1,
        "trainOverlapping": 4,
        "trainTooLong": 1,
        "validationInEval": 1,
    }
    assert {name: len(found) for name, found in rows.items()} == {"train": 16, "validation": 2, "eval": 3}
    assert warnings == [
        "2 rows of train repeat an earlier question: each question is taken once",
        "1 rows of eval repeat an earlier question: each question is taken once",
        "4 training questions also stand in validation or eval: not trained on",
        "1 validation questions also stand in eval: the best model is chosen by questions that eval reports on",
        "1 train prompts fill the model's context of 64 tokens: skipped",
    ]


def test_prompts_that_leave_less_than_a_longest_sample_are_kept_and_said(storage: Path, commands: CommandsOf) -> None:
    long = [{"question": letter * length, "answer": "1"} for letter, length in (("x", 56), ("y", 57), ("z", 55))]
    write_jsonl(storage / "train.jsonl", [*problems(8), *long])
    _, counts, warnings = prepared(commands(**dataset(validation={"fraction": 0.01})))
    assert counts["train"] + counts["validation"] == 11
    assert sum(int(text.split()[0]) for text in warnings) == 2, "55 letters and the beginning leave exactly 8"
    assert all("leave less than spec.sampling.maxTokens = 8 of the model's context of 64 tokens" in text for text in warnings)


def test_a_prompt_must_leave_room_for_one_token(storage: Path, commands: CommandsOf) -> None:
    write_jsonl(
        storage / "train.jsonl", [*problems(8), {"question": "x" * 62, "answer": "1"}, {"question": "y" * 63, "answer": "1"}]
    )
    rows, counts, _ = prepared(commands(**dataset(validation={"fraction": 0.01})))
    lengths = [len(row["promptIds"]) for found in rows.values() for row in found]
    assert max(lengths) == 63
    assert counts.get("trainTooLong", 0) + counts.get("validationTooLong", 0) == 1


def test_if_no_prompt_fits_the_model_the_step_fails(storage: Path, commands: CommandsOf) -> None:
    write_jsonl(storage / "train.jsonl", [{"question": f"{'long ' * 20}{n}", "answer": "1"} for n in range(4)])
    assert "spec.dataset.train: every prompt fills the model's context of 64 tokens" in refusal(commands(**dataset()))


def test_training_data_that_is_all_evaluated_is_refused(storage: Path, commands: CommandsOf) -> None:
    write_jsonl(storage / "train.jsonl", problems(4))
    write_jsonl(storage / "eval.jsonl", problems(6))
    message = refusal(commands(**dataset(eval={"uri": "eval.jsonl"})))
    assert "every question also stands in validation or eval; none is left to train on" in message


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("What is 2 + 2?", " what  IS 2 +\n2? ", True),
        ("caf\u00e9", "cafe\u0301", True),
        ("What is 3²?", "What is 32?", False),
        ("Is x₁ = 1?", "Is x1 = 1?", False),
        ("a", "b", False),
    ],
)
def test_questions_are_the_same_if_they_differ_in_nothing_that_matters(one: str, other: str, same: bool) -> None:
    assert (prompt_id(one) == prompt_id(other)) is same
    assert normalised(normalised(one)) == normalised(one)


def test_the_data_is_read_before_a_model_is_fetched(tmp_path: Path, commands: CommandsOf) -> None:
    assert "train.jsonl: no such file" in refusal(commands(model={"uri": "hf://org/large"}, **dataset()))


TEMPLATES = {
    "{{ question.format(1) }}": "failed on a row: IndexError",
    "{{ '%(x)s' % {} }}": "failed on a row: KeyError",
    "{{ 1 // 0 }}": "failed on a row: ZeroDivisionError",
    "{{ question + 1 }}": "failed on a row: TypeError",
    "{% for i in range(10**9) %}{% endfor %}": "failed on a row: OverflowError",
    "{{ question": "no Jinja template, line 1",
    "{% if false %}{{ question }}{% endif %} ": "train.jsonl, line 1: spec.dataset.prompt.template renders to nothing",
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_that_fails_is_told_in_words(template: str, storage: Path, commands: CommandsOf) -> None:
    write_jsonl(storage / "train.jsonl", [{"question": "what? {1}", "answer": "1"}])
    assert TEMPLATES[template] in refusal(commands(**dataset(prompt={"mode": "Completion", "template": template})))


def test_fields_that_are_not_asked_for_may_have_any_name_and_value(storage: Path, commands: CommandsOf) -> None:
    write_jsonl(storage / "train.jsonl", [row | {"self": 1, "": [], "loop": None} for row in problems(2)])
    rows, _, _ = prepared(commands(**dataset(prompt={"mode": "Completion", "template": "Q: {{ question }}"})))
    assert rows["train"][0]["prompt"] == f"Q: {rows['train'][0]['question']}"
