"""Deadlines of a step, of waiting for resources, and of the whole run; and when to plan again because of them."""

from datetime import timedelta

import pytest

from tests.core.stage import START, Stage, deletes, releases, starts
from tpt_runtime.core.observed import JobState
from tpt_runtime.core.status import ConditionType, StepName


def test_a_step_that_runs_too_long_is_ended_and_tried_again_after_a_back_off():
    stage = Stage(failurePolicy={"stepDeadlineSeconds": 100}).until(StepName.TRAIN, 1)
    made = stage.runs().plan()
    assert made.wake_at == stage.now + timedelta(seconds=100)
    assert stage.later(99).plan().actions == ()
    job = stage.job.name
    made = stage.later(1).plan()
    assert (deletes(made), starts(made)) == ([job], [])
    record = stage.record(StepName.TRAIN, 1)
    assert (record.failures, record.last_failure) == (1, "ran longer than failurePolicy.stepDeadlineSeconds=100")
    assert starts(stage.gone(job).plan()) == []
    assert starts(stage.later(10).plan()) == [("train", 1, 2)]


def test_the_step_deadline_counts_from_when_it_runs_not_from_when_it_waited():
    stage = Stage(failurePolicy={"stepDeadlineSeconds": 100}).until(StepName.TRAIN, 1)
    assert stage.later(500).plan().actions == ()
    stage.runs()
    assert stage.later(99).plan().actions == ()


def test_a_step_that_runs_too_long_every_time_fails_the_run_with_that_reason():
    stage = Stage(failurePolicy={"stepDeadlineSeconds": 100, "maxAttempts": 2}).until(StepName.TRAIN, 1)
    for _ in range(2):
        stage.runs().later(100).plan()
        stage.gone(stage.job.name).later(10).plan()
    assert (stage.over, stage.start.attempt) == ("StepDeadlineExceeded", 2)
    message = stage.condition(ConditionType.FAILED).message
    words = "failed 2 times (failurePolicy.maxAttempts is 2): ran longer than failurePolicy.stepDeadlineSeconds=100"
    assert message == f"round 1: train: {words}"


def test_a_step_that_succeeds_as_its_deadline_passes_has_succeeded():
    stage = Stage(failurePolicy={"stepDeadlineSeconds": 100}).until(StepName.TRAIN, 1)
    made = stage.runs().later(1000).succeeds().plan()
    assert (deletes(made), starts(made)) == ([], [("sample", 2, 1)])


def test_a_job_that_has_run_before_may_wait_again_as_long_as_any_other():
    stage = Stage(failurePolicy={"pendingDeadlineSeconds": 600}).until(StepName.SAMPLE, 1).runs()
    stage.later(3600).change_job(stage.start.job, state=JobState.PENDING, waiting_since=stage.now, blocked="waits for admission")
    made = stage.plan()
    assert (stage.over, made.wake_at) == (None, stage.now + timedelta(seconds=600))
    assert stage.condition(ConditionType.RUNNING).status == "False"
    assert stage.later(600).plan().status.phase == "Failed"


def test_waiting_too_long_for_resources_fails_the_run_with_the_schedulers_words():
    stage = Stage(failurePolicy={"pendingDeadlineSeconds": 600}).until(StepName.SAMPLE, 1)
    stage.change_job(stage.start.job, blocked="0/3 nodes are available: 3 Insufficient nvidia.com/gpu")
    made = stage.plan()
    assert made.wake_at == stage.now + timedelta(seconds=600)
    assert stage.condition(ConditionType.RESOURCES_AVAILABLE).status == "False"
    job = stage.job.name
    made = stage.later(600).plan()
    assert (deletes(made), stage.over) == ([job], "PendingDeadlineExceeded")
    message = stage.condition(ConditionType.FAILED).message
    assert message == (
        "round 1: sample: waited for resources longer than failurePolicy.pendingDeadlineSeconds=600: "
        "0/3 nodes are available: 3 Insufficient nvidia.com/gpu"
    )


def test_a_raised_deadline_lets_the_run_that_failed_by_it_go_on():
    stage = Stage(failurePolicy={"pendingDeadlineSeconds": 600}).until(StepName.SAMPLE, 1)
    stage.later(600).plan()
    stage.gone(stage.job.name).spec(failurePolicy={"pendingDeadlineSeconds": 6000})
    assert starts(stage.plan()) == [("sample", 1, 2)]
    assert stage.over is None


