"""Whole runs of fake steps, under the real planner and real processes."""

import json
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tpt_runtime.core.actions import StartStep
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.errors import ConfigurationError, InvalidResource, StepFailed
from tpt_runtime.core.names import job_name
from tpt_runtime.core.spec import Run
from tpt_runtime.core.status import ConditionType, RunStatus, StepName, StepStatus
from tpt_runtime.local.devices import Place
from tpt_runtime.local.jobs import Jobs, Settings, Starting
from tpt_runtime.local.runner import is_true
from tpt_runtime.local.workdir import Busy

MakeRun = Callable[..., Run]
StepOf = Callable[[RunStatus, int, StepName], StepStatus]

ONE_ROUND = ["prepare-r0-0", "sample-r1-0", "prune-r1-0", "train-r1-0", "evaluate-r1-0", "grade-r1-0", "finalize-r1-0"]


class TestACompleteRun:
    def test_every_step_is_done_once_and_in_order(self, place: Any, make_run: MakeRun) -> None:
        status = place.carry_out(make_run())
        assert is_true(status, ConditionType.COMPLETE)
        assert place.work == ONE_ROUND

    def test_rounds_follow_one_another(self, place: Any, make_run: MakeRun) -> None:
        status = place.carry_out(make_run(maxRounds=2))
        assert place.work == [
            "prepare-r0-0",
            *(f"{step}-r{n}-0" for n in (1, 2) for step in ("sample", "prune", "train")),
            *(f"{step}-r2-0" for step in ("evaluate", "grade", "finalize")),
        ]
        assert status.best_round == 2

    def test_its_status_is_kept_in_the_schema_of_the_resource(self, place: Any, make_run: MakeRun) -> None:
        status = place.carry_out(make_run())
        assert RunStatus.model_validate_json(place.folder.status_file.read_bytes()) == status
        assert json.loads(place.folder.status_file.read_text())["phase"] == "Complete"

    def test_every_process_has_a_log(self, place: Any, make_run: MakeRun) -> None:
        place.carry_out(make_run())
        logs = sorted(place.folder.logs.glob("*.log"))
        assert len(logs) == len(ONE_ROUND)
        assert all('"event": "phase"' in log.read_text() for log in logs)

    def test_no_job_is_left(self, place: Any, make_run: MakeRun) -> None:
        place.carry_out(make_run())
        assert [path for path in place.folder.jobs.iterdir() if path.name] == []

    def test_what_the_planner_tells_and_what_steps_note_is_said(self, place: Any, make_run: MakeRun) -> None:
        place.carry_out(make_run())
        assert "round 1: train started" in place.screen.text
        assert "round 1 train: train-r1 attempt 1" in place.screen.text

    def test_it_does_nothing_when_it_is_asked_for_again(self, place: Any, make_run: MakeRun) -> None:
        first = place.carry_out(make_run())
        assert place.carry_out(make_run()) == first
        assert place.work == ONE_ROUND

    def test_it_goes_on_when_more_rounds_are_asked_for(self, place: Any, make_run: MakeRun) -> None:
        place.carry_out(make_run())
        status = place.carry_out(make_run(maxRounds=2))
        assert is_true(status, ConditionType.COMPLETE)
        again = ("sample", "prune", "train", "evaluate", "grade", "finalize")
        assert place.work[len(ONE_ROUND) :] == [f"{step}-r2-0" for step in again]

    def test_a_lost_status_repeats_no_work(self, place: Any, make_run: MakeRun) -> None:
        first = place.carry_out(make_run())
        place.folder.status_file.unlink()
        second = place.carry_out(make_run())
        assert place.work == ONE_ROUND
        assert [entry.metrics for entry in second.rounds] == [entry.metrics for entry in first.rounds]


