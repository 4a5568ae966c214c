"""What a run says of itself: conditions, an invalid spec, events."""

import json
from datetime import timedelta

from tests.core.stage import START, Stage
from tpt_runtime.core.conditions import HAND_OVER
from tpt_runtime.core.errors import Problem
from tpt_runtime.core.observed import FailureKind
from tpt_runtime.core.plan import invalid
from tpt_runtime.core.status import (
    ConditionType,
    Progress,
    StepName,
)

ALL = {"Running", "Suspended", "ResourcesAvailable", "Complete", "Failed"}


def truths(stage: Stage) -> dict[str, str]:
    return {condition.type.value: f"{condition.status} {condition.reason}" for condition in stage.status.conditions}


# conditions


def test_a_step_that_is_starting():
    stage = Stage().until(StepName.SAMPLE, 1)
    assert truths(stage) == {
        "Running": "False InProgress",
        "Suspended": "False NotSuspended",
        "ResourcesAvailable": "Unknown InProgress",
        "Complete": "False InProgress",
        "Failed": "False InProgress",
    }
    assert stage.condition(ConditionType.RUNNING).message == "round 1: sample, attempt 1 is starting"


def test_a_step_that_runs():
    stage = Stage().until(StepName.SAMPLE, 1).runs()
    stage.plan()
    assert truths(stage) == {
        "Running": "True StepRunning",
        "Suspended": "False NotSuspended",
        "ResourcesAvailable": "True ResourcesFound",
        "Complete": "False InProgress",
        "Failed": "False InProgress",
    }


def handed_over() -> Stage:
    """Return a run whose first step ran and whose second one has just begun."""
    stage = Stage().until(StepName.PREPARE).runs()
    stage.plan()
    return stage.later(60).succeeds()


def test_a_step_that_takes_over_from_one_that_ran_does_not_interrupt_the_run():
    stage = handed_over()
    made = stage.plan()
    since = stage.condition(ConditionType.RUNNING).last_transition_time
    assert truths(stage)["Running"] == "True StepRunning"
    assert truths(stage)["ResourcesAvailable"] == "True ResourcesFound"
    assert stage.condition(ConditionType.RUNNING).message == "round 1: sample, attempt 1"
    assert (since, stage.status.phase, made.wake_at) == (START, "Running", stage.now + HAND_OVER)


def test_once_its_process_runs_a_step_that_took_over_changes_nothing_in_the_status():
    stage = handed_over()
    before = stage.plan().status
    assert stage.later(1).plan().status == before
    made = stage.later(1).runs().plan()
    assert (made.status, made.wake_at) == (before, None)
    assert stage.later(60).plan().status == before


def test_a_step_that_took_over_and_is_not_running_a_little_later_is_said_to_be_starting():
    stage = handed_over()
    stage.plan()
    stage.now += HAND_OVER
    stage.plan()
    assert truths(stage)["Running"] == "False InProgress"
    assert truths(stage)["ResourcesAvailable"] == "Unknown InProgress"
    assert stage.status.phase == "Pending"


def test_what_blocks_a_step_that_took_over_is_said_at_once():
    stage = handed_over()
    stage.plan()
    stage.change_job(stage.start.job, blocked="0/3 nodes are available")
    stage.plan()
    assert truths(stage)["Running"] == "False WaitingForResources"


def test_a_second_attempt_does_not_take_over():
    stage = handed_over()
    stage.plan()
    stage.fails()
    stage.plan()
    assert truths(stage)["Running"] == "False BackingOff"
    stage.later(10).plan()
    assert truths(stage)["Running"] == "False InProgress"


def test_a_step_that_waits_for_resources():
    stage = Stage().until(StepName.SAMPLE, 1)
    stage.change_job(stage.start.job, blocked="0/3 nodes are available")
    stage.plan()
    assert truths(stage)["Running"] == "False WaitingForResources"
    assert truths(stage)["ResourcesAvailable"] == "False WaitingForResources"
    message = stage.condition(ConditionType.RESOURCES_AVAILABLE).message
    assert message == "round 1: sample, attempt 1: 0/3 nodes are available"


def test_a_step_between_two_attempts():
    stage = Stage().until(StepName.SAMPLE, 1).fails(message="CUDA out of memory")
    stage.plan()
    assert truths(stage)["Running"] == "False BackingOff"
    message = stage.condition(ConditionType.RUNNING).message
    assert message == "round 1: sample: attempt 2 begins at 12:00:10 UTC; the last one said: CUDA out of memory"


