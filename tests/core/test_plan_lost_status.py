"""A status that was lost or is old, and Jobs seen twice or out of order: nothing is done twice."""

from dataclasses import replace
from datetime import timedelta

from tests.core.stage import START, Stage, deletes, releases, starts
from tpt_runtime.core.names import job_name
from tpt_runtime.core.observed import FailureKind, JobState, ObservedJob
from tpt_runtime.core.status import ConditionType, StepName, StepStatus

# a lost or older status


def lose_status(stage: Stage) -> None:
    stage.run = stage.run.model_copy(update={"status": None})


def test_a_run_whose_status_was_lost_takes_its_steps_again_from_the_first():
    stage = Stage().until(StepName.TRAIN, 1)
    for name in list(stage.jobs):
        stage.gone(name)
    lose_status(stage)
    assert starts(stage.plan()) == [("prepare", 0, 1)]


def test_attempt_numbers_go_on_above_those_that_are_seen():
    stage = Stage().until(StepName.PREPARE)
    stage.fails().plan()
    stage.later(10).plan()
    stage.fails()
    lose_status(stage)
    assert starts(stage.plan()) == [("prepare", 0, 3)]
    assert stage.record(StepName.PREPARE, 0).attempts == 3


def test_finished_jobs_that_are_still_there_are_taken_in_without_running_again():
    stage = Stage().until(StepName.TRAIN, 1)
    lose_status(stage)
    made = stage.plan()
    assert made.actions == ()
    assert stage.status.step is StepName.TRAIN
    assert stage.metric(0, "validation/pass@1").value == 0.2


def test_a_finished_job_whose_turn_has_not_come_is_not_released():
    stage = Stage().until(StepName.TRAIN, 1).succeeds()
    train = stage.job.name
    for name in [name for name in stage.jobs if name != train]:
        stage.gone(name)
    lose_status(stage)
    assert releases(stage.plan()) == []
    stage.succeeds().until(StepName.SAMPLE, 2)
    assert stage.jobs[train].released
    assert stage.record(StepName.TRAIN, 1).attempts == 1


def test_a_live_job_whose_turn_has_not_come_is_left_alone_and_taken_over_then():
    stage = Stage().until(StepName.TRAIN, 1).runs()
    train = stage.job.name
    for name in [name for name in stage.jobs if name != train]:
        stage.gone(name)
    lose_status(stage)
    stage.plan()
    assert [starts(stage.succeeds().plan()) for _ in range(2)] == [[("sample", 1, 1)], [("prune", 1, 1)]]
    made = stage.succeeds().plan()
    assert (starts(made), deletes(made)) == ([], [])
    assert stage.record(StepName.TRAIN, 1).attempts == 1
    assert stage.condition(ConditionType.RUNNING).reason == "StepRunning"


def test_attempts_that_nobody_saw_end_count_as_disrupted():
    stage = Stage().until(StepName.PREPARE)
    lose_status(stage)
    stage.gone()
    name = job_name("example", "u1", 0, StepName.PREPARE, 4)
    stage.jobs[name] = ObservedJob(name, StepName.PREPARE, 0, 4, JobState.RUNNING, created=START, started=START)
    assert stage.plan().actions == ()
    record = stage.record(StepName.PREPARE, 0)
    assert (record.attempts, record.ended, record.disruptions) == (4, 3, 3)


def test_the_failure_of_an_attempt_that_the_status_has_not_begun_does_not_count_against_the_spec():
    stage = Stage(failurePolicy={"maxAttempts": 1}).until(StepName.PREPARE)
    name = job_name("example", "u1", 0, StepName.PREPARE, 3)
    stage.jobs[name] = replace(stage.fails().job, name=name, attempt=3)
    del stage.jobs[stage.start.job]
    assert starts(stage.plan()) == [("prepare", 0, 4)]
    record = stage.record(StepName.PREPARE, 0)
    assert (record.disruptions, record.failures, record.generation) == (2, 0, 1)
    stage.fails().plan()
    assert stage.over == "AttemptsExhausted"


def test_a_status_that_cannot_be_read_is_as_good_as_lost_and_that_is_told():
    stage = Stage().until(StepName.TRAIN, 1)
    stage.run = stage.run.model_copy(update={"status": {"phase": "Running", "unheardOf": 1}})
    made = stage.plan()
    assert stage.status.step is StepName.TRAIN
    assert [event.reason for event in made.events if event.warning] == ["StatusUnreadable"]


def test_an_empty_status_is_no_status():
    stage = Stage()
    stage.run = stage.run.model_copy(update={"status": {}})
    made = stage.plan()
    assert starts(made) == [("prepare", 0, 1)]
    assert not any(event.warning for event in made.events)


def test_a_status_older_than_the_jobs_deletes_nothing():
    stage = Stage().until(StepName.PRUNE, 1)
    old = stage.run
    stage.succeeds().plan()
    stage.runs()
    stage.run = old
    made = stage.plan()
    assert (starts(made), deletes(made)) == ([], [])
    assert stage.status.step is StepName.TRAIN


def test_the_order_of_jobs_and_seeing_one_twice_make_no_difference():
    stage = Stage().until(StepName.TRAIN, 1)
    stage.fails()
    expected = stage.ask()
    stage.jobs = dict(reversed(stage.jobs.items()))
    assert stage.ask() == expected


def test_job_names_differ_by_attempt_and_never_repeat():
    stage = Stage().until(StepName.TRAIN, 1)
    for _ in range(3):
        stage.fails(FailureKind.DISRUPTION).plan()
    names = [start.job for start in stage.started if start.step is StepName.TRAIN]
    assert len(set(names)) == 4
    assert names[-1] == job_name("example", "u1", 1, StepName.TRAIN, 4)
    assert stage.record(StepName.TRAIN, 1).job_name == names[-1]


def test_a_step_that_is_done_keeps_its_counts_and_drops_what_was_of_use_only_until_then():
    stage = Stage().until(StepName.TRAIN, 1)
    stage.fails().plan()
    stage.later(10).plan()
    stage.later(5).succeeds().plan()
    record = stage.record(StepName.TRAIN, 1)
    assert record == StepStatus(
        name=StepName.TRAIN,
        attempts=2,
        ended=2,
        generation=1,
        failures=1,
        queue_seconds=5,
        start_time=START,
        completion_time=START + timedelta(seconds=15),
    )
