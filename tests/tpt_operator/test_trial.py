"""The program that waits for the end of the chart's own test run."""

import asyncio
from typing import Any

import pytest

from tests.tpt_operator.faketime import FakeTimeLoop
from tests.tpt_operator.memory import Memory
from tpt_operator.api import RUNS, ApiError, Json, Kind
from tpt_operator.trial import told_by, wait_for_end


class Answers(Memory):
    """Answers one after the other, the last one for ever."""

    def __init__(self, *answers: Json | ApiError) -> None:
        super().__init__()
        self.answers = list(answers)

    async def get(self, kind: Kind, namespace: str, name: str) -> Json:
        assert (kind, namespace, name) == (RUNS, "team", "trial")
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, ApiError):
            raise answer
        return answer


def run(**conditions: tuple[str, str, str]) -> Json:
    told: list[Any] = [
        {"type": kind, "status": status, "reason": reason, "message": message}
        for kind, (status, reason, message) in conditions.items()
    ]
    return {"status": {"round": "1/1", "step": "train", "conditions": told}}


BUSY = run(Running=("True", "StepRunning", "train runs"), ResourcesAvailable=("True", "ResourcesFound", ""))
DONE = run(Running=("False", "Finished", ""), Complete=("True", "MaxRoundsReached", "1 of 1 rounds"))


def waited(api: Memory, seconds: float = 60.0) -> tuple[bool, list[str]]:
    said: list[str] = []
    with asyncio.Runner(loop_factory=FakeTimeLoop) as runner:
        complete = runner.run(wait_for_end(api, "team", "trial", seconds, said.append))
    return complete, said


def test_a_run_that_completes_is_followed_to_its_end():
    complete, said = waited(Answers({}, BUSY, BUSY, DONE))
    assert complete
    assert said == [
        "the operator has not looked at the run yet",
        "round 1/1: train: StepRunning: train runs",
        "round 1/1: train: MaxRoundsReached: 1 of 1 rounds",
    ]


def test_a_run_that_fails_is_not_complete_and_its_words_are_said():
    complete, said = waited(Answers(run(Failed=("True", "ConfigurationError", "no such image"), Complete=("False", "x", ""))))
    assert not complete
    assert said == ["round 1/1: train: ConfigurationError: no such image"]


def test_what_a_run_waits_for_is_said_rather_than_that_nothing_runs():
    waits = run(
        Running=("False", "WaitingForResources", ""),
        ResourcesAvailable=("False", "WaitingForResources", "0/3 nodes are available"),
        Failed=("False", "InProgress", ""),
    )
    assert told_by(waits) == "round 1/1: train: WaitingForResources: 0/3 nodes are available"


def test_a_run_that_is_not_over_in_time_is_given_up_with_the_way_to_look():
    complete, said = waited(Answers(BUSY), seconds=30)
    assert not complete
    assert said[-1] == "team/trial: not over after 30 s; see: kubectl describe sir trial -n team"


def test_an_api_server_that_does_not_answer_is_asked_again():
    complete, said = waited(Answers(ApiError("GET run", 0, "connection refused"), DONE))
    assert complete
    assert said[0] == "GET run: no answer: connection refused"


def test_a_run_that_is_not_there_is_not_waited_for():
    complete, said = waited(Memory())
    assert (complete, said) == (False, ["team/trial: there is no such run"])


@pytest.mark.parametrize("answer", [{}, {"status": {}}])
def test_a_run_without_a_status_was_not_looked_at(answer: Json):
    assert told_by(answer) == "the operator has not looked at the run yet"
