"""A verifier of the user's own: a program that is asked line by line."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tpt_runtime.core.errors import ConfigurationError, StepFailed
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.verify.command import PROGRAM_ENDED, Command
from tpt_runtime.verify.pool import TIME_LIMIT, GradingPool
from tpt_runtime.verify.protocol import Grade

PROGRAM = (sys.executable, str(Path(__file__).with_name("closest.py")))


@pytest.fixture(name="command")
def command_fixture() -> Iterator[Command]:
    command = Command(PROGRAM)
    yield command
    command.close()


def test_its_verdicts_are_the_verdicts(command: Command) -> None:
    assert command.grade("18", "18") == Grade(Verdict.CORRECT, "18", marked=True, pattern="question 0")
    assert command.grade("19", "18") == Grade(Verdict.WRONG, "19", marked=True, pattern="question 1"), "one program, asked again"


def test_a_verdict_alone_is_enough(command: Command) -> None:
    assert command.grade('says {"verdict": "unparseable"}', "") == Grade(Verdict.UNPARSEABLE, marked=True)
    assert command.grade('says {"verdict": "wrong", "marked": false}', "") == Grade(Verdict.WRONG, marked=False)


@pytest.mark.parametrize("answer", ["yes", "[]", '{"verdict": "right"}', "{}", '{"verdict": "truncated"}'])
def test_an_answer_that_is_no_verdict_is_a_mistake_of_the_program(command: Command, answer: str) -> None:
    with pytest.raises(StepFailed, match=r"command.argv: the program answered .* one of correct, wrong, unparseable"):
        command.grade(f"says {answer}", "")


def test_a_program_that_never_gave_a_verdict_is_at_fault(command: Command) -> None:
    with pytest.raises(StepFailed, match="ended before it gave a verdict: it was too much"):
        command.grade("dies", "")


def test_a_program_that_dies_is_started_and_asked_once_more(command: Command, tmp_path: Path) -> None:
    note = str(tmp_path / "note")
    assert command.grade("18", "18").verdict is Verdict.CORRECT
    assert command.grade("dies once", note) == Grade(Verdict.WRONG, "dies once", marked=True, pattern="question 0")


def test_a_solution_that_a_working_program_dies_of_twice_has_no_verdict() -> None:
    with GradingPool(Command(PROGRAM), 60.0, workers=1) as pool:
        grades = [grade for _, grade in pool.grade((text, text, "18") for text in ("18", "dies", "19"))]
    assert [grade.verdict for grade in grades] == [Verdict.CORRECT, Verdict.TIMED_OUT, Verdict.WRONG]
    assert grades[1].pattern == PROGRAM_ENDED


def test_it_gets_no_token(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_not_for_programs")
    found = command.grade("environment", "").answer
    assert found is not None
    assert "PATH" in found.split()
    assert "HF_TOKEN" not in found.split()


def test_its_memory_is_limited() -> None:
    command = Command(PROGRAM, memory_mebibytes=256)
    try:
        with pytest.raises(StepFailed, match="MemoryError"):
            command.grade("memory", "")
    finally:
        command.close()


def test_a_verdict_that_takes_too_long_is_ended_with_its_program(tmp_path: Path) -> None:
    with GradingPool(Command(PROGRAM), 2.0, workers=1) as pool:
        stream = [(text, text, "18") for text in ("18", "sleeps", "19")]
        grades = [grade for _, grade in pool.grade(stream)]
    assert [grade.verdict for grade in grades] == [Verdict.CORRECT, Verdict.TIMED_OUT, Verdict.WRONG]
    assert grades[1].pattern == TIME_LIMIT


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationError, match="'no-such-verifier' is no program on PATH"):
        Command(("no-such-verifier",)).find()


def test_the_example_of_the_documentation_grades() -> None:
    example = Path(__file__).parents[2] / "examples" / "code" / "closest.py"
    command = Command((sys.executable, str(example), "0.01"))
    try:
        found = [command.grade(text, "3.14159").verdict for text in ("it is 3.14", "3.14, no: 3.5", "nothing")]
    finally:
        command.close()
    assert found == [Verdict.CORRECT, Verdict.WRONG, Verdict.UNPARSEABLE]
