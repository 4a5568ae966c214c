"""Wall time of a whole round at the quickstart's size and where it goes, beside scripts of the common kind at equal tokens.

    python -m benchmarks.round [--repeats 3]

A round evaluates the base model, samples the training questions, grades, selects, and trains. The peer does the same work as
scripts of this method usually do: a program start for the evaluation, one for each of the n samples of a question, and one for a
plain `SFTTrainer`, on the very examples that the round kept; its grading is not counted. Both sides take turns.
Goals: at most 0.9 of the peer's wall time; grading at most 2 % of the round's.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.ratios import ratio
from tpt_runtime.artifacts.files import read_rows, write_json
from tpt_runtime.artifacts.yaml import read_resources
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.resource import parse_run
from tpt_runtime.core.spec import Spec
from tpt_runtime.demo.quickstart import write_quickstart

EXAMPLE = Path(__file__).parent.parent / "examples" / "quickstart" / "run.yaml"
STEPS = ("sample", "prune", "train")
WORK = ("generate", "train")
"""Phases that are the point of a round; all others are overhead."""


def main() -> int:
    """Run the benchmark and print its tables; with --train, be the peer's training program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="rounds of either side")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        return plain_training(json.loads(options.train.read_text()))
    with tempfile.TemporaryDirectory(prefix="tpt-benchmark-") as name:
        workshop = Workshop(Path(name))
        rounds: list[dict[str, float]] = []
        peers: list[float] = []
        for repetition in range(options.repeats):
            rounds.append(workshop.round(repetition))
            peers.append(workshop.scripts(repetition))
    print(tables(rounds, peers))
    return 0


class Workshop:
    """Model, data and runs of one benchmark."""

    def __init__(self, root: Path) -> None:
        """Make model and data below `root`."""
        self.root, self.made = root, root / "made"
        write_quickstart(self.made, 0)
        self._evaluation = root / "evaluation"
        (self._evaluation / "data").mkdir(parents=True)
        (self._evaluation / "model").symlink_to(self.made / "model")
        rows = [(self.made / "data" / f"{name}.jsonl").read_text() for name in ("validation", "eval")]
        (self._evaluation / "data" / "train.jsonl").write_text("".join(rows))
        self.resource: dict[str, Any] = json.loads(json.dumps(read_resources(EXAMPLE)[0]))
        self.resource["spec"]["maxRounds"] = 1
        self.spec: Spec = parse_run(self.resource, "benchmark").spec

    def round(self, repetition: int) -> dict[str, float]:
        """Run one round; return the wall seconds of its steps, `STEP`, and of their phases, `STEP: PHASE`."""
        workdir = self.root / f"run-{repetition}"
        workdir.mkdir()
        for name in ("model", "data"):
            (workdir / name).symlink_to(self.made / name)
        file = self.root / "run.json"
        write_json(file, self.resource)
        command = [str(Path(sys.executable).with_name("tpt")), "run", str(file), "--workdir", str(workdir)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        status = json.loads((workdir / "status.json").read_bytes())
        found: dict[str, float] = {}
        for step in status["rounds"][1]["steps"]:
            if step["name"] in STEPS:
                began, ended = (datetime.fromisoformat(step[key]) for key in ("startTime", "completionTime"))
                found[step["name"]] = (ended - began).total_seconds()
                found |= {f"{step['name']}: {phase}": value for phase, value in _phases(workdir, step["name"]).items()}
        return found

    def scripts(self, repetition: int) -> float:
        """Do the same work as common scripts do; return the wall seconds of all programs together."""
        sampling, evaluation = self.spec.sampling, self.spec.evaluation
        began = time.perf_counter()
        self._generate(self._evaluation, evaluation.samples_per_prompt)
        for _ in range(sampling.samples_per_prompt):
            self._generate(self.made, 1)
        self._train(repetition)
        return time.perf_counter() - began

    def _generate(self, folder: Path, samples: int) -> None:
        count = sum(1 for _ in (folder / "data" / "train.jsonl").open())
        flags = ["--folder", str(folder), "--prompts", str(count), "--samples", str(samples), "--repeats", "1"]
        _run([sys.executable, "-m", "benchmarks.sample", *flags, "--alone", str(self.root / "rates.json")])

    def _train(self, repetition: int) -> None:
        root = self.root / f"run-{repetition}" / "artifacts"
        paths = Commands(parse_run(self.resource, "benchmark"), str(root.parent), str(root)).paths
        training = self.spec.training
        task = {
            "model": str(self.made / "model"),
            "examples": str(root / paths.prune_dir(1) / "train.jsonl"),
            "output": str(self.root / "trained"),
            "epochs": training.epochs,
            "batch": training.batch_size,
            "rate": training.learning_rate,
        }
        file = self.root / "task.json"
        file.write_text(json.dumps(task))
        _run([sys.executable, "-m", "benchmarks.round", "--train", str(file)])
        shutil.rmtree(self.root / "trained")


def plain_training(task: dict[str, Any]) -> int:
    """Train with a plain `SFTTrainer` on the rows that the round kept, and save the model."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    rows = [
        {"input_ids": row["ids"], "labels": [-100] * row["promptTokens"] + row["ids"][row["promptTokens"] :]}
        for row in read_rows(Path(task["examples"]))
    ]
    settings = SFTConfig(
        output_dir=task["output"],
        num_train_epochs=task["epochs"],
        per_device_train_batch_size=task["batch"],
        learning_rate=task["rate"],
        lr_scheduler_type="cosine",
        max_length=None,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        disable_tqdm=True,
        report_to="none",
    )
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(task["model"], dtype=torch.float32),
        args=settings,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(task["model"]),
    )
    trainer.train()
    trainer.save_model(task["output"])
    return 0


def _phases(workdir: Path, step: str) -> dict[str, float]:
    """Return the seconds of a step's phases in round 1, from its log."""
    (log,) = (workdir / "logs").glob(f"*-r1-{step}-a1-0.log")
    events = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    seconds: dict[str, float] = next(event["summary"]["seconds"] for event in events if event["event"] == "done")
    return seconds


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[1:4]} exited with {done.returncode}: {done.stderr[-2000:]}")


