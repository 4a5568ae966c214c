"""prepare: what comes out of good input, and what bad input is told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.steps.conftest import WEIGHTS, problems, write_jsonl, write_model
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.errors import ArtifactError, ConfigurationError
from tpt_runtime.prepare.questions import Question, hold_out
from tpt_runtime.prepare.step import prepare
from tpt_runtime.step.context import Context

CommandsOf = Callable[..., Commands]


def dataset(**more: Any) -> dict[str, Any]:
    return {"train": {"uri": "train.jsonl"}, "prompt": {"mode": "Completion"}} | more


def prepared(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    write_model(tmp_path / "model")
    write_jsonl(tmp_path / "train.jsonl", problems(100))
    return tmp_path


def run(commands: Commands, context: Context) -> Path:
    config = commands.prepare(1)
    prepare(config, context)
    return Path(config.root) / config.path


def refusal(commands: Commands, context: Context) -> str:
    with pytest.raises(ConfigurationError) as caught:
        prepare(commands.prepare(1), context)
    return str(caught.value)


def test_a_twentieth_of_the_training_set_is_held_out_by_default(storage: Path, commands: CommandsOf, context: Context) -> None:
    folder = run(commands(), context)
    train, validation = prepared(folder, "train"), prepared(folder, "validation")
    assert (len(train), len(validation)) == (95, 5)
    assert not {row["id"] for row in train} & {row["id"] for row in validation}


def test_the_hold_out_depends_on_the_seed_and_not_on_the_order(storage: Path) -> None:
    questions = [Question(f"{n:016x}", "", "", "", "") for n in range(200)]
    _, first = hold_out(questions, 0.1, seed=0)
    _, reversed_order = hold_out(questions[::-1], 0.1, seed=0)
    _, other_seed = hold_out(questions, 0.1, seed=1)
    assert {q.id for q in first} == {q.id for q in reversed_order}
    assert {q.id for q in first} != {q.id for q in other_seed}


def test_a_completion_has_its_special_tokens_once_and_no_end(storage: Path, commands: CommandsOf, context: Context) -> None:
    row = prepared(
        run(commands(dataset=dataset(prompt={"mode": "Completion", "template": "Q: {{ question }} A:"})), context), "train"
    )[0]
    assert row["prompt"] == f"Q: {row['question']} A:"
    assert row["promptIds"][0] == 0
    assert row["promptIds"].count(0) == 1
    assert row["promptIds"][-1] != 1


def test_a_chat_prompt_is_the_chat_template_and_nothing_more(storage: Path, commands: CommandsOf, context: Context) -> None:
    row = prepared(run(commands(dataset=dataset(prompt={"mode": "Chat", "system": "Be brief."})), context), "train")[0]
    assert row["prompt"] == f"<s>system: Be brief.</s><s>user: {row['question']}</s><s>assistant: "
    assert row["promptIds"].count(0) == 3, "a second beginning-of-sequence token would be one too many"


def test_training_questions_that_are_evaluated_are_removed_whatever_their_spacing_and_case(
    storage: Path, commands: CommandsOf, context: Context
) -> None:
    write_jsonl(storage / "eval.jsonl", [{"question": "  what IS 3  + 1? ", "answer": "4"}])
    config = commands(dataset=dataset(eval={"uri": "eval.jsonl"})).prepare(1)
    summary = prepare(config, context)
    train = prepared(Path(config.root) / config.path, "train")
    assert "What is 3 + 1?" not in [row["question"] for row in train]
    assert summary.resolved.counts["trainOverlapping"] == 1
    assert summary.resolved.counts["train"] + summary.resolved.counts["validation"] == 99


def test_a_validation_set_of_its_own_is_taken_whole(storage: Path, commands: CommandsOf, context: Context) -> None:
    write_jsonl(storage / "mine.jsonl", [{"q": "What is 500 + 1?", "answer": "501"}, {"q": "What is 7 + 1?", "answer": "8"}])
    own = dataset(validation={"uri": "mine.jsonl", "promptField": "q"})
    folder = run(commands(dataset=own), context)
    assert [row["question"] for row in prepared(folder, "validation")] == ["What is 500 + 1?", "What is 7 + 1?"]
    assert len(prepared(folder, "train")) == 99


def test_a_repeated_question_is_taken_once_and_counted(storage: Path, commands: CommandsOf, context: Context) -> None:
    write_jsonl(storage / "train.jsonl", problems(40) + problems(10))
    summary = prepare(commands().prepare(1), context)
    assert summary.resolved.counts["trainRepeated"] == 10
    assert summary.resolved.counts["train"] + summary.resolved.counts["validation"] == 40


def test_a_prompt_that_fills_the_context_is_skipped_and_counted(storage: Path, commands: CommandsOf, context: Context) -> None:
    write_jsonl(storage / "train.jsonl", [*problems(40), {"question": "long " * 100, "answer": "1"}])
    summary = prepare(commands(dataset=dataset(validation={"fraction": 0.1})).prepare(1), context)
    left_out = summary.resolved.counts.get("trainTooLong", 0) + summary.resolved.counts.get("validationTooLong", 0)
    assert left_out == 1


def test_the_base_model_is_linked_and_its_files_are_recorded(storage: Path, commands: CommandsOf, context: Context) -> None:
    folder = run(commands(), context)
    assert (folder / "model").resolve() == (storage / "model").resolve()
    record = json.loads((folder / "model.json").read_text())
    assert record["model.safetensors"]["size"] == len(WEIGHTS)
    assert (folder / "tokenizer" / "tokenizer.json").read_bytes() == (storage / "model" / "tokenizer.json").read_bytes()


def test_a_finished_prepare_is_not_repeated_even_if_its_input_is_gone(
    storage: Path, commands: CommandsOf, context: Context
) -> None:
    first = prepare(commands().prepare(1), context)
    (storage / "train.jsonl").unlink()
    assert prepare(commands().prepare(2), context) == first


def test_a_truncated_artifact_is_noticed(storage: Path, commands: CommandsOf, context: Context) -> None:
    folder = run(commands(), context)
    (folder / "train.jsonl").write_text("")
    with pytest.raises(ArtifactError, match=r"train\.jsonl: has 0 bytes, but its manifest says"):
        prepare(commands().prepare(2), context)


def test_parquet_and_json_mean_the_same_as_jsonl(storage: Path, commands: CommandsOf, context: Context) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    expected = prepared(run(commands(), context), "train")
    (storage / "train.json").write_text(json.dumps(problems(100)))
    parquet.write_table(pa.Table.from_pylist(problems(100)), storage / "train.parquet")
    for name in ("train.json", "train.parquet"):
        source = {"train": {"uri": name}, "prompt": {"mode": "Completion"}}
        assert prepared(run(commands(dataset=source), context), "train") == expected


BAD_DATA = {
    "a missing file": (
        None,
        r"spec\.dataset\.train\.uri: train\.jsonl: no such file \(looked at /.*\); a path without a scheme counts from",
    ),
    "an empty file": ("", "no rows; at least one question is needed"),
    "a line that is no JSON": ('{"question": "a", "answer": "1"}\n{oops\n', r"train\.jsonl, line 2: no JSON"),
    "a line that is no object": ("[1]\n", "line 1: expected a JSON object, found list"),
    "a row without the prompt": ('{"answer": "1"}\n', r"line 1: no field 'question' \(promptField\); the row has answer"),
    "a row without the answer": ('{"question": "a"}\n', r"line 1: no field 'answer' \(answerField\); the row has question"),
    "an empty question": ('{"question": " ", "answer": "1"}\n', "line 1: the field 'question' is empty"),
    "a reference without an answer": ('{"question": "a", "answer": "  "}\n', "line 1: field 'answer'"),
    "two answers to one question": (
        '{"question": "a", "answer": "1"}\n{"question": "A ", "answer": "2"}\n',
        r"line 2: repeats the question of train\.jsonl, line 1 with another answer",
    ),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_told_where_and_what(case: str, storage: Path, commands: CommandsOf, context: Context) -> None:
    content, expected = BAD_DATA[case]
    (storage / "train.jsonl").unlink()
    if content is not None:
        (storage / "train.jsonl").write_text(content)
    with pytest.raises(ConfigurationError, match=expected):
        prepare(commands().prepare(1), context)
    assert not list((storage / "artifacts").glob("prepare-*/manifest.json"))


def test_a_file_that_may_not_be_read_is_told(
    storage: Path, commands: CommandsOf, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may read everything
    assert "train.jsonl: may not be read by this user" in refusal(commands(), context)


def test_a_reference_that_keeps_the_parser_busy_is_told_like_any_other(
    storage: Path, commands: CommandsOf, context: Context
) -> None:
    write_jsonl(storage / "train.jsonl", [*problems(2), {"question": "a", "answer": r"\binom{999999999}{99999999}x"}])
    message = refusal(commands(pruning={"verifier": {"timeoutSeconds": 1}, "minExamples": 1}), context)
    assert "1 row cannot be used" in message
    assert "train.jsonl, line 3: field 'answer': the reference takes too long or too much memory to be read" in message


def test_all_bad_rows_are_counted_and_the_first_five_named(storage: Path, commands: CommandsOf, context: Context) -> None:
    write_jsonl(storage / "train.jsonl", [{"question": str(n)} for n in range(12)])
    message = refusal(commands(), context)
    assert "12 rows cannot be used" in message
    assert "and 7 more" in message
    assert message.count("no field") == 5


@pytest.mark.parametrize(("least", "each"), [(96, 1), (191, 2)])
def test_too_few_questions_for_a_round_are_told_before_anything_is_sampled(
    least: int, each: int, storage: Path, commands: CommandsOf, context: Context
) -> None:
    message = refusal(commands(pruning={"minExamples": least, "maxCorrectPerPrompt": each}), context)
    assert (
        f"spec.pruning.minExamples: {least}, but of 95 training questions a round keeps {95 * each} examples at most" in message
    )
    run(commands(pruning={"minExamples": least - 1, "maxCorrectPerPrompt": each}), context)


def test_as_many_examples_of_a_question_count_as_it_has_samples(storage: Path, commands: CommandsOf, context: Context) -> None:
    few = commands(pruning={"minExamples": 96, "maxCorrectPerPrompt": 2}, sampling={"samplesPerPrompt": 1})
    assert "keeps 95 examples at most (1 of each)" in refusal(few, context)


def test_a_file_of_unknown_format_is_refused(storage: Path, commands: CommandsOf, context: Context) -> None:
    (storage / "train.csv").write_text("question,answer\n")
    message = refusal(commands(dataset={"train": {"uri": "train.csv"}}), context)
    assert "expected .jsonl, .json or .parquet" in message


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("config.json", "no config.json"),
        ("model.safetensors", "no weights; looked for *.safetensors"),
        ("tokenizer.json", "no tokenizer; looked for tokenizer.json"),
    ],
)
def test_an_incomplete_model_folder_is_refused(
    missing: str, expected: str, storage: Path, commands: CommandsOf, context: Context
) -> None:
    (storage / "model" / missing).unlink()
    assert expected in refusal(commands(), context)


def test_a_model_whose_copy_lacks_a_weight_file_is_refused(storage: Path, commands: CommandsOf, context: Context) -> None:
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (storage / "model" / "model.safetensors.index.json").write_text(json.dumps(index))
    (storage / "model" / "model-1.safetensors").write_bytes(b"half")
    assert "1 of 2 weight files are missing, such as model-2.safetensors" in refusal(commands(), context)


def test_chat_without_a_chat_template_names_the_way_out(tmp_path: Path, commands: CommandsOf, context: Context) -> None:
    write_model(tmp_path / "model", chat=False)
    write_jsonl(tmp_path / "train.jsonl", problems(5))
    message = refusal(commands(dataset=dataset(prompt={"mode": "Chat"}, validation={"fraction": 0.5})), context)
    assert "spec.dataset.prompt.mode: Chat, but the model's tokenizer has no chat template; set it to Completion" in message


def test_a_template_that_asks_for_an_unknown_field_names_the_known_ones(
    storage: Path, commands: CommandsOf, context: Context
) -> None:
    message = refusal(commands(dataset=dataset(prompt={"mode": "Completion", "template": "{{ qestion }}"})), context)
    assert "'qestion' is undefined; the row has the fields answer, question" in message


def test_a_template_cannot_reach_into_python(storage: Path, commands: CommandsOf, context: Context) -> None:
    template = "{{ question.__class__.__mro__ }}"
    message = refusal(commands(dataset=dataset(prompt={"mode": "Completion", "template": template})), context)
    assert "access to attribute '__class__' of 'str' object is unsafe" in message


def test_a_hold_out_that_leaves_nothing_to_train_on_is_refused(storage: Path, commands: CommandsOf, context: Context) -> None:
    write_jsonl(storage / "train.jsonl", problems(1))
    assert "leaves none to train on" in refusal(commands(), context)
