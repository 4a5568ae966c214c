"""Tokens that a sampling saves which stops once a question has enough correct solutions, against a fixed number of samples.

    python -m benchmarks.strategy [--folder runs/quickstart] [--prompts 800] [--samples 8,32] [--most 1,4]

FOLDER holds the quickstart's model/ and data/ (`tpt demo-model` writes them); without it they are made, which takes a minute.

For every pair of samplesPerPrompt and maxCorrectPerPrompt the sample step draws the training questions' solutions with real vLLM
under each strategy, with the same seeds. Counted are samples and generated tokens, questions that were solved (one correct
solution at least) and examples that pruning would keep. Under StopWhenCorrect the solved questions have to be the very ones that
are solved under Fixed: that is checked, as is that its samples are the first of those. Tokens are counted, not timed, so the
machine need not be quiet; the seconds beside them are for orientation only. Goal: at most half the tokens for the same solved
questions.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.sample import MAX_TOKENS, TEMPERATURE
from tpt_runtime.artifacts.files import read_rows, write_rows
from tpt_runtime.core.choices import SamplingEngine, Strategy
from tpt_runtime.core.configs import SampleConfig, SamplePart
from tpt_runtime.core.rows import Sample
from tpt_runtime.core.spec import Pruning
from tpt_runtime.core.status import StepName
from tpt_runtime.sample.chunks import CHUNKS
from tpt_runtime.sample.courses import Judge
from tpt_runtime.sample.engine import Engine, EngineSettings, Request, Result, open_engine
from tpt_runtime.sample.modelfolder import ModelFolder
from tpt_runtime.sample.step import sample
from tpt_runtime.step.context import Context
from tpt_runtime.step.cores import let_idle_threads_sleep
from tpt_runtime.step.journal import JsonJournal

Samples = dict[str, list[Sample]]


@dataclass(frozen=True)
class Outcome:
    """What one strategy drew."""

    samples: Samples
    seconds: float
    solved: frozenset[str]
    kept: int

    @property
    def tokens(self) -> int:
        """Return all generated tokens."""
        return sum(one["tokens"] for drawn in self.samples.values() for one in drawn)


class Shared:
    """One engine for many steps, so that it is started once."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._engine: Engine | None = None

    def open(self, kind: SamplingEngine, settings: EngineSettings) -> "Shared":
        """Start the engine, or take the one that runs."""
        self._engine = self._engine or open_engine(kind, settings)
        return self

    def generate(self, requests: Iterator[Request]) -> Iterator[list[Result]]:
        """Generate."""
        if self._engine is None:
            raise RuntimeError("the engine was not opened")
        return self._engine.generate(requests)

    def close(self) -> None:
        """Leave it running for the next step."""

    def end(self) -> None:
        """End it."""
        if self._engine is not None:
            self._engine.close()