class TestFailures:
    def test_a_crash_is_tried_again_after_a_back_off(self, place: Any, make_run: MakeRun, step_of: StepOf) -> None:
        place.behave(train_r1=["crash"])
        status = place.carry_out(make_run())
        record = step_of(status, 1, StepName.TRAIN)
        assert is_true(status, ConditionType.COMPLETE)
        assert (record.attempts, record.failures) == (2, 1)
        assert 5 < sum(place.clock.waits) <= 10

    def test_the_last_lines_of_a_crash_are_shown_with_the_path_of_its_log(self, place: Any, make_run: MakeRun) -> None:
        place.behave(train_r1=["crash"])
        place.carry_out(make_run())
        shown = next(text for text in place.screen.said if "the last lines of" in text)
        log = Path(shown.splitlines()[0].rpartition(" ")[2])
        assert "  | failed: the GPU fell over" in shown
        assert "the GPU fell over" in log.read_text()

    def test_a_step_that_always_crashes_fails_the_run_with_its_words(self, place: Any, make_run: MakeRun) -> None:
        place.behave(sample_r1=["crash"] * 9)
        status = place.carry_out(make_run(failurePolicy={"maxAttempts": 2}))
        failed = next(item for item in status.conditions if item.type is ConditionType.FAILED)
        assert failed.status == "True"
        assert "the GPU fell over" in failed.message
        assert place.work == ["prepare-r0-0"]

    def test_a_failed_run_that_is_asked_for_again_tries_again(self, place: Any, make_run: MakeRun) -> None:
        place.behave(sample_r1=["crash", "crash"])
        assert is_true(place.carry_out(make_run(failurePolicy={"maxAttempts": 2})), ConditionType.FAILED)
        assert is_true(place.carry_out(make_run(failurePolicy={"maxAttempts": 2})), ConditionType.COMPLETE)

    def test_a_configuration_error_fails_the_run_at_once(self, place: Any, make_run: MakeRun, step_of: StepOf) -> None:
        place.behave(prepare_r0=["configuration"])
        status = place.carry_out(make_run())
        assert is_true(status, ConditionType.FAILED)
        assert step_of(status, 0, StepName.PREPARE).attempts == 1
        assert place.screen.text.count("spec.model.uri: nothing there") == 1, "once is enough: the log says no more"
        assert place.clock.waits == []

    def test_a_kill_by_the_system_is_put_down_to_memory(self, place: Any, make_run: MakeRun, step_of: StepOf) -> None:
        place.behave(train_r1=["kill"])
        status = place.carry_out(make_run())
        assert step_of(status, 1, StepName.TRAIN).failures == 1
        assert "lack of memory" in place.screen.text

    def test_a_step_without_a_word_points_to_its_log(self, place: Any, make_run: MakeRun) -> None:
        place.behave(train_r1=["wordless"])
        place.carry_out(make_run())
        assert "exit code 3, last said: Segmentation something" in place.screen.text
        assert "  | Segmentation something" in place.screen.text

    def test_a_missing_summary_is_asked_for_once_more(self, place: Any, make_run: MakeRun, step_of: StepOf) -> None:
        place.behave(train_r1=["silent"])
        status = place.carry_out(make_run())
        assert is_true(status, ConditionType.COMPLETE)
        assert place.work == ONE_ROUND
        assert step_of(status, 1, StepName.TRAIN).missing_summaries == 1

    def test_a_step_past_its_deadline_is_ended(self, place: Any, make_run: MakeRun) -> None:
        place.behave(train_r1=["hang"])
        with place.prepared(make_run(failurePolicy={"stepDeadlineSeconds": 3600})) as runner:

            def let_an_hour_pass() -> None:
                if not place.clock.skipped and any(view.phase == "hanging" for view in place.screen.views):
                    place.clock.skipped = timedelta(hours=1)

            place.clock.on_wait = let_an_hour_pass
            status = runner.carry_out()
        assert is_true(status, ConditionType.COMPLETE)
        assert "stepDeadlineSeconds" in place.screen.text


