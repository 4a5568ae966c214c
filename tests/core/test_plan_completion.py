"""When a run is complete, why, and which model is the best: derived anew in every plan, so that a changed spec counts at once."""

import pytest

from tests.core.stage import Stage, deletes, starts
from tpt_runtime.core.completion import best_round, rounds_without_gain
from tpt_runtime.core.status import ConditionType, StepName


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, None),
        ({0: 0.4}, 0),
        ({0: 0.4, 1: 0.5, 2: 0.45}, 1),
        ({0: 0.5, 1: 0.4}, 0),
        ({0: 0.4, 1: 0.5, 2: 0.5}, 1),
        ({0: 0.0, 2: 0.0}, 0),
    ],
)
def test_the_best_round_has_the_highest_value_and_is_the_earliest_of_equals(values, expected):
    assert best_round(values) == expected


@pytest.mark.parametrize(
    ("values", "min_delta", "expected"),
    [
        ({}, 0.0, 0),
        ({0: 0.4}, 0.0, 0),
        ({0: 0.4, 1: 0.5}, 0.0, 0),
        ({0: 0.4, 1: 0.4}, 0.0, 1),
        ({0: 0.4, 1: 0.3, 2: 0.39}, 0.0, 2),
        ({0: 0.4, 1: 0.3, 2: 0.41}, 0.0, 0),
        ({0: 0.4, 1: 0.5, 2: 0.45, 3: 0.48}, 0.0, 2),
        ({0: 0.4, 2: 0.3, 3: 0.3}, 0.0, 2),
        ({0: 0.46, 1: 0.465}, 0.005, 1),
        ({0: 0.46, 1: 0.4651}, 0.005, 0),
    ],
)
def test_gain_is_counted_against_the_best_before_and_has_to_exceed_the_least_gain(values, min_delta, expected):
    assert rounds_without_gain(values, min_delta) == expected


@pytest.mark.parametrize(
    ("values", "goal", "reason", "last_model", "trained"),
    [
        ((0.2, 0.4, 0.6), 0.8, "MaxRoundsReached", 2, [1, 2]),
        ((0.2, 0.4, 0.6), 0.6, "GoalReached", 2, [1, 2]),
        ((0.2, 0.4, 0.6), 0.4, "GoalReached", 1, [1]),
        ((0.2, 0.4, 0.6), 0.1, "GoalReached", 0, []),
    ],
)
def test_a_run_is_complete_at_the_first_model_that_reaches_the_goal(values, goal, reason, last_model, trained):
    stage = Stage(values=values, objective={"goal": goal}).until(None)
    assert stage.over == reason
    assert [start.round for start in stage.started if start.step is StepName.TRAIN] == trained
    assert (stage.start.step, stage.start.round) == ("finalize", last_model)


def test_the_goal_is_measured_on_validation_never_on_eval():
    stage = Stage(values=(0.49, 0.49, 0.49), objective={"goal": 0.5})
    stage.figures = lambda model: {"validation/pass@1": 0.49, "eval/pass@1": 0.9}
    assert stage.until(None).over == "MaxRoundsReached"


def test_a_reached_goal_goes_before_nothing_to_train_on():
    stage = Stage(values=(0.9,), objective={"goal": 0.8}).until(StepName.PRUNE, 1)
    stage.succeeds(stage.pruned(stage.start, "NoCorrectSamples", examples=0)).until(None)
    assert (stage.over, stage.status.phase) == ("GoalReached", "Complete")


@pytest.mark.parametrize(
    ("values", "early", "reason", "last_model"),
    [
        ((0.2, 0.4, 0.6, 0.8), {"patienceRounds": 1}, "MaxRoundsReached", 3),
        ((0.4, 0.3, 0.6, 0.8), {"patienceRounds": 1}, "EarlyStopped", 1),
        ((0.4, 0.3, 0.6, 0.8), {"patienceRounds": 2}, "MaxRoundsReached", 3),
        ((0.4, 0.3, 0.2, 0.8), {"patienceRounds": 2}, "EarlyStopped", 2),
        ((0.4, 0.44, 0.6, 0.8), {"patienceRounds": 1, "minDelta": 0.05}, "EarlyStopped", 1),
        ((0.4, 0.46, 0.6, 0.8), {"patienceRounds": 1, "minDelta": 0.05}, "MaxRoundsReached", 3),
    ],
)
def test_a_run_stops_early_once_patience_is_spent(values, early, reason, last_model):
    stage = Stage(values=values, maxRounds=3, objective={"earlyStopping": early}).until(None)
    assert (stage.over, stage.start.round) == (reason, last_model)


def test_patience_counts_measured_rounds_only():
    early = {"earlyStopping": {"patienceRounds": 2}}
    stage = Stage(values=(0.4, 0.1, 0.3, 0.1, 0.2), maxRounds=6, evaluation={"everyRounds": 2}, objective=early).until(None)
    assert (stage.over, stage.start.round) == ("EarlyStopped", 4)


def test_the_model_of_an_early_stop_is_not_measured_again():
    stage = Stage(values=(0.4, 0.3), maxRounds=3, objective={"earlyStopping": {"patienceRounds": 1}}).until(None)
    assert stage.sequence()[-2:] == [("prune", 2), ("finalize", 1)]


