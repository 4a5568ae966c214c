"""sample with the Transformers engine, ended at named points and gone on with: byte for byte what an undisturbed one makes.

`make test` goes through a few of the points, `make soak` through all. The fake engine goes through all in `test_sample_step`.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.steps.conftest import SilentJournal
from tests.steps.sampling import config, part, sampled, write_prompts, write_tiny_llama
from tpt_runtime.core.configs import SampleConfig
from tpt_runtime.sample.feeding import Pace
from tpt_runtime.sample.step import sample
from tpt_runtime.step.context import Context

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
MORTAL = str(Path(__file__).with_name("mortal_sample.py"))
SECONDS = 300
PARTS = (part("evaluate", "eval", samples_per_prompt=2), part("train", "train", stop=["\n", " ."]))
FEW = ("inside the third chunk KILL", "between the manifests KILL", "generation TERM")
ALL = (
    *FEW,
    "engine start KILL",
    "before the first chunk KILL",
    "after the third chunk KILL",
    "before the first manifest KILL",
    "engine start TERM",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("llama") / "model")


@pytest.fixture
def root(tmp_path: Path, model: Path) -> Path:
    (tmp_path / "model").symlink_to(model)
    for name, count in (("train", 11), ("eval", 5)):
        write_prompts(tmp_path, name, count)
    return tmp_path


def made(root: Path, settings: SampleConfig) -> list[dict[tuple[str, str], Any]]:
    """Carry out `settings` here, and return what the parts hold."""
    sample(settings, Context(SilentJournal()), pace=Pace(seconds=0.0))
    return [sampled(root / one.path) for one in settings.parts]


@pytest.mark.parametrize("point", ALL if os.environ.get("TPT_SOAK") else FEW)
def test_sampling_that_was_ended_goes_on_and_makes_the_same_bytes(
    root: Path, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    command = [sys.executable, MORTAL, point, config(root, *PARTS).model_dump_json(by_alias=True)]
    told = {"MORTAL_ENGINE": "real", "PYTHONPATH": f"{ROOT}", "TPT_TERMINATION_LOG": str(root / "termination"), "TPT_LOG": "json"}
    ended = subprocess.run(command, env=os.environ | told, timeout=SECONDS, capture_output=True, text=True, check=False)
    assert ended.returncode == (-signal.SIGKILL if point.endswith("KILL") else 143), ended.stderr
    assert not list((root / PARTS[1].path).glob("*.manifest.json"))

    found = made(root, config(root, *PARTS, attempt=2))
    elsewhere = [one.model_copy(update={"path": f"uninterrupted/{one.purpose}"}) for one in PARTS]
    assert found == made(root, config(root, *elsewhere))
    assert [len(samples) for samples in found] == [5, 11]
    assert not list(root.rglob("*.partial"))
