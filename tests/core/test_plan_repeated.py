"""A plan is a pure function whose repetition changes nothing, and the status that it writes stays small."""

import json
from datetime import timedelta

import pytest

from tests.core.stage import START, Stage, starts
from tpt_runtime.core.rounds import METRICS, Rounds, StepKey
from tpt_runtime.core.status import (
    Comparison,
    Condition,
    ConditionType,
    Metric,
    PruneOutcome,
    Resolved,
    RoundStatus,
    RunStatus,
    SampleCounts,
    StepName,
    StepStatus,
)

ALL = {"Running", "Suspended", "ResourcesAvailable", "Complete", "Failed"}


def truths(stage: Stage) -> dict[str, str]:
    return {condition.type.value: f"{condition.status} {condition.reason}" for condition in stage.status.conditions}


# purity


@pytest.mark.parametrize("step", [*((step, 1) for step in (StepName.SAMPLE, StepName.PRUNE, StepName.TRAIN)), (None, 0)])
def test_a_second_plan_has_no_actions_and_the_same_status(step):
    stage = Stage().until(*step)
    before = stage.status
    made = stage.ask()
    assert (made.actions, made.status, made.events) == ((), before, ())


def test_a_plan_is_the_same_for_the_same_input_and_leaves_its_input_alone():
    stage = Stage().until(StepName.TRAIN, 1).fails()
    status = json.dumps(stage.run.status)
    assert stage.ask() == stage.ask()
    assert json.dumps(stage.run.status) == status


# size


def worst_case(rounds: int) -> list[RoundStatus]:
    """Rounds with as much in them as the steps can ever put there: 64 rounds, each complete after raising maxRounds."""
    numbers = range(rounds + 1)
    when = START + timedelta(microseconds=0)
    figures = [f"{data}/pass@{k}" for data in ("validation", "eval") for k in (1, 16, 256, 1024)]
    others = [f"train/{'x' * 40}{i}" for i in range(METRICS - len(figures))]
    steps = [step for step in StepName if step is not StepName.PREPARE]
    records = [
        StepStatus(
            name=step,
            attempts=123,
            ended=123,
            generation=1234,
            failures=31,
            disruptions=92,
            missing_summaries=1,
            start_time=when,
            completion_time=when,
        )
        for step in steps
    ]
    return [
        RoundStatus(
            round=number,
            model=f"round-{number:03d}/train-0123456789abcdef/model",
            metrics=[Metric(name=name, value=1 / 3, low=1 / 7, high=2 / 3) for name in (*figures, *others)],
            samples=SampleCounts(total=10**8, correct=10**8, wrong=10**8, unparseable=10**8, truncated=10**8, timed_out=10**8),
            examples=10**8,
            outcome=PruneOutcome.NO_CORRECT_SAMPLES,
            comparison=Comparison(round=64, difference=-1 / 3, low=-2 / 3, high=1 / 3),
            steps=[StepStatus(name=StepName.PREPARE, attempts=1, ended=1, completion_time=when)] if number == 0 else records,
        )
        for number in numbers
    ]


def test_a_status_of_64_rounds_at_their_fullest_stays_below_64_kib():
    failing = StepStatus(name=StepName.FINALIZE, attempts=3, ended=3, failures=3, last_failure="x" * 1024, job_name="j" * 52)
    rounds = Rounds(worst_case(64))
    rounds.put(StepKey(64, StepName.FINALIZE), failing)
    conditions = [
        Condition(
            type=kind, status="Unknown", reason="x" * 32, message="x" * 1024, observed_generation=99, last_transition_time=START
        )
        for kind in ConditionType
    ]
    resolved = Resolved(
        model_revision="a" * 40,
        data_revisions=dict.fromkeys(("train", "validation", "eval"), "a" * 40),
        counts={f"a rather long name {i}": 10**8 for i in range(16)},
    )
    status = RunStatus(
        conditions=conditions,
        start_time=START,
        completion_time=START,
        resolved=resolved,
        rounds=rounds.compacted(30),
        best_round=30,
    )
    assert len(json.dumps(status.full_wire()).encode()) < 64 * 1024


