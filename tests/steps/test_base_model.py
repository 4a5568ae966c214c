"""A local base model that is changed after prepare is noticed before it is sampled or trained, and not hashed without need."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.steps.conftest import WEIGHTS, SilentJournal, problems, write_jsonl, write_model
from tests.steps.sampling import FakeEngine
from tpt_runtime.artifacts import basemodel
from tpt_runtime.artifacts.basemodel import check_base_model
from tpt_runtime.artifacts.manifest import file_entry
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.prepare.step import prepare
from tpt_runtime.sample.feeding import Pace
from tpt_runtime.sample.step import sample
from tpt_runtime.step.context import Context
from tpt_runtime.train.checks import read_description

LATER = 10**9
"""Nanoseconds."""


@pytest.fixture
def built(tmp_path: Path, commands: Callable[..., Commands]) -> Commands:
    """A run that is prepared."""
    write_model(tmp_path / "model")
    (tmp_path / "model" / "README.md").write_text("A model.")
    write_jsonl(tmp_path / "train.jsonl", problems(8))
    found = commands(sampling={"samplesPerPrompt": 1, "maxTokens": 8}, evaluation={"samplesPerPrompt": 1})
    prepare(found.prepare(1), Context(SilentJournal()))
    return found


@pytest.fixture
def prepared(built: Commands, tmp_path: Path) -> Path:
    return tmp_path / "artifacts" / built.prepare(1).path


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose content was compared."""
    names: list[str] = []
    compared = file_entry

    def noted(path: Path) -> object:
        names.append(path.name)
        return compared(path)

    monkeypatch.setattr(basemodel, "file_entry", noted)
    return names


def rewrite(path: Path, content: bytes) -> None:
    """Write `content` at a later time, however coarse the file system's clock is."""
    time = path.stat().st_mtime_ns + LATER
    path.write_bytes(content)
    os.utime(path, ns=(time, time))


def test_a_model_that_nobody_touched_is_accepted_without_reading_it(prepared: Path, hashed: list[str]) -> None:
    check_base_model(prepared)
    assert hashed == []


def test_a_file_that_was_only_touched_is_read_and_accepted(prepared: Path, tmp_path: Path, hashed: list[str]) -> None:
    rewrite(tmp_path / "model" / "model.safetensors", WEIGHTS)
    check_base_model(prepared)
    assert hashed == ["model.safetensors"]


CHANGES: dict[str, Callable[[Path], object]] = {
    "model.safetensors has other content": lambda model: rewrite(model / "model.safetensors", WEIGHTS[:-1] + b"5"),
    "config.json has 2 bytes, and had": lambda model: (model / "config.json").write_text("{}"),
    "tokenizer.json is missing": lambda model: (model / "tokenizer.json").unlink(),
    "more.safetensors was added": lambda model: (model / "more.safetensors").write_bytes(WEIGHTS),
}


@pytest.mark.parametrize("how", CHANGES)
def test_a_changed_model_is_neither_sampled_nor_trained(how: str, built: Commands, prepared: Path, tmp_path: Path) -> None:
    CHANGES[how](tmp_path / "model")
    engine = FakeEngine()
    with pytest.raises(ConfigurationError, match=f"no longer the one that this run was prepared with: {how}"):
        sample(built.sample(1, 1, evaluate=True), Context(SilentJournal()), engine.open, Pace())
    assert engine.settings == [], "no engine was started for it"
    with pytest.raises(ConfigurationError, match="put back what was there, or give the run another name"):
        read_description(prepared / "model", built.paths.model(0))


def test_a_model_that_is_gone_is_said_to_be(built: Commands, tmp_path: Path) -> None:
    (tmp_path / "model").rename(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match=r"/model: the base model is no longer .* is missing; put back"):
        sample(built.sample(1, 1, evaluate=True), Context(SilentJournal()), FakeEngine().open, Pace())


def test_what_is_written_for_people_may_be_edited(built: Commands, prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "model" / "README.md").write_text("A very good model.")
    (tmp_path / "model" / "notes.txt").write_text("Mine.")
    check_base_model(prepared)
    sample(built.sample(1, 1, evaluate=True), Context(SilentJournal()), FakeEngine().open, Pace())