@pytest.mark.parametrize(
    ("objective", "change"),
    [
        ({"goal": 0.4}, {"objective": {"goal": 0.9}}),
        ({"goal": 0.4}, {"objective": {"goal": None}}),
        ({"earlyStopping": {"patienceRounds": 1}}, {"objective": {"earlyStopping": {"patienceRounds": 2}}}),
        ({"earlyStopping": {"patienceRounds": 1}}, {"objective": {"earlyStopping": None}}),
    ],
)
def test_a_complete_run_goes_on_where_it_was_once_the_spec_makes_its_reason_untrue(objective, change):
    values = (0.4, 0.4, 0.5)
    stage = Stage(values=values, maxRounds=3, objective=objective).until(None)
    assert stage.status.phase == "Complete"
    last = stage.start.round
    before = len(stage.started)
    stage.spec(**change)
    stage.plan()
    assert stage.over is None
    stage.succeeds().until(None)
    repeated = {(start.step, start.round) for start in stage.started[:before]} & {
        (start.step, start.round) for start in stage.started[before:]
    }
    assert repeated == set()
    assert stage.start.round > last
    assert stage.over is not None


def test_a_change_that_leaves_the_reason_true_leaves_the_run_complete():
    stage = Stage().until(None)
    before = stage.status
    stage.later(60).spec(failurePolicy={"maxAttempts": 5})
    made = stage.plan()
    assert made.actions == ()
    assert stage.over == "MaxRoundsReached"
    assert stage.status.completion_time == before.completion_time
    assert stage.condition(ConditionType.COMPLETE).observed_generation == 2
    assert stage.condition(ConditionType.COMPLETE).last_transition_time == before.completion_time


def test_more_rounds_for_a_run_out_of_patience_change_only_the_reason():
    early = {"earlyStopping": {"patienceRounds": 2}}
    stage = Stage(values=(0.4, 0.3, 0.2), objective=early).until(None)
    assert stage.over == "MaxRoundsReached"
    stage.spec(maxRounds=4)
    made = stage.plan()
    assert (made.actions, stage.over) == ((), "EarlyStopped")


def test_a_goal_that_is_lowered_below_a_measured_model_ends_the_run_at_once():
    stage = Stage(maxRounds=3).until(StepName.TRAIN, 2).runs()
    stage.plan()
    job = stage.job.name
    stage.spec(objective={"goal": 0.4})
    made = stage.plan()
    assert (deletes(made), starts(made)) == ([job], [])
    stage.gone().plan()
    assert (stage.start.step, stage.start.round) == ("finalize", 1)
    stage.succeeds().plan()
    assert stage.over == "GoalReached"


def test_a_training_that_ends_as_the_goal_is_lowered_is_not_lost():
    stage = Stage(maxRounds=3).until(StepName.TRAIN, 2)
    stage.succeeds().spec(objective={"goal": 0.4}).until(None)
    assert stage.sequence()[-3:] == [("evaluate", 2), ("grade", 2), ("finalize", 2)]
    assert stage.over == "GoalReached"
    assert stage.status.best_round == 2


def test_another_metric_makes_another_model_the_best_and_the_report_anew():
    stage = Stage()
    stage.figures = lambda model: {
        "validation/pass@1": (0.2, 0.5, 0.4)[model],
        "validation/pass@4": (0.5, 0.6, 0.7)[model],
    }
    stage.until(None)
    assert (stage.status.best_round, stage.start.best_round) == (1, 1)
    stage.spec(objective={"metric": "pass@4"})
    stage.plan()
    assert (stage.start.step, stage.start.attempt, stage.start.best_round) == ("finalize", 2, 2)
    assert stage.status.phase == "Pending"
    stage.succeeds().plan()
    assert (stage.over, stage.status.best_round, stage.status.best_metric) == ("MaxRoundsReached", 2, "pass@4 70.0 %")


def test_a_report_under_way_is_made_anew_if_another_model_becomes_the_best():
    stage = Stage()
    stage.figures = lambda model: {
        "validation/pass@1": (0.2, 0.5, 0.4)[model],
        "validation/pass@4": (0.5, 0.6, 0.7)[model],
    }
    stage.until(StepName.FINALIZE, 2).runs()
    job = stage.job.name
    stage.spec(objective={"metric": "pass@4"})
    assert deletes(stage.plan()) == [job]
    stage.gone(job).plan()
    assert (stage.start.step, stage.start.attempt, stage.start.best_round) == ("finalize", 2, 2)


def test_the_base_model_may_be_the_best():
    stage = Stage(values=(0.5, 0.4, 0.3)).until(None)
    assert (stage.status.best_round, stage.status.best_model) == (0, stage.round(0).model)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "all 2 rounds are done"),
        ({"objective": {"goal": 0.6}}, "model 2 has reached the goal: pass@1 60.0 % on validation, the goal is 60.0 %"),
    ],
)
def test_the_reason_is_told_in_a_sentence(change, words):
    assert Stage(**change).until(None).condition(ConditionType.COMPLETE).message == words


def test_an_early_stop_and_a_barren_round_say_what_was_found():
    stage = Stage(values=(0.4, 0.3), objective={"earlyStopping": {"patienceRounds": 1, "minDelta": 0.01}}).until(None)
    assert (
        stage.condition(ConditionType.COMPLETE).message
        == "1 measured model was not by more than 1.0 % better than the best before"
    )
    stage = Stage().until(StepName.PRUNE, 1)
    stage.succeeds(stage.pruned(stage.start, "TooFewExamples", examples=3)).until(None)
    message = stage.condition(ConditionType.FAILED).message
    assert message.startswith("round 1: 3 examples were kept of 400 samples, fewer than pruning.minExamples=32; read the samples")