def tables(rounds: list[dict[str, float]], peers: list[float]) -> str:
    """Return where the round's time goes, and the comparison with the peer."""
    whole = [sum(found[step] for step in STEPS) for found in rounds]
    lines = ["| step: phase | median seconds | share of the round |", "|---|---|---|"]
    for name in (key for key in rounds[0] if ":" in key):
        seconds = statistics.median(found[name] for found in rounds)
        lines.append(f"| {name} | {seconds:.1f} | {seconds / statistics.median(whole):.1%} |")
    started = [sum(found[step] for step in STEPS) - sum(found[key] for key in found if ":" in key) for found in rounds]
    lines.append(
        f"| starting and ending programs | {statistics.median(started):.1f} | "
        f"{statistics.median(started) / statistics.median(whole):.1%} |"
    )
    work = [sum(found[key] for key in found if key.partition(": ")[2] in WORK) for found in rounds]
    grading = [sum(found[key] for key in found if ": grade" in key) for found in rounds]
    return "\n".join(
        [
            *lines,
            "",
            f"generation and training: {_share(work, whole)} of the round; grading: {_share(grading, whole)}",
            "",
            "| wall seconds of a round | median | lowest to highest | ratio to the peer (95 %) |",
            "|---|---|---|---|",
            f"| scripts of the common kind (peer) | {_spread(peers)} | 1 |",
            f"| the round | {_spread(whole)} | {ratio(whole, peers)} |",
        ]
    )


def _share(part: list[float], whole: list[float]) -> str:
    return f"{statistics.median(one / all_ for one, all_ in zip(part, whole, strict=True)):.1%}"


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} | {min(values):.0f} to {max(values):.0f}"


if __name__ == "__main__":
    sys.exit(main())
