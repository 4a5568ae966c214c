"""The artifacts of a trial: every step of its run finds what it needs, and no engine is loaded."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tpt_runtime.core.commands import PROGRAMS, Commands
from tpt_runtime.core.errors import ConfigurationError, InvalidResource
from tpt_runtime.core.resource import parse_run
from tpt_runtime.demo.trial import MARK, write_trial

RUN: dict[str, Any] = {
    "apiVersion": "tpt.dev/v1alpha1",
    "kind": "SelfImprovementRun",
    "metadata": {"name": "trial", "namespace": "team"},
    "spec": {
        "maxRounds": 1,
        "model": {"uri": "trial/model"},
        "dataset": {"train": {"uri": "trial/train.jsonl"}, "validation": {"uri": "trial/validation.jsonl"}},
        "sampling": {"samplesPerPrompt": 2},
        "pruning": {"minExamples": 1},
        "evaluation": {"samplesPerPrompt": 1, "k": [1]},
        "storage": {"persistentVolumeClaim": {"claimName": "runs"}},
    },
}
HEAVY = ("torch", "vllm", "transformers", "deepspeed", "trl")
PROGRAM = """
import runpy, sys
try:
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
finally:
    print("loaded:", *[name for name in {heavy!r} if name in sys.modules])
"""


def written(place: Path, **spec: Any) -> Path:
    return write_trial(json.dumps(RUN | {"spec": RUN["spec"] | spec}), place)


def step(commands: Commands, name: str) -> tuple[dict[str, Any], str]:
    """Carry out a step as its pod would; return its summary, and what it has loaded."""
    configs = {
        "prepare": lambda: commands.prepare(1),
        "sample": lambda: commands.sample(1, 1, evaluate=True),
        "prune": lambda: commands.prune(1, 1, evaluate=True, compare=None),
        "train": lambda: commands.train(1, 1),
        "evaluate": lambda: commands.evaluate(1, 1),
        "grade": lambda: commands.grade(1, 1, compare=0),
        "finalize": lambda: commands.finalize(1, 1, best_round=1, status={}),
    }
    config = configs[name]()
    log = Path(config.root).parent / "termination-log"
    command = [sys.executable, "-c", PROGRAM.format(heavy=HEAVY), PROGRAMS[config.step], config.model_dump_json(by_alias=True)]
    environment = {"TPT_TERMINATION_LOG": str(log), "TPT_LOG": "json", "HOME": str(log.parent), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(log.read_text()), done.stdout.splitlines()[-1]


def test_every_step_finds_what_it_needs_and_loads_no_engine(tmp_path: Path) -> None:
    root = written(tmp_path)
    commands = Commands(parse_run(RUN, "trial"), str(tmp_path), str(root))
    told = {}
    for name in ("prepare", "sample", "prune", "train", "evaluate", "grade", "finalize"):
        told[name], loaded = step(commands, name)
        assert loaded == "loaded:", name
    metrics = {name: {metric["name"]: metric["value"] for metric in summary.get("metrics", ())} for name, summary in told.items()}
    assert metrics["prune"]["validation/pass@1"] == 0
    assert metrics["grade"]["validation/pass@1"] == 1
    assert (told["prune"]["outcome"], told["prune"]["examples"]) == ("Trainable", 4)
    assert (told["sample"]["samples"], told["evaluate"]["samples"]) == (12, 4)
    assert (root / "report" / "report.html").is_file()


def test_a_trial_is_written_anew_whatever_the_last_one_left(tmp_path: Path) -> None:
    root = written(tmp_path)
    (root / "report").mkdir()
    assert written(tmp_path) == root
    assert not (root / "report").exists()
    assert [path.name for path in root.parent.iterdir()] == ["trial"]


def test_the_folder_of_another_run_is_left_alone(tmp_path: Path) -> None:
    root = written(tmp_path)
    (root / MARK).unlink()
    before = sorted(root.rglob("*"))
    with pytest.raises(ConfigurationError, match="another run's"):
        written(tmp_path)
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize("spec", [{"maxRounds": 2}, {"storage": {"uri": "s3://bucket"}}])
def test_a_run_that_is_no_trial_is_refused(spec: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="expected one round"):
        written(tmp_path, **spec)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no JSON"):
        write_trial("{", tmp_path)
    with pytest.raises(InvalidResource):
        write_trial("{}", tmp_path)