def test_a_run_that_is_suspended():
    stage = Stage(suspend=True)
    stage.plan()
    assert truths(stage) == {
        "Running": "False SuspendRequested",
        "Suspended": "True SuspendRequested",
        "ResourcesAvailable": "Unknown SuspendRequested",
        "Complete": "False InProgress",
        "Failed": "False InProgress",
    }
    message = stage.condition(ConditionType.SUSPENDED).message
    assert message == "spec.suspend is true; once it is false, the run goes on with prepare"


def test_a_run_that_is_complete():
    assert truths(Stage().until(None)) == {
        "Running": "False Finished",
        "Suspended": "False NotSuspended",
        "ResourcesAvailable": "Unknown Finished",
        "Complete": "True MaxRoundsReached",
        "Failed": "False Finished",
    }


def test_a_run_that_has_failed():
    stage = Stage().until(StepName.PREPARE).fails(FailureKind.CONFIGURATION, "no such file")
    stage.plan()
    assert truths(stage) == {
        "Running": "False Finished",
        "Suspended": "False NotSuspended",
        "ResourcesAvailable": "Unknown Finished",
        "Complete": "False Finished",
        "Failed": "True ConfigurationError",
    }
    assert (stage.status.completion_time, stage.status.step) == (stage.now, None)


def test_the_time_of_a_condition_changes_only_when_its_status_does():
    stage = Stage().until(StepName.SAMPLE, 1)
    stage.later(10).runs().plan()
    since = stage.now
    assert stage.condition(ConditionType.RUNNING).last_transition_time == since
    stage.later(10).spec(failurePolicy={"maxAttempts": 5}).plan()
    running = stage.condition(ConditionType.RUNNING)
    assert (running.last_transition_time, running.observed_generation) == (since, 2)
    assert stage.condition(ConditionType.COMPLETE).last_transition_time == START


def test_every_condition_speaks_of_the_present_generation():
    stage = Stage().until(StepName.SAMPLE, 1)
    stage.spec(maxRounds=3).plan()
    assert {condition.observed_generation for condition in stage.status.conditions} == {2}
    assert stage.status.observed_generation == 2


def test_progress_is_that_of_the_job_in_progress():
    stage = Stage().until(StepName.SAMPLE, 1).runs()
    stage.change_job(stage.start.job, progress=Progress(completed=3, total=8))
    stage.plan()
    assert stage.status.progress == Progress(completed=3, total=8)
    stage.succeeds().plan()
    assert stage.status.progress is None


def test_a_long_message_is_cut_to_what_the_schema_allows():
    stage = Stage(failurePolicy={"maxAttempts": 1}).until(StepName.TRAIN, 1).fails(message="x" * 5000)
    stage.plan()
    message = stage.condition(ConditionType.FAILED).message
    assert (len(message.encode()), message[-1]) == (1024, "…")
    assert len((stage.record(StepName.TRAIN, 1).last_failure or "").encode()) == 1024


def test_a_message_is_cut_between_characters():
    stage = Stage(failurePolicy={"maxAttempts": 1}).until(StepName.TRAIN, 1).fails(message="x" + "é" * 5000)
    stage.plan()
    message = stage.record(StepName.TRAIN, 1).last_failure or ""
    assert message == "x" + "é" * 510 + "…"


def test_times_are_kept_to_the_second():
    stage = Stage()
    stage.now += timedelta(microseconds=123456)
    stage.until(None)
    assert ".123" not in json.dumps(stage.run.status)
    assert stage.status.start_time == START


# an invalid spec

PROBLEMS = (Problem("spec.maxRounds", "must be a whole number from 1 to 64, found 0"), Problem("spec.model", "is required"))


def test_an_invalid_spec_fails_the_run_with_every_problem():
    stage = Stage()
    status = invalid(stage.run.metadata, None, PROBLEMS, stage.now)
    failed = next(condition for condition in status.conditions if condition.type is ConditionType.FAILED)
    assert (failed.status, failed.reason, status.phase) == ("True", "InvalidSpec", "Failed")
    assert failed.message == "spec.maxRounds: must be a whole number from 1 to 64, found 0; spec.model: is required"
    assert {condition.type.value for condition in status.conditions} == ALL
    assert status.completion_time == stage.now


def test_an_invalid_spec_keeps_what_the_run_has_done_and_a_valid_one_goes_on():
    stage = Stage().until(StepName.TRAIN, 1).runs()
    stage.plan()
    before = stage.status
    status = invalid(stage.run.metadata, stage.run.status, PROBLEMS, stage.later(60).now)
    assert status.rounds == before.rounds
    stage.run = stage.run.model_copy(update={"status": status.full_wire()})
    assert stage.plan().actions == ()
    assert truths(stage)["Failed"] == "False InProgress"
    assert (stage.status.phase, stage.status.completion_time) == ("Running", None)


