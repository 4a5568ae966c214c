"""Prepared prompts that were edited afterwards are read by no later step."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.steps.conftest import SilentJournal, problems, write_jsonl, write_model
from tests.steps.sampling import FakeEngine
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.errors import ArtifactError
from tpt_runtime.prepare.step import prepare
from tpt_runtime.prune.step import prune
from tpt_runtime.sample.feeding import Pace
from tpt_runtime.sample.step import sample
from tpt_runtime.step.context import Context

EDITED = r"train\.jsonl: SHA-256 .* the file was edited or damaged; put back what was there, or delete .*/prepare-\w+,"


@pytest.fixture
def built(tmp_path: Path, commands: Callable[..., Commands]) -> Commands:
    """A run that is prepared."""
    write_model(tmp_path / "model")
    write_jsonl(tmp_path / "train.jsonl", problems(8))
    found = commands(sampling={"samplesPerPrompt": 1, "maxTokens": 8}, evaluation={"samplesPerPrompt": 1})
    prepare(found.prepare(1), Context(SilentJournal()))
    return found


def edit(built: Commands) -> None:
    """Let a reference answer be another one, of the same length."""
    file = Path(built.prepare(1).root) / built.paths.prompts("train")["train"]
    text = file.read_text()
    number = text.index("#### ") + 5
    file.write_text(f"{text[:number]}{(int(text[number]) + 1) % 10}{text[number + 1 :]}")


def sampled(built: Commands) -> None:
    sample(built.sample(1, 1, evaluate=True), Context(SilentJournal()), FakeEngine().open, Pace())


def test_edited_prompts_are_not_sampled(built: Commands) -> None:
    edit(built)
    with pytest.raises(ArtifactError, match=EDITED):
        sampled(built)


def test_edited_reference_answers_are_not_graded_by(built: Commands) -> None:
    sampled(built)
    edit(built)
    with pytest.raises(ArtifactError, match=EDITED):
        prune(built.prune(1, 1, evaluate=True, compare=None), Context(SilentJournal()))