class TestStopping:
    def interrupt_when_hanging(self, place: Any, times: int = 1) -> None:
        """Press Ctrl-C once the step hangs, and again each time the run waits for it."""
        pressed = 0

        def press() -> None:
            nonlocal pressed
            if pressed < times and any(view.phase == "hanging" for view in place.screen.views):
                pressed += 1
                place.clock.interrupt()

        place.clock.on_wait = press

    def interrupted(self, place: Any, run: Run, times: int = 1) -> RunStatus:
        with place.prepared(run) as runner:
            self.interrupt_when_hanging(place, times)
            status: RunStatus = runner.carry_out()
        return status

    def test_ctrl_c_suspends_and_the_same_command_goes_on(self, place: Any, make_run: MakeRun, step_of: StepOf) -> None:
        place.behave(train_r1=["hang"])
        suspended = self.interrupted(place, make_run())
        assert is_true(suspended, ConditionType.SUSPENDED)
        assert place.work == ONE_ROUND[:3]
        assert place.clock.stops == [signal.SIGINT]
        status = place.carry_out(make_run())
        assert is_true(status, ConditionType.COMPLETE)
        assert place.work == ONE_ROUND
        record = step_of(status, 1, StepName.TRAIN)
        assert (record.failures, record.disruptions) == (0, 1)

    def test_no_process_is_left_after_ctrl_c(self, place: Any, make_run: MakeRun) -> None:
        place.behave(train_r1=["hang"])
        self.interrupted(place, make_run())
        assert list(place.folder.jobs.iterdir()) == []

    def test_a_second_ctrl_c_ends_a_step_that_does_not_stop(self, place: Any, make_run: MakeRun) -> None:
        place.behave(train_r1=["deaf"])
        place.grace = 600.0
        status = self.interrupted(place, make_run(), times=2)
        assert is_true(status, ConditionType.SUSPENDED)
        assert is_true(place.carry_out(make_run()), ConditionType.COMPLETE)

    def test_ctrl_c_while_it_backs_off_is_heard_at_once(self, place: Any, make_run: MakeRun) -> None:
        place.behave(train_r1=["crash"])
        with place.prepared(make_run()) as runner:
            place.clock.on_wait = lambda: None if place.clock.busy() else place.clock.interrupt()
            status = runner.carry_out()
        assert is_true(status, ConditionType.SUSPENDED)
        assert place.clock.waits == []

    def test_the_kept_file_does_not_say_that_it_is_suspended(self, place: Any, make_run: MakeRun) -> None:
        place.behave(train_r1=["hang"])
        self.interrupted(place, make_run())
        kept = place.folder.kept()
        assert kept is not None
        assert kept.spec.suspend is False

    def test_a_file_that_asks_for_suspension_starts_nothing(self, place: Any, make_run: MakeRun) -> None:
        status = place.carry_out(make_run(suspend=True))
        assert is_true(status, ConditionType.SUSPENDED)
        assert place.work == []
        assert is_true(place.carry_out(make_run()), ConditionType.COMPLETE)

    def test_progress_goes_into_the_status(self, place: Any, make_run: MakeRun) -> None:
        place.behave(train_r1=["hang"])
        seen: list[Any] = []

        def look() -> None:
            if not any(view.phase == "hanging" and view.progress for view in place.screen.views):
                return
            found = json.loads(place.folder.status_file.read_text()).get("progress")
            if found is None:
                place.clock.skipped += timedelta(seconds=5)
            else:
                seen.append(found)
                place.clock.interrupt()

        with place.prepared(make_run()) as runner:
            place.clock.on_wait = lambda: None if place.clock.stops else look()
            runner.carry_out()
        assert seen[0] == {"completed": 3, "total": 10}


class TestWhatAKilledRunLeft:
    """The processes of a `tpt run` that was killed end by themselves; until then nothing is started beside them."""

    @pytest.fixture
    def left(self, place: Any, make_run: MakeRun) -> Iterator[Jobs]:
        """Leave a sampling that hangs, as a run did that is gone."""
        place.behave(sample_r1=["hang"])
        jobs = Jobs(Settings(place.folder.jobs, place.folder.logs, place.command))
        run = make_run()
        start = StartStep(job=job_name("test", "", 1, StepName.SAMPLE, 1), step=StepName.SAMPLE, round=1, attempt=1)
        config = Commands(run, str(place.folder.path), str(place.folder.artifacts)).config(start)
        jobs.start(Starting(start, config, (Place(),)), datetime.now(UTC))
        yield jobs
        jobs.close()

    def test_it_is_waited_for_and_its_step_done_again_for_free(
        self, place: Any, make_run: MakeRun, left: Jobs, step_of: StepOf
    ) -> None:
        with place.prepared(make_run()) as runner:
            place.clock.on_wait = left.close
            status = runner.carry_out()
        assert is_true(status, ConditionType.COMPLETE)
        assert "waiting for 1 processes" in place.screen.said[0]
        record = step_of(status, 1, StepName.SAMPLE)
        assert (record.failures, record.disruptions) == (0, 1)
        assert place.work == ONE_ROUND

    def test_what_does_not_end_is_reported(self, place: Any, make_run: MakeRun, left: Jobs) -> None:
        with pytest.raises(Busy, match=r"do not end \(see .*process\.json\)"):
            place.carry_out(make_run())
        assert left.busy


