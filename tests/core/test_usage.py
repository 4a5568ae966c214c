"""What a run has used: the time that its steps waited, and GPUs times seconds, each attempt counted once."""

from datetime import datetime, timedelta

import pytest

from tests.core.stage import START, Stage
from tpt_runtime.core.observed import JobState, ObservedJob, Span
from tpt_runtime.core.status import StepName
from tpt_runtime.core.usage import gpu_seconds, queue_seconds


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def job(**fields) -> ObservedJob:
    return ObservedJob("job", StepName.TRAIN, 1, 1, JobState.RUNNING, created=START, **fields)


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [({"started": at(40)}, 40), ({}, 100), ({"started": at(-3)}, 0), ({"started": at(1.6)}, 2)],
    ids=["until its first process", "until its end, if there was none", "never less than nothing", "in whole seconds"],
)
def test_an_attempt_waits_until_its_first_process_starts(fields, seconds):
    assert queue_seconds(job(**fields), at(100)) == seconds


def test_every_process_holds_its_gpus_while_it_runs_and_no_longer():
    spans = (Span(at(10), at(30)), Span(at(10), None), Span(at(99), at(98)))
    assert gpu_seconds(job(gpus=4, ran=spans), at(100)) == 4 * (20 + 90)
    assert gpu_seconds(job(ran=spans), at(100)) == 0


def used(stage: Stage, step: StepName, number: int = 1) -> tuple[int, int]:
    """Return the seconds that a step waited, and those of GPUs of its round."""
    return stage.record(step, number).queue_seconds, stage.round(number).gpu_seconds


def training() -> Stage:
    """A run whose training of round 1 waited for 60 s and then ran for 300 s with 2 GPUs."""
    stage = Stage().until(StepName.TRAIN, 1)
    stage.later(60).runs().change_job(stage.start.job, gpus=2, ran=(Span(stage.now, None),))
    stage.plan()
    stage.later(300)
    return stage


def test_nothing_is_told_of_an_attempt_before_it_has_ended():
    stage = training()
    stage.plan()
    assert used(stage, StepName.TRAIN) == (0, 0)


def test_an_attempt_that_succeeds_is_counted_once_however_often_it_is_seen():
    stage = training()
    began = stage.now - timedelta(seconds=300)
    stage.succeeds().change_job(stage.start.job, ran=(Span(began, stage.now),))
    for _ in range(3):
        stage.plan()
    assert used(stage, StepName.TRAIN) == (60, 600)


def test_an_attempt_that_fails_was_paid_for_as_well():
    stage = training()
    began = stage.now - timedelta(seconds=300)
    stage.fails().change_job(stage.start.job, ran=(Span(began, stage.now),))
    stage.plan()
    assert used(stage, StepName.TRAIN) == (60, 600)
    stage.later(30).plan()
    stage.later(40).runs().later(100).change_job(stage.start.job, gpus=2, ran=(Span(stage.now - timedelta(seconds=100), None),))
    stage.succeeds().plan()
    assert used(stage, StepName.TRAIN) == (100, 800)


def test_an_attempt_that_is_suspended_is_counted_up_to_then():
    stage = training()
    stage.spec(suspend=True)
    stage.plan()
    stage.later(10).plan()
    assert used(stage, StepName.TRAIN) == (60, 600)


def test_an_attempt_past_its_deadline_is_counted_up_to_then():
    stage = Stage(failurePolicy={"stepDeadlineSeconds": 200}).until(StepName.TRAIN, 1)
    stage.later(60).runs().change_job(stage.start.job, gpus=2, ran=(Span(stage.now, None),))
    stage.later(200).plan()
    stage.plan()
    assert used(stage, StepName.TRAIN) == (60, 400)


def test_time_in_a_queue_that_never_ended_counts_as_waiting():
    stage = Stage(failurePolicy={"pendingDeadlineSeconds": 90}).until(StepName.TRAIN, 1)
    stage.later(90).plan()
    assert used(stage, StepName.TRAIN) == (90, 0)
