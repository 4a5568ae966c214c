"""Real trainings of a tiny model, several in one set of processes, and the plain loop that they are compared with."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.steps.training import training_config
from tpt_runtime.train.examples import Row, training_set
from tpt_runtime.train.job import Device, Job, Outcome, outcome_file
from tpt_runtime.train.processes import environment_of
from tpt_runtime.train.worker import make_plan

DRIVER = Path(__file__).with_name("train_driver.py")
CPU = Device(kind="cpu", memory=8 * 10**9)
CLOSE = 1e-6
COUNT, BATCH = 44, 8
"""Six optimizer steps, of seven and eight examples."""

Weights = dict[str, Any]


def job_of(root: Path, name: str, processes: int = 1, **changes: Any) -> Job:
    """Return a job whose artifact is called `name`; `changes` are settings of the training, or of its configuration."""
    recompute = changes.pop("recompute", False)
    settings = {"engine": "DeepSpeed", "batchSize": BATCH, "microBatchSize": 2, "processesPerNode": processes}
    fields = {key: changes.pop(key) for key in ("model", "learningRate", "examples", "round") if key in changes}
    settings |= {"learningRate": fields["learningRate"]} if "learningRate" in fields else {}
    config = training_config(root, settings | changes, path=f"trained/train-{name}", digest=name, **fields)
    return Job(config=config, device=CPU, processes=processes, attention="sdpa", recompute=recompute)


def train(root: Path, name: str, jobs: list[Job]) -> None:
    """Carry the jobs out, one after the other in the same processes."""
    path = root / f"{name}.json"
    path.write_text(json.dumps([job.model_dump_json(by_alias=True) for job in jobs]))
    count = jobs[0].processes
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"] if count > 1 else []
    environment = environment_of(jobs[0], root, os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])})
    command = [sys.executable, *launch, str(DRIVER), str(path)]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as child:
        assert child.stdout is not None
        said = child.stdout.read().decode()
    assert child.returncode == 0, said[-3000:]
    for job in jobs:
        assert outcome_file(job).exists() or error_of(job), f"{job.config.path}\n{said[-3000:]}"


def folder_of(job: Job) -> Path:
    return Path(job.config.root) / job.config.path / "model.partial-a1"


def error_of(job: Job) -> list[str]:
    path = Path(job.config.root) / job.config.path / "error.json"
    return json.loads(path.read_text()) if path.exists() else []


def outcome_of(job: Job) -> Outcome:
    return Outcome.model_validate_json(outcome_file(job).read_bytes())


def weights_in(folder: Path) -> Weights:
    from safetensors.torch import load_file

    found = [load_file(path) for path in sorted(folder.glob("*.safetensors"))]
    assert found, f"{folder} has no weights"
    return {name: tensor for part in found for name, tensor in part.items()}


def difference(one: Weights, other: Weights) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


def token_losses(model: Any, row: Row) -> Any:
    """Return the summed loss of a row's sampled tokens."""
    import torch

    logits = model(torch.tensor([row.ids])).logits[0, row.prompt_tokens - 1 : -1]
    return torch.nn.functional.cross_entropy(logits, torch.tensor(row.ids[row.prompt_tokens :]), reduction="sum")


def plain_loop(job: Job, *, mean_of_means: bool) -> tuple[Weights, float]:
    """Train one example at a time, the loss summed over a step and divided once, by its tokens; return the mean loss too."""
    import torch
    from transformers import AutoModelForCausalLM, get_cosine_schedule_with_warmup

    config, training = job.config, job.config.training
    folder = Path(config.root)
    rows = training_set([folder / name for name in config.examples], training.max_length)
    steps = [[rows.rows[example] for part in step for example in part] for step in make_plan(job, rows).steps]
    model = AutoModelForCausalLM.from_pretrained(folder / config.model, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, math.ceil(0.1 * len(steps)), len(steps))
    total = 0.0
    for taken in steps:
        for row in taken:
            loss = token_losses(model, row)
            total += float(loss.detach())
            (loss / (row.trained * len(taken) if mean_of_means else sum(row.trained for row in taken))).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), training.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    weights = {name: tensor for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    return weights, total / sum(row.trained for row in rows.rows)


def reference(job: Job, *, mean_of_means: bool = False) -> Weights:
    """Return the weights that a plain loop makes."""
    return plain_loop(job, mean_of_means=mean_of_means)[0]


def reference_loss(job: Job) -> float:
    """Return the mean loss that a plain loop sees on the way."""
    return plain_loop(job, mean_of_means=False)[1]
