"""A run whose queue is changed: what waits there moves, and nothing else does."""

import pytest

from tests.core.stage import Stage, deletes, starts
from tpt_runtime.core.observed import JobState
from tpt_runtime.core.status import StepName

WAITS = ("team-a", None)


def waiting(queue=WAITS, **spec):
    """Return a run whose sampling waits in a queue."""
    stage = Stage(queue=spec or {"name": "team-a"}, failurePolicy={"maxAttempts": 1}).until(StepName.SAMPLE, 1)
    stage.change_job(stage.start.job, queue=queue)
    stage.plan()
    return stage


@pytest.mark.parametrize("change", [{"name": "team-b"}, {"priorityClass": "high"}])
def test_a_job_that_waits_is_replaced_for_free_once_the_run_names_another_queue_or_priority(change):
    stage = waiting()
    job = stage.job.name
    assert deletes(stage.spec(queue=change).plan()) == [job]
    assert stage.plan().actions == ()
    assert starts(stage.gone(job).plan()) == [("sample", 1, 2)]
    record = stage.record(StepName.SAMPLE, 1)
    assert (record.attempts, record.failures, record.disruptions) == (2, 0, 1)
    stage.succeeds().until(None)
    assert stage.over == "MaxRoundsReached"


def test_a_job_that_runs_stays_in_the_queue_that_admitted_it():
    stage = waiting()
    stage.change_job(stage.start.job, queue=None, state=JobState.RUNNING, started=stage.now)
    assert stage.spec(queue={"name": "team-b"}).plan().actions == ()


def test_a_job_that_waits_keeps_its_place_when_something_else_is_changed():
    assert waiting().spec(maxRounds=3).plan().actions == ()


def test_a_priority_that_somebody_else_has_given_a_job_is_left_alone():
    stage = waiting(queue=("team-a", "default"))
    assert stage.spec(maxRounds=3).plan().actions == ()


def test_a_queue_that_somebody_else_has_put_a_job_in_is_not_fought_with():
    stage = waiting(queue=("imposed", None))
    assert stage.plan().actions == ()
    job = stage.job.name
    assert deletes(stage.spec(queue={"name": "team-b"}).plan()) == [job]
    stage.gone(job).plan()
    stage.change_job(stage.start.job, queue=("imposed", None))
    assert stage.plan().actions == ()


def test_a_job_in_a_queue_that_the_run_does_not_name_is_left_alone():
    """Kueue puts Jobs without a queue into the one called `default`, where there is one."""
    stage = Stage().until(StepName.SAMPLE, 1)
    stage.change_job(stage.start.job, queue=("default", None))
    assert stage.spec(maxRounds=3).plan().actions == ()