class Workshop:
    """Model and questions, and what each strategy makes of them."""

    def __init__(self, root: Path, options: argparse.Namespace) -> None:
        """Make everything below `root`."""
        self.root, self.engine = root, Shared()
        folder: Path = options.folder or _quickstart(root / "quickstart")
        (root / "model").symlink_to((folder / "model").resolve())
        tokenizer: Any = ModelFolder.open(root / "model").load_tokenizer()
        rows = [json.loads(line) for line in (folder / "data" / "train.jsonl").read_text().splitlines()][: options.prompts]
        prompts = [
            {"id": f"{n:016x}", "promptIds": tokenizer(f"Q: {row['question']} A:")["input_ids"], "reference": row["answer"]}
            for n, row in enumerate(rows)
        ]
        self.references = {str(row["id"]): str(row["reference"]) for row in prompts}
        write_rows(root / "prompts.jsonl", prompts)

    def outcome(self, strategy: Strategy, samples: int, most: int) -> Outcome:
        """Draw under `strategy`, and grade what was drawn."""
        pruning = Pruning(max_correct_per_prompt=most)
        config = self._config(f"{strategy}-{samples}-{most}", strategy, samples, pruning)
        with (self.root / "log").open("a") as log:
            began = time.perf_counter()
            sample(config, Context(JsonJournal(log)), self.engine.open)
            seconds = time.perf_counter() - began
        found: Samples = {
            row["id"]: row["samples"] for path in (self.root / config.parts[0].path).glob(CHUNKS) for row in read_rows(path)
        }
        with Judge(pruning) as judge:
            judged = {key: judge.judge(drawn, self.references[key]) for key, drawn in found.items()}
        solved = frozenset(key for key, verdicts in judged.items() if any(one.kind for one in verdicts))
        kept = sum(min(most, len({one.kind for one in verdicts} - {None})) for verdicts in judged.values())
        return Outcome(found, seconds, solved, kept)

    def _config(self, path: str, strategy: Strategy, samples: int, pruning: Pruning) -> SampleConfig:
        part = SamplePart(
            digest="0" * 16,
            path=path,
            purpose="train",
            round=1,
            prompts={"train": "prompts.jsonl"},
            samples_per_prompt=samples,
            temperature=TEMPERATURE,
            top_p=1.0,
            max_tokens=MAX_TOKENS,
            seed=0,
            strategy=strategy,
            pruning=None if strategy is Strategy.FIXED else pruning,
        )
        where = {"run": "benchmark", "namespace": "default", "storage": str(self.root), "root": str(self.root), "model": "model"}
        choices: dict[str, Any] = {"step": StepName.SAMPLE, "round": 1, "attempt": 1, "engine": SamplingEngine.VLLM}
        return SampleConfig(**where, **choices, shards=1, tensor_parallel_size=1, parts=[part])


def main() -> int:
    """Run what the options ask for and print a table."""
    options = _options()
    let_idle_threads_sleep()
    print("| samplesPerPrompt | maxCorrectPerPrompt | strategy | samples | tokens | of Fixed | solved | examples | seconds |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="tpt-benchmark-") as name:
        workshop = Workshop(Path(name), options)
        for samples in map(int, options.samples.split(",")):
            for most in map(int, options.most.split(",")):
                outcomes = {strategy: workshop.outcome(strategy, samples, most) for strategy in Strategy}
                _check(outcomes[Strategy.FIXED], outcomes[Strategy.STOP_WHEN_CORRECT])
                for strategy, outcome in outcomes.items():
                    print(_row(samples, most, strategy, outcome, outcomes[Strategy.FIXED]), flush=True)
        workshop.engine.end()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="the quickstart's model and data; default: made now")
    parser.add_argument("--prompts", type=int, default=800, help="training questions")
    parser.add_argument("--samples", default="8,32", help="samplesPerPrompt, one after the other")
    parser.add_argument("--most", default="1,4", help="maxCorrectPerPrompt, one after the other")
    return parser.parse_args()


def _check(fixed: Outcome, stopped: Outcome) -> None:
    """Raise an error unless the same questions are solved, with the same samples."""
    if fixed.solved != stopped.solved:
        raise RuntimeError(f"solved differ: {sorted(fixed.solved ^ stopped.solved)[:5]}")
    for key, drawn in stopped.samples.items():
        if [one["ids"] for one in drawn] != [one["ids"] for one in fixed.samples[key][: len(drawn)]]:
            raise RuntimeError(f"{key}: its samples are not the first of those under Fixed")


def _row(samples: int, most: int, strategy: Strategy, outcome: Outcome, fixed: Outcome) -> str:
    drawn = sum(map(len, outcome.samples.values()))
    share = f"{outcome.tokens / fixed.tokens:.0%}"
    cells = [samples, most, strategy.value, f"{drawn:,}", f"{outcome.tokens:,}", share, f"{len(outcome.solved):,}"]
    return "| " + " | ".join(map(str, [*cells, f"{outcome.kept:,}", f"{outcome.seconds:.0f}"])) + " |"


def _quickstart(folder: Path) -> Path:
    from tpt_runtime.demo.quickstart import write_quickstart

    write_quickstart(folder, 0)
    return folder


if __name__ == "__main__":
    sys.exit(main())