class TestAFullDisk:
    def test_the_run_ends_with_the_reason_and_leaves_no_process(
        self, place: Any, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place.behave(train_r1=["hang"])
        write, full = place.folder.write_status, False

        def refuse(status: RunStatus) -> None:
            nonlocal full
            full = full or any(view.phase == "hanging" for view in place.screen.views)
            if full:
                raise StepFailed("status.json: No space left on device")
            write(status)

        monkeypatch.setattr(place.folder, "write_status", refuse)
        with place.prepared(make_run()) as runner:
            place.clock.on_wait = lambda: setattr(place.clock, "skipped", place.clock.skipped + timedelta(seconds=1))
            with pytest.raises(StepFailed, match="No space left"):
                runner.carry_out()
        monkeypatch.undo()
        status = place.carry_out(make_run())
        assert is_true(status, ConditionType.COMPLETE)
        assert place.work == ONE_ROUND


class TestShards:
    def test_each_shard_is_a_process_with_its_index(self, place: Any, make_run: MakeRun) -> None:
        place.carry_out(make_run(sampling={"shards": 3}))
        assert [name for name in place.work if name.startswith("sample")] == [f"sample-r1-{i}" for i in range(3)]

    def test_shards_get_disjoint_groups_of_gpus(self, place: Any, make_run: MakeRun) -> None:
        place.gpus = ("0", "1", "2", "3", "4")
        place.carry_out(make_run(sampling={"shards": 2, "tensorParallelSize": 2}))
        found = {name: gpus for name, gpus in place.gpus_of_work.items() if name.startswith("sample")}
        assert found == {"sample-r1-0": "0,1", "sample-r1-1": "2,3"}

    def test_more_shards_than_gpus_take_turns(self, place: Any, make_run: MakeRun) -> None:
        place.gpus = ("7", "9")
        place.carry_out(make_run(sampling={"shards": 3}))
        found = {name: gpus for name, gpus in place.gpus_of_work.items() if name.startswith("sample")}
        assert sorted(found) == ["sample-r1-0", "sample-r1-1", "sample-r1-2"]
        assert (found["sample-r1-0"], found["sample-r1-1"]) == ("7", "9")
        assert found["sample-r1-2"] in ("7", "9")

    def test_a_failed_shard_ends_the_others_and_only_the_rest_is_done_again(self, place: Any, make_run: MakeRun) -> None:
        place.gpus = ("0", "1", "2")
        place.behave(sample_r1_0=["ok"], sample_r1_1=["hang"], sample_r1_2=["crash"])
        status = place.carry_out(make_run(sampling={"shards": 3}))
        assert is_true(status, ConditionType.COMPLETE)
        assert sorted(name for name in place.work if name.startswith("sample")) == [f"sample-r1-{i}" for i in range(3)]
        assert "index 2 of 3: the GPU fell over" in place.screen.text

    def test_training_sees_as_many_gpus_as_processes(self, place: Any, make_run: MakeRun) -> None:
        place.gpus = ("0", "1", "2")
        place.carry_out(make_run(training={"processesPerNode": 2}))
        assert place.gpus_of_work["train-r1-0"] == "0,1"

    def test_more_gpus_than_there_are_is_refused_by_name(self, place: Any, make_run: MakeRun) -> None:
        place.gpus = ("0", "1")
        with pytest.raises(ConfigurationError, match=r"spec\.sampling\.tensorParallelSize: 4, but this machine has 2 GPUs"):
            place.carry_out(make_run(sampling={"tensorParallelSize": 4}))
        assert place.work == []

    def test_several_nodes_become_one(self, place: Any, make_run: MakeRun) -> None:
        status = place.carry_out(make_run(training={"nodes": 4}))
        assert is_true(status, ConditionType.COMPLETE)
        assert [name for name in place.work if name.startswith("train")] == ["train-r1-0"]
        assert "instead of 4 nodes" in place.screen.said[0]


class TestTheWorkFolder:
    def test_a_changed_result_is_refused_with_every_field(self, place: Any, make_run: MakeRun) -> None:
        place.carry_out(make_run())
        changed = make_run(model={"uri": "other"}, sampling={"temperature": 0.5})
        with pytest.raises(InvalidResource) as refused:
            place.carry_out(changed)
        assert [problem.path for problem in refused.value.problems] == ["spec.model.uri", "spec.sampling.temperature"]
        assert 'found "other", was "model"' in str(refused.value)
        assert place.work == ONE_ROUND

    def test_a_second_run_in_the_same_folder_is_refused(self, place: Any, make_run: MakeRun) -> None:
        with place.folder.locked(), pytest.raises(Busy, match="another `tpt run`"):
            place.carry_out(make_run())
        assert is_true(place.carry_out(make_run()), ConditionType.COMPLETE)

    def test_another_run_does_not_take_the_folder_over(self, place: Any, make_run: MakeRun) -> None:
        place.carry_out(make_run())
        other = make_run()
        other = other.model_copy(update={"metadata": other.metadata.model_copy(update={"name": "other"})})
        with pytest.raises(InvalidResource, match=r"metadata\.name"):
            place.carry_out(other)
