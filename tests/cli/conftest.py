"""A folder to work in, with a valid run and its data."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tpt_runtime.cli import main
from tpt_runtime.local.yamltext import yaml_text


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the present folder, which is empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tpt() -> Callable[..., Result]:
    """Return the command `tpt`, to be called with its arguments."""
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def write_run(here: Path) -> Callable[..., Path]:
    """Return a function that writes a run; keyword arguments replace sections of its spec."""

    def write(name: str = "run.yaml", run: str = "small", **sections: Any) -> Path:
        spec: dict[str, Any] = {
            "model": {"uri": "model"},
            "dataset": {"train": {"uri": "train.jsonl"}},
            "pruning": {"minExamples": 1},
            "storage": {"persistentVolumeClaim": {"claimName": "runs"}},
        }
        body = {"apiVersion": "tpt.dev/v1alpha1", "kind": "SelfImprovementRun", "metadata": {"name": run}}
        (here / name).write_text(yaml_text({**body, "spec": spec | sections}))
        return Path(name)

    return write


@pytest.fixture
def write_data(here: Path) -> Callable[..., Path]:
    """Return a function that writes questions into a work folder."""

    def write(path: str = "runs/small/train.jsonl", count: int = 20, **renamed: str) -> Path:
        question, answer = renamed.get("question", "question"), renamed.get("answer", "answer")
        rows = [{question: f"What is {n} + 1?", answer: f"It is {n + 1}. #### {n + 1}"} for n in range(count)]
        file = here / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file

    return write
