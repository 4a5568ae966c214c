"""The real GSM8K goes through prepare whole, and quickly."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.steps.conftest import SilentJournal, write_model
from tpt_runtime.core.commands import Commands
from tpt_runtime.prepare.step import prepare
from tpt_runtime.step.context import Context

GSM8K = os.environ.get("TPT_GSM8K", "")


@pytest.mark.skipif(not GSM8K, reason="TPT_GSM8K does not name a folder with GSM8K's train.jsonl and test.jsonl")
@pytest.mark.parametrize("verifier", ["Math", "GSM8KStrict"])
def test_all_of_gsm8k_is_usable(verifier: str, tmp_path: Path, commands: Callable[..., Commands]) -> None:
    write_model(tmp_path / "model", context=8192)
    source = Path(GSM8K).resolve()
    built = commands(
        dataset={
            "train": {"uri": f"file://{source}/train.jsonl"},
            "eval": {"uri": f"file://{source}/test.jsonl"},
            "prompt": {"mode": "Chat", "system": "Reason step by step. End with #### and the answer."},
        },
        pruning={"verifier": {"type": verifier}},
    )
    journal = SilentJournal()
    config = built.prepare(1)
    began = time.process_time()
    summary = prepare(config, Context(journal))
    assert time.process_time() - began < 60
    assert summary.resolved.counts == {"train": 7099, "validation": 374, "eval": 1319}, (
        "7,473 and 1,319, none twice, none in both"
    )
    assert not [event for event in journal.events if event["event"] == "warning"]
    lines = (Path(config.root) / config.path / "eval.jsonl").read_bytes().splitlines()
    first = json.loads(lines[0])
    assert first["question"].startswith("Janet’s ducks lay 16 eggs per day.")
    assert first["reference"].endswith("#### 18")
