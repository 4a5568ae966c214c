"""Attempts of a step: when the next begins, what it costs, when it is enough; and Jobs that vanish, linger, or turn up."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.core.stage import Stage, deletes, releases, starts
from tpt_runtime.core.names import job_name
from tpt_runtime.core.observed import FailureKind, JobState
from tpt_runtime.core.status import ConditionType, StepName

# crashes


@pytest.mark.parametrize(("failures", "seconds"), [(1, 10), (2, 20), (3, 40), (4, 80), (5, 160), (6, 300), (7, 300), (31, 300)])
def test_the_wait_after_a_crash_doubles_up_to_five_minutes(failures, seconds):
    stage = Stage(failurePolicy={"maxAttempts": 32}).until(StepName.TRAIN, 1)
    made = stage.fails().plan()
    for _ in range(failures - 1):
        assert made.wake_at is not None
        stage.now = made.wake_at
        stage.plan()
        made = stage.fails().plan()
    assert made.wake_at == stage.now + timedelta(seconds=seconds)
    assert starts(made) == []
    assert starts(stage.later(seconds - 1).plan()) == []
    assert starts(stage.later(1).plan()) == [("train", 1, failures + 1)]


def test_the_wait_counts_from_the_end_of_the_attempt_not_from_when_it_was_seen():
    stage = Stage().until(StepName.TRAIN, 1)
    stage.fails().later(30)
    assert starts(stage.plan()) == [("train", 1, 2)]


def test_an_end_in_the_future_counts_as_now():
    stage = Stage().until(StepName.TRAIN, 1)
    stage.fails()
    stage.change_job(stage.start.job, finished=stage.now + timedelta(hours=1))
    assert stage.plan().wake_at == stage.now + timedelta(seconds=10)


def test_a_step_that_crashed_too_often_fails_the_run_with_its_last_words():
    stage = Stage(failurePolicy={"maxAttempts": 2}).until(StepName.TRAIN, 1)
    stage.fails(message="first").plan()
    stage.later(10).plan()
    made = stage.fails(message="CUDA out of memory").plan()
    assert (stage.over, stage.status.phase) == ("AttemptsExhausted", "Failed")
    message = "round 1: train: failed 2 times (failurePolicy.maxAttempts is 2): CUDA out of memory"
    assert stage.condition(ConditionType.FAILED).message == message
    assert (starts(made), made.wake_at) == ([], None)
    assert starts(stage.later(10_000).plan()) == []


def test_a_failed_run_has_no_finalize():
    stage = Stage(failurePolicy={"maxAttempts": 1}).until(StepName.TRAIN, 2)
    stage.fails().until(None)
    assert stage.start.step is StepName.TRAIN


def test_one_attempt_allowed_means_no_second_one():
    stage = Stage(failurePolicy={"maxAttempts": 1}).until(StepName.SAMPLE, 1)
    stage.fails().plan()
    assert stage.over == "AttemptsExhausted"
    assert "failed once" in stage.condition(ConditionType.FAILED).message


def test_failures_of_one_step_do_not_count_for_the_next():
    stage = Stage(failurePolicy={"maxAttempts": 2}).until(StepName.SAMPLE, 1)
    stage.fails().plan()
    stage.later(10).plan()
    stage.succeeds().plan()
    stage.fails().plan()
    assert stage.over is None
    assert starts(stage.later(10).plan()) == [("prune", 1, 2)]


def test_an_end_is_counted_once_however_often_it_is_seen():
    stage = Stage().until(StepName.TRAIN, 1)
    stage.fails()
    for _ in range(5):
        stage.plan()
    record = stage.record(StepName.TRAIN, 1)
    assert (record.attempts, record.ended, record.failures) == (1, 1, 1)


def test_a_failed_job_is_released_once_its_failure_is_stored():
    stage = Stage().until(StepName.TRAIN, 1)
    job = stage.fails().job.name
    assert releases(stage.plan()) == [job]
    assert releases(stage.plan()) == []


def test_a_job_that_fails_without_a_word_is_a_crash():
    stage = Stage().until(StepName.TRAIN, 1)
    stage.change_job(stage.start.job, state=JobState.FAILED)
    stage.plan()
    record = stage.record(StepName.TRAIN, 1)
    assert (record.failures, record.last_failure) == (1, "it failed without a word")


# configuration errors and disruptions


def test_a_configuration_error_fails_the_run_at_once():
    stage = Stage().until(StepName.PREPARE)
    stage.fails(FailureKind.CONFIGURATION, "dataset.train.uri: no such file train.jsonl").plan()
    assert stage.over == "ConfigurationError"
    assert stage.condition(ConditionType.FAILED).message == "prepare: dataset.train.uri: no such file train.jsonl"
    assert starts(stage.later(10_000).plan()) == []


def test_a_disruption_costs_nothing_and_the_next_attempt_begins_at_once():
    stage = Stage(failurePolicy={"maxAttempts": 1}).until(StepName.TRAIN, 1)
    for attempt in range(2, 8):
        stage.fails(FailureKind.DISRUPTION, "evicted")
        assert starts(stage.plan()) == [("train", 1, attempt)]
    record = stage.record(StepName.TRAIN, 1)
    assert (record.attempts, record.failures, record.disruptions) == (7, 0, 6)


# Jobs that vanish


def test_a_job_that_is_seen_being_deleted_by_hand_is_replaced_by_the_next_attempt_once_it_is_gone():
    stage = Stage(failurePolicy={"maxAttempts": 1}).until(StepName.TRAIN, 1)
    stage.runs().plan()
    first = stage.job.name
    stage.change_job(first, deleting=True)
    assert stage.plan().actions == ()
    assert starts(stage.gone(first).plan()) == [("train", 1, 2)]
    assert stage.start.job != first
    record = stage.record(StepName.TRAIN, 1)
    assert (record.failures, record.disruptions) == (0, 1)


def test_a_job_that_is_not_seen_is_started_under_the_same_name():
    stage = Stage().until(StepName.TRAIN, 1)
    first = stage.start
    stage.gone()
    made = stage.plan()
    assert made.actions == (first,)
    assert stage.record(StepName.TRAIN, 1).attempts == 1


def test_a_job_whose_creation_was_cut_off_by_a_restart_is_created_then():
    stage = Stage().until(StepName.SAMPLE, 1)
    stage.succeeds()
    made = stage.ask()
    stage.run = stage.run.model_copy(update={"status": made.status.full_wire()})
    assert starts(stage.plan()) == [("prune", 1, 1)]


def test_a_finished_job_gone_by_its_ttl_changes_nothing():
    stage = Stage().until(StepName.TRAIN, 1)
    for job in [name for name in stage.jobs if name != stage.start.job]:
        stage.gone(job)
    made = stage.plan()
    assert made.actions == ()
    assert stage.sequence() == [("prepare", 0), ("sample", 1), ("prune", 1), ("train", 1)]


def test_a_job_deleted_after_its_success_was_stored_is_not_missed():
    stage = Stage().until(StepName.TRAIN, 1)
    stage.succeeds().plan()
    train = next(start.job for start in stage.started if start.step is StepName.TRAIN)
    stage.change_job(train, deleting=True)
    assert starts(stage.plan()) == []
    assert stage.status.step is StepName.SAMPLE


def test_the_summary_of_a_job_that_is_already_being_deleted_still_counts():
    stage = Stage().until(StepName.TRAIN, 1)
    stage.succeeds()
    stage.change_job(stage.start.job, deleting=True)
    assert starts(stage.plan()) == [("sample", 2, 1)]


# Jobs that linger


def test_nothing_starts_while_a_job_is_terminating():
    stage = Stage().until(StepName.TRAIN, 1)
    stage.runs().plan()
    stage.change_job(stage.start.job, deleting=True, deleting_since=stage.now)
    for _ in range(3):
        assert starts(stage.later(300).plan()) == []
    assert stage.condition(ConditionType.RUNNING).reason == "StepTerminating"


def test_nothing_starts_while_a_live_job_of_another_step_is_terminating():
    stage = Stage(maxRounds=3).until(StepName.TRAIN, 2).runs()
    stage.plan()
    train = stage.job.name
    stage.spec(objective={"goal": 0.4}).plan()
    assert stage.jobs[train].deleting
    assert starts(stage.plan()) == []
    assert starts(stage.gone(train).plan()) == [("finalize", 1, 1)]


def test_jobs_that_are_waited_for_are_named_in_an_order_that_stays():
    stage = Stage().until(StepName.TRAIN, 1)
    stage.runs().plan()
    first = stage.job
    second = replace(first, name=job_name("example", "u1", 1, StepName.TRAIN, 2), attempt=2)
    stage.jobs = {first.name: replace(first, deleting=True), second.name: second}
    stage.spec(maxRounds=3, suspend=True).plan()
    stage.spec(suspend=False)
    stage.jobs[second.name] = second  # not deleted after all
    made = stage.plan()
    assert deletes(made) == [second.name]
    assert stage.ask().status == made.status


def test_a_finished_job_of_another_step_does_not_keep_the_next_from_starting_while_it_is_cleaned_up():
    stage = Stage().until(StepName.TRAIN, 1)
    sample = next(start.job for start in stage.started if start.step is StepName.SAMPLE)
    stage.change_job(sample, deleting=True)
    assert starts(stage.succeeds().plan()) == [("sample", 2, 1)]


def test_after_ten_minutes_of_terminating_the_user_is_told_what_to_do():
    stage = Stage().until(StepName.TRAIN, 1)
    stage.runs().plan()
    stage.change_job(stage.start.job, deleting=True, deleting_since=stage.now)
    made = stage.plan()
    assert made.wake_at == stage.now + timedelta(minutes=10)
    assert "force" not in stage.condition(ConditionType.RUNNING).message
    stage.now = made.wake_at
    made = stage.plan()
    assert (starts(made), made.wake_at) == ([], None)
    message = stage.condition(ConditionType.RUNNING).message
    assert stage.start.job in message
    assert "12:00:00 UTC, so its node may be unreachable" in message
    assert "kubectl delete pod --force" in message


def test_a_job_of_an_attempt_that_has_ended_is_deleted_before_another_starts():
    stage = Stage().until(StepName.TRAIN, 1)
    stage.runs().plan()
    old = stage.job
    stage.fails(FailureKind.DISRUPTION).plan()
    stage.jobs[old.name] = old  # what was seen before, seen again
    stage.gone()
    made = stage.plan()
    assert (deletes(made), starts(made)) == ([old.name], [])
    assert starts(stage.gone(old.name).plan()) == [("train", 1, 2)]


# Summaries that cannot be read

BROKEN = [
    pytest.param((None,), "index 0: no summary was handed in", id="missing"),
    pytest.param(({"step": "prune"},), "index 0: digest: Field required", id="incomplete"),
    pytest.param(({"step": "train", "digest": "x"},), "index 0: outcome: Field required", id="of another kind"),
    pytest.param(
        ({"step": "grade", "digest": "x", "outcome": "Trainable"},),
        "index 0: the summary is of grade, expected prune",
        id="of another step",
    ),
    pytest.param(
        ({"step": "prune", "digest": "x", "outcome": "GradedOnly"},),
        "index 0: outcome: found GradedOnly, expected a round's training set",
        id="without a training set",
    ),
    pytest.param(
        ({"step": "prune", "digest": "x", "outcome": "Trainable"},),
        "the summary does not say validation/pass@1",
        id="without the figures that were asked for",
    ),
    pytest.param(
        ({"step": "prune", "digest": "x", "outcome": "Trainable", "metrics": [{"name": "a", "value": float("nan")}]},),
        "index 0: metrics.0.value: Input should be a finite number",
        id="not a number",
    ),
]


@pytest.mark.parametrize(("summaries", "words"), BROKEN)
def test_a_step_without_a_readable_summary_is_run_once_more_and_then_fails_the_run(summaries, words):
    stage = Stage(failurePolicy={"maxAttempts": 1}).until(StepName.PRUNE, 1)
    first = stage.succeeds(*summaries).job.name
    made = stage.plan()
    assert (starts(made), releases(made)) == ([("prune", 1, 2)], [first])
    made = stage.succeeds(*summaries).plan()
    assert (starts(made), stage.over) == ([], "SummaryUnavailable")
    message = f"round 1: prune: it ended well 2 times without a summary: {words}"
    assert stage.condition(ConditionType.FAILED).message == message


def test_a_step_whose_second_summary_is_readable_is_done():
    stage = Stage().until(StepName.PRUNE, 1)
    stage.succeeds(None).plan()
    stage.succeeds().plan()
    assert stage.start.step is StepName.TRAIN


@pytest.mark.parametrize(
    ("shards", "words"),
    [
        ((0, None), "index 1: no summary was handed in"),
        ((0, 0), "index 1: the summary is of shard 0, expected 1"),
        ((1, 0), "index 0: the summary is of shard 1, expected 0"),
    ],
)
def test_every_shard_has_to_hand_in_its_own_summary(shards, words):
    stage = Stage(sampling={"shards": 2}).until(StepName.SAMPLE, 1)
    whole = stage.summaries(stage.start)
    stage.succeeds(*(None if shard is None else whole[shard] for shard in shards)).plan()
    record = stage.record(StepName.SAMPLE, 1)
    assert (record.missing_summaries, record.last_failure) == (1, words)


def test_only_the_first_node_of_a_training_has_to_hand_in_a_summary():
    stage = Stage(training={"nodes": 2}).until(StepName.TRAIN, 1)
    stage.succeeds(*stage.summaries(stage.start), None).plan()
    assert stage.start.step is StepName.SAMPLE


def test_a_job_that_succeeds_with_no_summaries_at_all_counts_as_missing_them():
    stage = Stage().until(StepName.SAMPLE, 1)
    stage.change_job(stage.start.job, state=JobState.SUCCEEDED, summaries=())
    stage.plan()
    assert stage.record(StepName.SAMPLE, 1).last_failure == "no summary was handed in"


# a changed spec


@pytest.mark.parametrize(
    ("kind", "message"), [(FailureKind.CRASH, "out of memory"), (FailureKind.CONFIGURATION, "batchSize is too large")]
)
def test_a_failed_run_goes_on_at_once_when_the_spec_changes(kind, message):
    stage = Stage(failurePolicy={"maxAttempts": 1}).until(StepName.TRAIN, 1)
    stage.fails(kind, message).plan()
    assert stage.status.phase == "Failed"
    made = stage.spec(training={"microBatchSize": 1}).plan()
    assert starts(made) == [("train", 1, 2)]
    assert stage.over is None
    assert stage.status.completion_time is None
    assert stage.record(StepName.TRAIN, 1).failures == 0


def test_it_fails_again_if_the_change_does_not_help():
    stage = Stage(failurePolicy={"maxAttempts": 2}).until(StepName.TRAIN, 1)
    stage.fails().plan()
    stage.later(10).plan()
    stage.fails().plan()
    stage.spec(training={"microBatchSize": 1}).plan()
    stage.fails().plan()
    assert stage.status.phase == "Pending"
    stage.later(10).plan()
    stage.fails().plan()
    assert (stage.over, stage.start.attempt) == ("AttemptsExhausted", 4)


def test_a_change_made_while_the_last_attempt_was_failing_is_not_lost():
    stage = Stage(failurePolicy={"maxAttempts": 1}).until(StepName.TRAIN, 1)
    stage.runs().plan()
    stage.spec(training={"microBatchSize": 1}).plan()
    assert starts(stage.fails().plan()) == [("train", 1, 2)]
    assert stage.over is None


def test_a_change_that_comes_with_the_failure_is_not_lost():
    stage = Stage(failurePolicy={"maxAttempts": 1}).until(StepName.TRAIN, 1)
    assert starts(stage.fails().spec(training={"microBatchSize": 1}).plan()) == [("train", 1, 2)]


def test_a_change_of_the_spec_leaves_the_job_in_progress_alone():
    stage = Stage().until(StepName.TRAIN, 1)
    stage.runs().plan()
    assert stage.spec(training={"microBatchSize": 1}).plan().actions == ()


def test_a_summary_missing_under_the_old_spec_does_not_count_under_the_new_one():
    stage = Stage().until(StepName.PRUNE, 1)
    stage.succeeds(None).plan()
    stage.succeeds(None).plan()
    assert stage.status.phase == "Failed"
    stage.spec(maxRounds=3).plan()
    stage.succeeds(None).plan()
    assert (stage.over, stage.start.attempt) == (None, 4)
