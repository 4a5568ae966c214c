"""The example of programs as answers, in small and with real engines: sampled, run in the sandbox, trained on, sampled again."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tpt_runtime.artifacts.files import read_rows
from tpt_runtime.artifacts.yaml import read_resources
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.resource import parse_run
from tpt_runtime.core.status import ConditionType
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.core.verifier import Code as Settings
from tpt_runtime.demo.coding import write_coding
from tpt_runtime.demo.model import Recipe
from tpt_runtime.demo.quickstart import Sizes
from tpt_runtime.local.runner import is_true
from tpt_runtime.local.workdir import Workdir
from tpt_runtime.local.yamltext import yaml_text
from tpt_runtime.verify.code import Code

pytestmark = [pytest.mark.engine, pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's own")]

ROOT = Path(__file__).parents[2]
SIZES = Sizes(train=32, validation=8, eval=8)
RECIPE = Recipe(rows=3000, steps=300)
"""A base model that writes a right program now and then: enough to train on."""


def small_run() -> dict[str, Any]:
    """Return the example's resource, one round long, with the engines that start quickest."""
    (resource,) = read_resources(ROOT / "examples" / "code" / "run.yaml")
    spec = resource["spec"]
    spec["maxRounds"] = 1
    spec["sampling"] |= {"engine": "Transformers"}
    spec["training"] |= {"engine": "Torch"}
    spec["pruning"] |= {"minExamples": 4}
    spec["pruning"]["verifier"] |= {"timeoutSeconds": 60, "code": {"testTimeoutSeconds": 30}}
    return dict(resource)


def carried_out(folder: Path, resource: dict[str, Any]) -> str:
    """Have `tpt run` carry the run out in `folder`, and return what it said."""
    file = folder / "asked.yaml"
    file.write_text(yaml_text(resource))
    command = [sys.executable, "-c", "from tpt_runtime.cli import main; main()", "run", str(file), "--workdir", str(folder)]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


def test_a_model_is_trained_on_its_own_programs_that_pass_their_tests(tmp_path: Path) -> None:
    write_coding(tmp_path, 0, sizes=SIZES, recipe=RECIPE, tell=lambda line: None)
    resource = small_run()
    carried_out(tmp_path, resource)
    workdir = Workdir(tmp_path)
    status = workdir.status()
    assert status is not None
    assert is_true(status, ConditionType.COMPLETE), status.conditions
    first = next(entry for entry in status.rounds if entry.round == 1)
    assert first.samples is not None
    assert first.samples.total == SIZES.train * 4
    assert first.samples.correct > 0
    assert first.samples.wrong > 0, "the base model has learned to make mistakes"
    last = status.rounds[-1]
    assert {"validation/pass@1", "eval/pass@1", "eval/pass@4"} <= {metric.name for metric in last.metrics}

    paths = Commands(parse_run(resource, "asked.yaml"), str(tmp_path), str(workdir.artifacts)).paths
    rows = list(read_rows(workdir.artifacts / paths.prune_dir(1) / "train.jsonl"))
    assert len(rows) == first.examples
    assert_right(rows, workdir.artifacts, paths.prompts("train")["train"], paths.sample_dir(1))


def assert_right(rows: list[dict[str, Any]], root: Path, prompts: str, samples: str) -> None:
    """See that every program that was trained on passes the tests of its problem when it is run once more."""
    tests = {row["id"]: row["reference"] for row in read_rows(root / prompts)}
    texts = {
        (row["id"], sample["index"]): sample["text"]
        for chunk in (root / samples).glob("*.jsonl")
        for row in read_rows(chunk)
        for sample in row["samples"]
    }
    code = Code(Settings(test_timeout_seconds=30), seconds=60)
    try:
        for row in rows:
            assert json.loads(tests[row["id"]])[0]["input"]
            grade = code.grade(texts[row["id"], row["sample"]], tests[row["id"]])
            assert grade.verdict is Verdict.CORRECT
    finally:
        code.close()
