"""Which step comes when, with what it is started, and where what it says goes."""

import pytest

from tests.core.stage import Stage, releases, starts
from tpt_runtime.core.actions import Plan
from tpt_runtime.core.observed import JobState
from tpt_runtime.core.paths import Paths
from tpt_runtime.core.status import PruneOutcome, RunStatus, StepName


def test_a_run_of_two_rounds_takes_its_steps_in_order():
    stage = Stage().until(None)
    assert stage.sequence() == [
        ("prepare", 0),
        ("sample", 1),
        ("prune", 1),
        ("train", 1),
        ("sample", 2),
        ("prune", 2),
        ("train", 2),
        ("evaluate", 2),
        ("grade", 2),
        ("finalize", 2),
    ]
    assert stage.over == "MaxRoundsReached"


@pytest.mark.parametrize("step", StepName)
@pytest.mark.parametrize("state", [JobState.PENDING, JobState.RUNNING])
def test_nothing_starts_while_the_step_before_has_not_ended(step, state):
    number = {StepName.PREPARE: 0, StepName.SAMPLE: 1, StepName.PRUNE: 1, StepName.TRAIN: 1}.get(step, 2)
    stage = Stage().until(step, number)
    stage.change_job(stage.start.job, state=state, started=stage.now)
    assert stage.plan().actions == ()
    assert stage.status.step is step


@pytest.mark.parametrize(("every", "evaluated"), [(1, [0, 1, 2, 3]), (2, [0, 2]), (3, [0, 3]), (5, [0])])
def test_models_are_measured_every_so_many_rounds_and_the_last_one_always(every, evaluated):
    stage = Stage(maxRounds=4, evaluation={"everyRounds": every}).until(None)
    for step in ("sample", "prune"):
        assert [start.round - 1 for start in stage.started if start.step == step and start.evaluate] == evaluated
    assert ("evaluate", 4) in stage.sequence()
    measured = [entry.round for entry in stage.status.rounds if any(m.name == "validation/pass@1" for m in entry.metrics)]
    assert measured == [*evaluated, 4]


def test_a_model_is_compared_with_the_best_one_measured_before_it():
    stage = Stage(values=(0.3, 0.6, 0.5, 0.7), maxRounds=3).until(None)
    compared = [(start.step.value, start.round, start.compare) for start in stage.started if start.step in ("prune", "grade")]
    assert compared == [("prune", 1, None), ("prune", 2, 0), ("prune", 3, 1), ("grade", 3, 1)]


def test_finalize_is_told_the_best_round_and_belongs_to_the_last_one():
    stage = Stage(values=(0.3, 0.6, 0.5)).until(None)
    assert (stage.start.step, stage.start.round, stage.start.best_round) == ("finalize", 2, 1)
    assert (stage.status.best_round, stage.status.best_model) == (1, Paths(stage.run.spec).model_dir(1))


def test_samples_are_drawn_in_shards_and_training_runs_on_nodes():
    stage = Stage(sampling={"shards": 4}, training={"nodes": 2, "batchSize": 8, "microBatchSize": 4}).until(None)
    indexes = {start.step.value: start.indexes for start in stage.started}
    assert indexes == {"prepare": 1, "sample": 4, "prune": 1, "train": 2, "evaluate": 4, "grade": 1, "finalize": 1}


def test_the_shards_of_the_next_attempt_are_those_of_the_present_spec():
    stage = Stage(sampling={"shards": 4}).until(StepName.SAMPLE, 1)
    stage.fails().plan()
    stage.spec(sampling={"shards": 2}).later(10).plan()
    assert (stage.start.attempt, stage.start.indexes) == (2, 2)


def test_what_steps_say_goes_to_the_round_that_it_speaks_of():
    stage = Stage().until(None)
    paths = Paths(stage.run.spec)
    assert stage.status.resolved is not None
    assert stage.status.resolved.counts == {"train": 100, "validation": 20}
    assert [stage.metric(n, "validation/pass@1").value for n in (0, 1, 2)] == [0.2, 0.4, 0.6]
    assert [entry.model for entry in stage.status.rounds] == [paths.model_dir(n) for n in (0, 1, 2)]
    assert stage.metric(2, "train/loss").value == 0.25
    assert (stage.round(1).examples, stage.round(1).outcome) == (100, PruneOutcome.TRAINABLE)
    samples = stage.round(1).samples
    assert samples is not None
    assert (samples.total, samples.correct, samples.wrong) == (400, 150, 250)
    assert (stage.round(0).samples, stage.round(0).examples) == (None, None)


def test_step_records_stand_in_the_round_that_they_belong_to():
    stage = Stage().until(None)
    names = {entry.round: [record.name.value for record in entry.steps] for entry in stage.status.rounds}
    assert names == {
        0: ["prepare"],
        1: ["sample", "prune", "train"],
        2: ["sample", "prune", "train", "evaluate", "grade", "finalize"],
    }


def test_what_prepare_knows_nothing_of_stays_resolved():
    stage = Stage().until(StepName.PREPARE)
    put = {**(stage.run.status or {}), "resolved": {"counts": {}, "dataRevisions": {}, "modelRevision": "pinned"}}
    stage.run = stage.run.model_copy(update={"status": put})
    said = {**stage.summaries(stage.start)[0], "resolved": {"counts": {"train": 7}, "dataRevisions": {}}}
    stage.succeeds(said).plan()
    assert stage.status.resolved is not None
    assert (stage.status.resolved.model_revision, stage.status.resolved.counts) == ("pinned", {"train": 7})