def test_a_running_job_has_no_deadline_for_waiting():
    stage = Stage(failurePolicy={"pendingDeadlineSeconds": 600}).until(StepName.SAMPLE, 1)
    made = stage.runs().later(10_000).plan()
    assert (made.actions, made.wake_at) == ((), None)


def test_a_run_past_its_deadline_fails_and_its_job_goes():
    stage = Stage(failurePolicy={"runDeadlineSeconds": 3600}).until(StepName.TRAIN, 1).runs()
    made = stage.plan()
    assert made.wake_at == START + timedelta(hours=1)
    job = stage.job.name
    made = stage.later(3600).plan()
    assert (deletes(made), starts(made), stage.over) == ([job], [], "RunDeadlineExceeded")
    message = "round 1: train was not done within failurePolicy.runDeadlineSeconds=3600"
    assert stage.condition(ConditionType.FAILED).message == message
    assert stage.record(StepName.TRAIN, 1).failures == 0


def test_a_run_past_its_deadline_goes_on_only_once_the_deadline_is_raised():
    stage = Stage(failurePolicy={"runDeadlineSeconds": 3600}).until(StepName.TRAIN, 1).runs()
    stage.later(3600).plan()
    stage.gone(stage.job.name)
    assert starts(stage.spec(maxRounds=3).plan()) == []
    assert stage.over == "RunDeadlineExceeded"
    assert starts(stage.spec(failurePolicy={"runDeadlineSeconds": 7200}).plan()) == [("train", 1, 2)]


def test_a_complete_run_has_no_deadline():
    stage = Stage(failurePolicy={"runDeadlineSeconds": 3600}).until(None)
    made = stage.later(10_000).plan()
    assert (made.actions, made.wake_at, stage.over) == ((), None, "MaxRoundsReached")


def test_time_suspended_counts_for_the_run():
    stage = Stage(suspend=True, failurePolicy={"runDeadlineSeconds": 3600})
    assert stage.plan().wake_at == START + timedelta(hours=1)
    stage.later(3600).plan()
    assert stage.over == "RunDeadlineExceeded"


@pytest.mark.parametrize("limit", ["stepDeadlineSeconds", "pendingDeadlineSeconds"])
def test_time_suspended_does_not_count_for_a_step(limit):
    stage = Stage(failurePolicy={limit: 100}).until(StepName.TRAIN, 1)
    if limit == "stepDeadlineSeconds":
        stage.runs()
    stage.plan()
    job = stage.job.name
    stage.spec(suspend=True)
    made = stage.later(100).plan()
    assert (deletes(made), made.wake_at) == ([job], None)
    record = stage.record(StepName.TRAIN, 1)
    assert (record.failures, record.disruptions) == (0, 1)
    assert stage.later(1000).plan().actions == ()
    assert stage.over is None
    stage.gone(job).spec(suspend=False).plan()
    assert stage.runs().later(99).plan().actions == ()


def test_the_next_plan_is_due_at_the_nearest_deadline():
    policy = {"runDeadlineSeconds": 3600, "stepDeadlineSeconds": 100}
    stage = Stage(failurePolicy=policy).until(StepName.TRAIN, 1)
    assert stage.plan().wake_at == START + timedelta(hours=1)
    assert stage.runs().plan().wake_at == START + timedelta(seconds=100)
    stage.later(3550).succeeds().plan()
    assert stage.runs().plan().wake_at == START + timedelta(hours=1)


def test_fractions_of_a_second_never_make_a_plan_come_too_early_for_its_own_deadline():
    stage = Stage(failurePolicy={"stepDeadlineSeconds": 100})
    stage.now += timedelta(milliseconds=700)
    stage.until(StepName.TRAIN, 1).runs()
    made = stage.plan()
    assert made.wake_at is not None
    stage.now = made.wake_at
    assert deletes(stage.plan()) == [stage.job.name]


def test_a_job_ended_by_its_deadline_is_released_when_it_turns_out_to_have_finished():
    stage = Stage(failurePolicy={"stepDeadlineSeconds": 100}).until(StepName.TRAIN, 1)
    stage.runs().later(100)
    made = stage.ask()
    stage.run = stage.run.model_copy(update={"status": made.status.full_wire()})
    job = stage.succeeds().job.name
    assert releases(stage.plan()) == [job]