def test_an_invalid_spec_is_told_once():
    stage = Stage()
    first = invalid(stage.run.metadata, None, PROBLEMS, stage.now)
    assert invalid(stage.run.metadata, first.full_wire(), PROBLEMS, stage.later(60).now) == first


def test_a_suspended_run_with_an_invalid_spec_is_still_called_suspended():
    stage = Stage(suspend=True)
    stage.plan()
    status = invalid(stage.run.metadata, stage.run.status, PROBLEMS, stage.now)
    suspended = next(condition for condition in status.conditions if condition.type is ConditionType.SUSPENDED)
    assert (suspended.status, suspended.last_transition_time) == ("True", START)


# events


def told(stage: Stage) -> list[tuple[str, str, bool]]:
    return [(event.reason, event.message, event.warning) for event in stage.plan().events]


def test_a_run_without_trouble_is_told_step_by_step():
    stage = Stage()
    lines = []
    for _ in range(12):
        lines += [f"{reason}: {message}" for reason, message, _ in told(stage)]
        stage.succeeds()
    assert lines == [
        "StepStarted: prepare started",
        "StepDone: Prepared: train 100, validation 20",
        "StepStarted: round 1: sample started",
        "StepDone: Round 1: drew 200 samples, 9,000 tokens",
        "StepStarted: round 1: prune started",
        "StepDone: Round 1: kept 100 of 400 samples (model 0: validation pass@1 20.0 %)",
        "StepStarted: round 1: train started",
        "StepDone: Round 1: trained model 1 on 100 examples, loss 0.250",
        "StepStarted: round 2: sample started",
        "StepDone: Round 2: drew 200 samples, 9,000 tokens",
        "StepStarted: round 2: prune started",
        "StepDone: Round 2: kept 100 of 400 samples (model 1: validation pass@1 40.0 %)",
        "StepStarted: round 2: train started",
        "StepDone: Round 2: trained model 2 on 100 examples, loss 0.250",
        "StepStarted: closing evaluation of model 2: evaluate started",
        "StepDone: Closing evaluation of model 2: 200 samples, 9,000 tokens",
        "StepStarted: closing evaluation of model 2: grade started",
        "StepDone: Model 2: validation pass@1 60.0 %",
        "StepStarted: finalize started",
        "StepDone: Wrote the report; models removed: 1, kept: 1",
        "Complete: all 2 rounds are done",
    ]


def test_shards_are_told_as_one_step():
    stage = Stage(sampling={"shards": 3}).until(StepName.SAMPLE, 1).succeeds()
    assert told(stage)[0][1] == "Round 1: drew 600 samples, 27,000 tokens"


def test_a_comparison_is_told_with_its_interval():
    stage = Stage().until(StepName.PRUNE, 2)
    said = {"round": 0, "difference": 0.2, "low": 0.105, "high": 0.295}
    stage.succeeds({**stage.pruned(stage.start), "comparison": said})
    assert told(stage)[0][1] == (
        "Round 2: kept 100 of 400 samples (model 1: validation pass@1 40.0 %, +20.0 points against model 0, "
        "95 % interval +10.5 to +29.5)"
    )


def test_ends_without_success_are_told_and_failures_are_warnings():
    stage = Stage().until(StepName.TRAIN, 1)
    stage.fails(FailureKind.DISRUPTION, "evicted")
    assert told(stage) == [
        ("StepDisrupted", "round 1: train: attempt 1 was interrupted, which costs nothing: evicted", False),
        ("StepStarted", "round 1: train started again (attempt 2)", False),
    ]
    stage.fails(FailureKind.CRASH, "CUDA out of memory")
    assert told(stage) == [("StepFailed", "round 1: train: attempt 2 failed: CUDA out of memory", True)]
    stage.later(10).plan()
    stage.succeeds(None)
    assert told(stage)[0] == (
        "SummaryMissing",
        "round 1: train: attempt 3 ended well, but its summary cannot be read: index 0: no summary was handed in",
        True,
    )


def test_the_end_of_a_run_and_its_going_on_are_told():
    stage = Stage().until(StepName.PREPARE).fails(FailureKind.CONFIGURATION, "no such file")
    assert told(stage)[-1] == ("Failed", "prepare: no such file", True)
    stage.spec(maxRounds=3)
    assert ("GoesOn", "the spec has changed: the run goes on with prepare", False) in told(stage)


def test_suspension_is_told():
    stage = Stage().until(StepName.TRAIN, 1)
    stage.spec(suspend=True)
    assert told(stage) == [("Suspended", "the run is suspended", False)]
    stage.gone().spec(suspend=False)
    assert ("Resumed", "the run is no longer suspended", False) in told(stage)


def test_a_plan_that_changes_nothing_tells_nothing():
    stage = Stage().until(StepName.TRAIN, 1)
    stage.plan()
    assert told(stage) == []