def test_the_comparison_goes_to_the_model_that_was_compared():
    stage = Stage().until(StepName.PRUNE, 2)
    said = {"round": 0, "difference": 0.2, "low": 0.1, "high": 0.3}
    stage.succeeds({**stage.pruned(stage.start), "comparison": said}).plan()
    comparison = stage.round(1).comparison
    assert comparison is not None
    assert comparison.full_wire() == said
    assert stage.round(2).comparison is None


def test_a_job_is_released_in_the_plan_that_stores_its_summary():
    stage = Stage().until(StepName.SAMPLE, 1)
    stage.succeeds()
    job = stage.job.name
    made = stage.plan()
    assert releases(made) == [job]
    assert starts(made) == [("prune", 1, 1)]
    assert stage.record(StepName.SAMPLE, 1).completion_time == stage.now


def test_a_job_that_was_not_released_because_of_a_restart_is_released_later():
    stage = Stage().until(StepName.PRUNE, 1)
    sample = next(start.job for start in stage.started if start.step is StepName.SAMPLE)
    stage.change_job(sample, released=False)
    assert releases(stage.plan()) == [sample]


def test_raised_rounds_go_on_with_the_next_round_and_do_not_measure_twice():
    stage = Stage().until(None)
    stage.spec(maxRounds=3)
    made = stage.plan()
    assert starts(made) == [("sample", 3, 1)]
    assert not stage.start.evaluate
    assert stage.over is None
    assert stage.status.completion_time is None
    before = len(stage.started)
    stage.succeeds().until(None)
    steps = [(start.step.value, start.round, start.evaluate) for start in stage.started[before:]]
    assert steps == [
        ("prune", 3, False),
        ("train", 3, False),
        ("evaluate", 3, False),
        ("grade", 3, False),
        ("finalize", 3, False),
    ]
    assert stage.over == "MaxRoundsReached"


def test_rounds_raised_during_the_closing_evaluation_measure_that_model_in_the_next_round():
    stage = Stage().until(StepName.EVALUATE, 2)
    stage.runs().spec(maxRounds=3)
    job = stage.job.name
    assert [action.job for action in stage.plan().actions] == [job]
    stage.gone().plan()
    assert (stage.start.step, stage.start.round, stage.start.evaluate) == ("sample", 3, True)


def test_the_current_round_never_falls():
    stage = Stage(values=(0.2, 0.9), objective={"goal": 0.5}).until(None)
    assert (stage.status.best_round, stage.start.step, stage.start.round) == (1, "finalize", 1)
    assert (stage.status.current_round, stage.status.round) == (2, "2/2")


def test_the_columns_show_round_best_and_phase():
    stage = Stage().until(StepName.TRAIN, 2)
    assert (stage.status.round, stage.status.best_metric, stage.status.phase) == ("2/2", "pass@1 40.0 %", "Pending")
    stage.runs().plan()
    assert stage.status.phase == "Running"


@pytest.mark.parametrize(
    ("outcome", "number", "reason", "failed", "sequence_end"),
    [
        ("NoCorrectSamples", 1, "NoCorrectSamples", True, ("prune", 1)),
        ("TooFewExamples", 1, "TooFewExamples", True, ("prune", 1)),
        ("NoCorrectSamples", 2, "NoCorrectSamples", False, ("finalize", 1)),
        ("TooFewExamples", 2, "TooFewExamples", False, ("finalize", 1)),
    ],
)
def test_nothing_to_train_on_fails_the_first_round_and_completes_a_later_one(outcome, number, reason, failed, sequence_end):
    stage = Stage().until(StepName.PRUNE, number)
    stage.succeeds(stage.pruned(stage.start, outcome, examples=0)).until(None)
    assert stage.over == reason
    assert stage.status.phase == ("Failed" if failed else "Complete")
    assert stage.sequence()[-1] == sequence_end
    assert ("train", number) not in stage.sequence()
    assert stage.status.best_round == number - 1


def test_a_barren_round_is_not_sampled_again_when_the_spec_changes():
    stage = Stage().until(StepName.PRUNE, 1)
    stage.succeeds(stage.pruned(stage.start, "NoCorrectSamples", examples=0)).until(None)
    stage.spec(maxRounds=4)
    made = stage.plan()
    assert (made.actions, stage.over) == ((), "NoCorrectSamples")


def test_a_barren_round_measures_the_last_model_if_that_was_not_due():
    stage = Stage(maxRounds=4, evaluation={"everyRounds": 2}).until(StepName.PRUNE, 2)
    stage.succeeds(stage.pruned(stage.start, "TooFewExamples", examples=3)).until(None)
    assert stage.sequence()[-3:] == [("evaluate", 1), ("grade", 1), ("finalize", 1)]


def test_a_run_that_is_being_deleted_is_left_alone():
    stage = Stage().until(StepName.TRAIN, 1)
    before = stage.status
    metadata = stage.run.metadata.model_copy(update={"deletion_timestamp": "2026-01-01T12:00:00Z"})
    stage.run = stage.run.model_copy(update={"metadata": metadata})
    assert stage.later(1000).ask() == Plan(status=before)


def test_a_run_that_is_deleted_before_its_first_plan_gets_no_status():
    stage = Stage()
    metadata = stage.run.metadata.model_copy(update={"deletion_timestamp": "2026-01-01T12:00:00Z"})
    stage.run = stage.run.model_copy(update={"metadata": metadata})
    assert stage.ask() == Plan(status=RunStatus())