def test_compaction_keeps_what_decides_and_the_last_two_rounds_whole():
    before = worst_case(64)
    rounds = Rounds(before).compacted(30)
    assert rounds[63:] == before[63:]
    deciding = {f"{data}/pass@{k}" for data in ("validation", "eval") for k in (1, 16, 256, 1024)}
    small, best = rounds[5], rounds[30]
    assert {metric.name for metric in small.metrics} == {metric.name for metric in best.metrics} == deciding
    assert (small.metrics[0].value, small.metrics[0].low) == (0.333333, None)
    assert best.metrics[0] == before[30].metrics[0]
    assert (small.steps, best.steps) == ([], [])
    assert (small.model, small.samples, small.examples) == (before[5].model, before[5].samples, before[5].examples)


def test_steps_of_compacted_rounds_are_still_done():
    rounds = Rounds(Rounds(worst_case(64)).compacted(30))
    assert rounds.trained == 64
    assert all(rounds.done(StepKey(number, step)) for number in (0, 1, 40) for step in StepName)


def test_a_compacted_status_is_not_compacted_further():
    once = Rounds(worst_case(64)).compacted(30)
    assert Rounds(once).compacted(30) == once


@pytest.mark.parametrize("rounds", [4, 7])
def test_a_short_run_is_never_compacted(rounds):
    before = worst_case(rounds)
    assert Rounds(before).compacted(1) == before


def test_a_run_goes_on_after_compaction_as_before():
    stage = Stage(maxRounds=64).until(StepName.SAMPLE, 1)
    stage.run = stage.run.model_copy(update={"status": {"rounds": [r.full_wire() for r in Rounds(worst_case(40)).compacted(30)]}})
    stage.run = stage.run.model_copy(update={"status": {**(stage.run.status or {}), "currentRound": 40, "bestRound": 0}})
    stage.jobs.clear()
    assert starts(stage.plan()) == [("sample", 41, 1)]
    assert not stage.start.evaluate


def test_a_run_of_64_rounds_ends_and_stays_small():
    stage = Stage(values=tuple(n / 100 for n in range(65)), maxRounds=64)
    figures = [f"{data}/pass@{k}" for data in ("validation", "eval") for k in (1, 4, 16, 64)]
    figures += [
        f"{data}/{name}" for data in ("validation", "eval") for name in ("formatRate", "meanTokens", "distinct", "truncated")
    ]
    stage.figures = lambda model: dict.fromkeys(figures, model / 100 + 1 / 7)
    largest = 0
    for _ in range(220):
        stage.plan()
        largest = max(largest, len(json.dumps(stage.run.status).encode()))
        if stage.over:
            break
        stage.succeeds()
    assert (stage.over, stage.start.round, stage.status.best_round) == ("MaxRoundsReached", 64, 64)
    assert largest < 64 * 1024
    assert [stage.metric(n, "validation/pass@1").value for n in (0, 20)] == [
        pytest.approx(n / 100 + 1 / 7, abs=1e-6) for n in (0, 20)
    ]


def test_more_figures_than_the_schema_allows_push_out_those_that_decide_nothing():
    rounds = Rounds()
    rounds.add_metrics(1, [Metric(name=f"train/{i}", value=1) for i in range(METRICS)])
    rounds.add_metrics(1, [Metric(name="validation/pass@1", value=0.5)])
    names = [metric.name for metric in rounds[1].metrics]
    assert (len(names), names[0]) == (METRICS, "validation/pass@1")


def test_a_figure_that_is_told_again_replaces_the_earlier_one():
    rounds = Rounds()
    rounds.add_metrics(1, [Metric(name="train/pass@1", value=0.1)])
    rounds.add_metrics(1, [Metric(name="train/pass@1", value=0.2)])
    assert [metric.value for metric in rounds[1].metrics] == [0.2]
