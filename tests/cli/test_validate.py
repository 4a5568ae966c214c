"""`tpt validate`."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Tpt = Callable[..., Any]
Write = Callable[..., Path]


def test_a_valid_file_is_called_valid(tpt: Tpt, write_run: Write) -> None:
    result = tpt("validate", write_run())
    assert (result.exit_code, result.stdout) == (0, "run.yaml: small is valid\n")


def test_every_problem_of_every_file_is_reported(tpt: Tpt, write_run: Write) -> None:
    good = write_run("good.yaml")
    wrong = write_run("wrong.yaml", sampling={"samplesPerPromt": 3, "temperature": "hot"})
    worse = write_run("worse.yaml", maxRounds=0)
    result = tpt("validate", wrong, good, worse, "missing.yaml")
    assert result.exit_code == 64
    assert "good.yaml: small is valid" in result.stdout
    for text in ("did you mean samplesPerPrompt?", "spec.sampling.temperature", "spec.maxRounds", "missing.yaml"):
        assert text in result.stderr


def test_every_run_of_a_file_is_checked(tpt: Tpt, write_run: Write, here: Path) -> None:
    texts = [write_run(maxRounds=rounds).read_text() for rounds in (1, 0, -1)]
    (here / "all.yaml").write_text("---\n".join(texts))
    result = tpt("validate", "all.yaml")
    assert result.exit_code == 64
    assert "all.yaml, resource 2" in result.stderr
    assert "all.yaml, resource 3" in result.stderr


class TestData:
    def test_two_prompts_and_their_references_are_shown(self, tpt: Tpt, write_run: Write, write_data: Write) -> None:
        write_data()
        prompt = {"mode": "Completion", "template": "Q: {{ question }} A:"}
        result = tpt("validate", "--data", write_run(dataset={"train": {"uri": "train.jsonl"}, "prompt": prompt}))
        assert result.exit_code == 0
        assert "questions: 19 train, 1 validation" in result.stdout
        shown = re.findall(r"Q: What is (\d+) \+ 1\? A:\n.*as Math reads it: (\d+)\n", result.stdout)
        assert len(shown) == 2
        assert all(int(answer) == int(number) + 1 for number, answer in shown)

    @pytest.mark.parametrize(("reference", "read"), [("1,080", "1,080"), ("7", "7"), (r"\\frac{1}{2}", "1/2")])
    def test_a_bare_reference_is_read_too(self, reference: str, read: str, tpt: Tpt, write_run: Write, here: Path) -> None:
        rows = [f'{{"question": "{name}?", "answer": "{reference}"}}\n' for name in "abc"]
        (here / "train.jsonl").write_text("".join(rows))
        result = tpt("validate", "--data", "--workdir", ".", write_run())
        assert result.stdout.count(f"as Math reads it: {read}\n") == 2

    def test_in_chat_mode_the_system_message_is_told(self, tpt: Tpt, write_run: Write, write_data: Write) -> None:
        write_data()
        prompt = {"mode": "Chat", "system": "Be careful."}
        result = tpt("validate", "--data", write_run(dataset={"train": {"uri": "train.jsonl"}, "prompt": prompt}))
        assert "after the system message 'Be careful.'" in result.stdout

    def test_a_missing_file_says_where_it_was_looked_for(self, tpt: Tpt, write_run: Write, here: Path) -> None:
        result = tpt("validate", "--data", write_run())
        assert result.exit_code == 64
        assert str(here / "runs" / "small" / "train.jsonl") in result.stderr

    def test_a_field_that_is_not_there_is_reported(self, tpt: Tpt, write_run: Write, write_data: Write) -> None:
        write_data(question="problem")
        result = tpt("validate", "--data", write_run())
        assert result.exit_code == 64
        assert "no field 'question'" in result.stderr

    @pytest.mark.parametrize("flag", [[], ["--data"]])
    def test_data_is_read_only_when_asked_for(self, flag: list[str], tpt: Tpt, write_run: Write) -> None:
        assert tpt("validate", *flag, write_run()).exit_code == (64 if flag else 0)
