"""The work folder: who may use it, what is kept there, what may change."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tpt_runtime.artifacts.yaml import parse_resources
from tpt_runtime.core.errors import ConfigurationError, InvalidResource, StepFailed
from tpt_runtime.core.spec import Run
from tpt_runtime.core.status import Condition, ConditionType, Resolved, RunStatus
from tpt_runtime.local.workdir import EXIT_BUSY, Busy, Workdir
from tpt_runtime.local.yamltext import yaml_text

MakeRun = Callable[..., Run]
NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Workdir:
    return Workdir(tmp_path / "work")


def failed() -> RunStatus:
    condition = Condition(type=ConditionType.FAILED, status="True", reason="ConfigurationError", last_transition_time=NOW)
    return RunStatus(conditions=[condition], current_round=2)


class TestTheLock:
    def test_it_is_held_once(self, folder: Workdir) -> None:
        with folder.locked():
            with pytest.raises(Busy, match=f"process {os.getpid()}") as refused, folder.locked():
                pass
            assert refused.value.exit_code == EXIT_BUSY

    def test_it_is_free_again_afterwards(self, folder: Workdir) -> None:
        for _ in range(2):
            with folder.locked():
                pass

    def test_a_folder_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StepFailed, match="file/work"), Workdir(tmp_path / "file" / "work").locked():
            pass


class TestTaking:
    def test_the_first_time_everything_is_kept(self, folder: Workdir, make_run: MakeRun) -> None:
        taken = folder.take(make_run(), "run.yaml")
        kept = folder.kept()
        assert kept is not None
        assert kept.spec == taken.spec == make_run().spec
        assert taken.metadata.generation == 1
        assert taken.status is None

    def test_what_is_kept_reads_as_yaml_with_a_word_on_what_it_is(self, folder: Workdir, make_run: MakeRun) -> None:
        folder.take(make_run(), "run.yaml")
        assert folder.resource.read_text().startswith("# Kept by `tpt run`")

    def test_the_same_again_is_no_change(self, folder: Workdir, make_run: MakeRun) -> None:
        folder.take(make_run(), "run.yaml")
        assert folder.take(make_run(), "run.yaml").metadata.generation == 1

    def test_a_default_that_is_spelled_out_is_no_change(self, folder: Workdir, make_run: MakeRun) -> None:
        folder.take(make_run(), "run.yaml")
        assert folder.take(make_run(sampling={"temperature": 0.8}), "run.yaml").metadata.generation == 1

    def test_a_field_that_may_change_raises_the_generation(self, folder: Workdir, make_run: MakeRun) -> None:
        folder.take(make_run(), "run.yaml")
        taken = folder.take(make_run(maxRounds=3, sampling={"shards": 2}), "run.yaml")
        kept = folder.kept()
        assert kept is not None
        assert (taken.metadata.generation, kept.metadata.generation) == (2, 2)
        assert kept.spec.max_rounds == 3

    def test_fields_that_may_not_change_are_refused_all_at_once(self, folder: Workdir, make_run: MakeRun) -> None:
        folder.take(make_run(), "run.yaml")
        changed = make_run(maxRounds=3, pruning={"maxExamples": 50}, dataset={"train": {"uri": "other.jsonl"}})
        with pytest.raises(InvalidResource) as refused:
            folder.take(changed, "my.yaml")
        text = str(refused.value)
        assert text.startswith("my.yaml: 2 problems")
        assert 'spec.dataset.train.uri: found "other.jsonl", was "train.jsonl"' in text
        assert "spec.pruning.maxExamples: found 50, was 2000" in text

    def test_a_refused_change_leaves_what_is_kept(self, folder: Workdir, make_run: MakeRun) -> None:
        folder.take(make_run(), "run.yaml")
        with pytest.raises(InvalidResource):
            folder.take(make_run(model={"uri": "other"}), "run.yaml")
        kept = folder.kept()
        assert kept is not None
        assert kept.spec == make_run().spec

    def test_a_field_that_is_gone_is_named(self, folder: Workdir, make_run: MakeRun) -> None:
        folder.take(make_run(sampling={"topK": 40}), "run.yaml")
        with pytest.raises(InvalidResource, match=r"spec\.sampling\.topK: found nothing, was 40"):
            folder.take(make_run(), "run.yaml")

    def test_rounds_that_have_begun_are_not_taken_back(self, folder: Workdir, make_run: MakeRun) -> None:
        folder.take(make_run(maxRounds=4), "run.yaml")
        folder.write_status(RunStatus(current_round=3))
        with pytest.raises(InvalidResource, match=r"spec\.maxRounds: found 2, but round 3 has begun"):
            folder.take(make_run(maxRounds=2), "run.yaml")
        assert folder.take(make_run(maxRounds=3), "run.yaml").metadata.generation == 2

    def test_a_failed_run_that_is_asked_for_again_goes_on(self, folder: Workdir, make_run: MakeRun) -> None:
        folder.take(make_run(), "run.yaml")
        folder.write_status(failed())
        taken = folder.take(make_run(), "run.yaml")
        assert taken.metadata.generation == 2
        assert taken.status is not None
        assert taken.status["currentRound"] == 2

    def test_a_run_that_failed_before_anything_was_prepared_may_be_changed_at_will(
        self, folder: Workdir, make_run: MakeRun
    ) -> None:
        folder.take(make_run(), "run.yaml")
        folder.write_status(failed().model_copy(update={"current_round": 0}))
        taken = folder.take(make_run(dataset={"train": {"uri": "other.jsonl"}}), "run.yaml")
        assert (taken.metadata.generation, taken.spec.dataset.train.uri) == (2, "other.jsonl")

    @pytest.mark.parametrize("made", [{"resolved": Resolved()}, {"current_round": 1}, {"conditions": []}])
    def test_one_that_has_made_something_or_goes_on_may_not(
        self, made: dict[str, Any], folder: Workdir, make_run: MakeRun
    ) -> None:
        folder.take(make_run(), "run.yaml")
        folder.write_status(failed().model_copy(update={"current_round": 0, **made}))
        with pytest.raises(InvalidResource, match=r"spec\.dataset\.train\.uri: found"):
            folder.take(make_run(dataset={"train": {"uri": "other.jsonl"}}), "run.yaml")

    def test_another_runs_folder_is_refused_even_then(self, folder: Workdir, make_run: MakeRun) -> None:
        folder.take(make_run(), "run.yaml")
        folder.write_status(failed().model_copy(update={"current_round": 0}))
        other = make_run()
        other = other.model_copy(update={"metadata": other.metadata.model_copy(update={"name": "other"})})
        with pytest.raises(InvalidResource, match=r"metadata\.name: found 'other'"):
            folder.take(other, "run.yaml")

    def test_what_a_cluster_wrote_into_the_metadata_is_not_ours(self, folder: Workdir, make_run: MakeRun) -> None:
        run = make_run()
        exported = {"uid": "u-1", "generation": 7, "resource_version": "9", "deletion_timestamp": "2026-01-01T00:00:00Z"}
        taken = folder.take(run.model_copy(update={"metadata": run.metadata.model_copy(update=exported)}), "run.yaml")
        assert (taken.metadata.uid, taken.metadata.generation, taken.metadata.deletion_timestamp) == ("", 1, None)


class TestTheStatus:
    def test_there_is_none_at_first(self, folder: Workdir) -> None:
        assert folder.status() is None
        assert folder.kept() is None

    def test_it_is_read_as_it_was_written(self, folder: Workdir) -> None:
        folder.write_status(failed())
        assert folder.status() == failed()

    def test_it_is_written_with_its_defaults(self, folder: Workdir) -> None:
        folder.write_status(RunStatus())
        assert json.loads(folder.status_file.read_text())["currentRound"] == 0

    @pytest.mark.parametrize("text", ["", "no JSON", '{"currentRound": "two"}', '{"unknown": 1}'])
    def test_one_that_is_broken_is_named_with_the_way_out(self, folder: Workdir, text: str) -> None:
        folder.path.mkdir()
        folder.status_file.write_text(text)
        with pytest.raises(ConfigurationError, match=r"status\.json: .*delete it"):
            folder.status()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=10), inner, max_size=4),
    max_leaves=12,
)


@settings(derandomize=True, deadline=None)
@given(value=st.dictionaries(st.text(min_size=1, max_size=10), JSON, min_size=1, max_size=4))
def test_what_is_written_as_yaml_is_read_as_it_was(value: dict[str, Any]) -> None:
    assert parse_resources(yaml_text(value), "test") == [value]


@pytest.mark.parametrize(
    "text", ["yes", "1e-6", "010", "null", "~", "a: b", "# no", "2026-01-01", "on", "- x", "{{ q }}", "<<", "=", ""]
)
def test_text_that_could_be_something_else_is_quoted(text: str) -> None:
    assert parse_resources(yaml_text({"key": text, "list": [text]}), "test") == [{"key": text, "list": [text]}]
