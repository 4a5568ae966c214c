"""Suspend and resume, at every point of a run."""

import pytest

from tests.core.stage import Stage, deletes, releases, starts
from tpt_runtime.core.observed import FailureKind, JobState
from tpt_runtime.core.status import ConditionType, StepName

EVERY_STEP = [
    (StepName.PREPARE, 0),
    (StepName.SAMPLE, 1),
    (StepName.PRUNE, 1),
    (StepName.TRAIN, 1),
    (StepName.SAMPLE, 2),
    (StepName.EVALUATE, 2),
    (StepName.GRADE, 2),
    (StepName.FINALIZE, 2),
]


@pytest.mark.parametrize(("step", "number"), EVERY_STEP)
@pytest.mark.parametrize("state", [JobState.PENDING, JobState.RUNNING])
def test_suspend_deletes_the_job_and_resume_begins_the_next_attempt_for_free(step, number, state):
    stage = Stage(failurePolicy={"maxAttempts": 1}).until(step, number)
    stage.change_job(stage.start.job, state=state, started=stage.now)
    stage.plan()
    job = stage.job.name
    made = stage.spec(suspend=True).plan()
    assert (deletes(made), starts(made)) == ([job], [])
    assert stage.status.phase == "Suspended"
    assert stage.condition(ConditionType.SUSPENDED).status == "True"
    assert stage.plan().actions == ()
    assert stage.gone(job).plan().actions == ()
    made = stage.spec(suspend=False).plan()
    assert starts(made) == [(step.value, number, 2)]
    record = stage.record(step, number)
    assert (record.failures, record.disruptions) == (0, 1)
    assert stage.condition(ConditionType.SUSPENDED).status == "False"
    stage.succeeds().until(None)
    assert stage.over == "MaxRoundsReached"


@pytest.mark.parametrize(("step", "number"), EVERY_STEP)
def test_a_step_that_ends_as_the_run_is_suspended_is_done(step, number):
    stage = Stage().until(step, number)
    job = stage.runs().succeeds().job.name
    made = stage.spec(suspend=True).plan()
    assert (deletes(made), starts(made), releases(made)) == ([], [], [job])
    assert stage.record(step, number).completion_time == stage.now
    before = len(stage.started)
    stage.spec(suspend=False).until(None)
    assert (step, number) not in {(start.step, start.round) for start in stage.started[before:]}


def test_a_failure_as_the_run_is_suspended_is_counted():
    stage = Stage().until(StepName.TRAIN, 1)
    stage.fails().spec(suspend=True).plan()
    assert stage.record(StepName.TRAIN, 1).failures == 1


def test_a_run_that_begins_suspended_waits():
    stage = Stage(suspend=True)
    assert stage.plan().actions == ()
    assert stage.status.phase == "Suspended"
    assert starts(stage.spec(suspend=False).plan()) == [("prepare", 0, 1)]


def test_resume_waits_until_the_old_job_is_gone():
    stage = Stage().until(StepName.TRAIN, 1).runs()
    job = stage.job.name
    stage.spec(suspend=True).plan()
    assert starts(stage.spec(suspend=False).plan()) == []
    assert starts(stage.gone(job).plan()) == [("train", 1, 2)]


def test_a_job_deleted_by_a_suspension_that_did_not_last_is_replaced():
    stage = Stage().until(StepName.TRAIN, 1).runs()
    made = stage.spec(suspend=True).ask()
    stage.run = stage.run.model_copy(update={"status": made.status.full_wire()})  # stopped before the Job was deleted
    job = stage.job.name
    made = stage.spec(suspend=False).plan()
    assert (deletes(made), starts(made)) == ([job], [])
    assert starts(stage.gone(job).plan()) == [("train", 1, 2)]


def test_a_job_that_turns_up_while_suspended_is_deleted():
    stage = Stage().until(StepName.TRAIN, 1)
    job = stage.job
    stage.gone().spec(suspend=True).plan()
    stage.jobs[job.name] = job
    assert deletes(stage.plan()) == [job.name]
    assert stage.record(StepName.TRAIN, 1).disruptions == 1


def test_a_job_that_was_not_seen_when_the_run_was_suspended_is_started_again_under_its_name():
    stage = Stage().until(StepName.TRAIN, 1)
    stage.gone().spec(suspend=True).plan()
    assert starts(stage.spec(suspend=False).plan()) == [("train", 1, 1)]


def test_a_process_that_says_it_was_stopped_after_a_suspension_is_not_counted_twice():
    stage = Stage().until(StepName.TRAIN, 1).runs()
    job = stage.spec(suspend=True).job.name
    stage.plan()
    stage.fails(FailureKind.DISRUPTION, "stopped on request")
    assert releases(stage.plan()) == []
    stage.change_job(job, deleting=False)
    assert releases(stage.plan()) == [job]
    assert stage.record(StepName.TRAIN, 1).disruptions == 1


def test_suspending_a_run_that_is_over_only_says_so():
    stage = Stage().until(None)
    made = stage.spec(suspend=True).plan()
    assert (made.actions, stage.over, stage.status.phase) == ((), "MaxRoundsReached", "Complete")
    assert stage.condition(ConditionType.SUSPENDED).status == "True"


def test_rounds_raised_while_suspended_wait_for_the_resume():
    stage = Stage().until(None)
    stage.spec(suspend=True, maxRounds=3)
    assert starts(stage.plan()) == []
    assert stage.status.phase == "Suspended"
    assert starts(stage.spec(suspend=False).plan()) == [("sample", 3, 1)]
