"""Generated tokens a second of the sample step, against plain vLLM over the same prompts with the same sampling parameters.

    python -m benchmarks.sample [--folder runs/quickstart] [--prompts 800] [--samples 4] [--repeats 5] [--programs 3]

FOLDER holds the quickstart's model/ and data/ (`tpt demo-model` writes them); without it they are made, which takes a minute.

1. In one engine, taking turns: the generation phase of the step (feeding, text and ids, files on the disk) and
   `LLM.generate`, which is the peer; the peer without log-probabilities; and n samples in one request against n passes.
   Goal: the step at least 0.97 of the peer.
2. `LLM.generate` in vLLM's usual arrangement of processes, in a program of its own.
3. Whole programs, from start to exit: the step against n program starts with one sample a prompt, as common scripts of this
   method do. Goal: at most half their wall time.
4. The memory of the step's program while it generates ten times as much.

Ratios are of repetitions that follow each other, with the 95 % interval of their mean (of logarithms, Student's t).
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.ratios import ratio
from tpt_runtime.artifacts.files import write_rows
from tpt_runtime.artifacts.storage import Storage
from tpt_runtime.core.choices import SamplingEngine
from tpt_runtime.core.configs import SampleConfig, SamplePart
from tpt_runtime.core.status import StepName
from tpt_runtime.sample.chunks import Shard
from tpt_runtime.sample.engine import EngineSettings, Request
from tpt_runtime.sample.modelfolder import ModelFolder
from tpt_runtime.sample.part import Part
from tpt_runtime.sample.vllm_engine import VllmEngine, engine_arguments, sampling_params
from tpt_runtime.step.context import Context
from tpt_runtime.step.cores import let_idle_threads_sleep
from tpt_runtime.step.journal import JsonJournal

MAX_TOKENS = 32
TEMPERATURE = 0.8
FEW = 32
"""Prompts where batches are far from full."""
LONGEST = 900.0
"""Seconds that a program may take before it is given up."""

Arm = Callable[[int], float]
"""Takes the number of the repetition, returns tokens a second."""


def main() -> int:
    """Run what the options ask for and print tables."""
    options = _options()
    let_idle_threads_sleep()
    with tempfile.TemporaryDirectory(prefix="tpt-benchmark-") as name:
        workshop = Workshop(Path(name), options)
        if options.alone:
            return workshop.alone(options.alone)
        full, few = workshop.in_one_engine()
        print(table("tokens/s in one engine", full, "LLM.generate"))
        print(table(f"tokens/s, {FEW} prompts", few, "LLM.generate"), flush=True)
        print(table("program starts, wall seconds", workshop.programs(), "the sample step"), flush=True)
        print(workshop.memory())
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="the quickstart's model and data; default: made now")
    parser.add_argument("--prompts", type=int, default=800, help="training questions")
    parser.add_argument("--samples", type=int, default=4, help="samples of each")
    parser.add_argument("--repeats", type=int, default=5, help="repetitions inside one engine")
    parser.add_argument("--programs", type=int, default=3, help="repetitions of whole programs")
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


class Workshop:
    """Prompts and model of one benchmark, and what is measured on them."""

    def __init__(self, root: Path, options: argparse.Namespace) -> None:
        """Make everything below `root`."""
        self.root, self.options = root, options
        folder = options.folder or _quickstart(root / "quickstart")
        (root / "model").symlink_to((folder / "model").resolve())
        self._write_prompts(folder / "data" / "train.jsonl")

    def _write_prompts(self, source: Path) -> None:
        tokenizer: Any = ModelFolder.open(self.root / "model").load_tokenizer()
        questions = [json.loads(line)["question"] for line in source.read_text().splitlines()][: self.options.prompts]
        rows = [{"id": f"{n:016x}", "promptIds": tokenizer(f"Q: {text} A:")["input_ids"]} for n, text in enumerate(questions)]
        write_rows(self.root / "prompts.jsonl", rows)
        write_rows(self.root / "few.jsonl", rows[:FEW])
        write_rows(self.root / "many.jsonl", ({**row, "id": f"{row['id']}-{again}"} for again in range(10) for row in rows))

    def config(self, prompts: str, path: str) -> SampleConfig:
        """Return the step's configuration for a file of prompts."""
        part = SamplePart(
            digest="0" * 16,
            path=path,
            purpose="train",
            round=1,
            prompts={"train": prompts},
            samples_per_prompt=self.options.samples,
            temperature=TEMPERATURE,
            top_p=1.0,
            max_tokens=MAX_TOKENS,
            seed=0,
        )
        where = {"run": "benchmark", "namespace": "default", "storage": str(self.root), "root": str(self.root), "model": "model"}
        choices: dict[str, Any] = {"step": StepName.SAMPLE, "round": 1, "attempt": 1, "engine": SamplingEngine.VLLM}
        return SampleConfig(**where, **choices, shards=1, tensor_parallel_size=1, parts=[part])

    def settings(self) -> EngineSettings:
        """Return what the step starts its engine with."""
        longest = max(part.longest_prompt for part in self._parts("prompts.jsonl"))
        return EngineSettings(self.root / "model", longest + MAX_TOKENS, 1, lambda *_: None)

    def _parts(self, prompts: str, path: str = "unused") -> list[Part]:
        config = self.config(prompts, path)
        return [Part(config, config.parts[0], Shard(0, 1), Storage())]

    def in_one_engine(self) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
        """Return tokens a second of every arm, repetition by repetition: over all prompts, and over a few."""
        settings = self.settings()
        arguments = engine_arguments(settings)
        from vllm import LLM

        llm = LLM(**arguments)
        engine = VllmEngine(llm.llm_engine, settings.context)
        passes = self.options.samples
        arms: dict[str, Arm] = {
            "LLM.generate": self._peer(llm, "prompts.jsonl"),
            "the sample step": self._step(engine),
            "LLM.generate, no log-probabilities": self._peer(llm, "prompts.jsonl", logprobs=None),
            f"LLM.generate, {passes} passes with n = 1": self._peer(llm, "prompts.jsonl", passes=passes),
        }
        few: dict[str, Arm] = {
            "LLM.generate": self._peer(llm, "few.jsonl"),
            f"LLM.generate, {passes} passes with n = 1": self._peer(llm, "few.jsonl", passes=passes),
        }
        arms["LLM.generate"](-1)  # the first time pays for warm-up
        found = _in_turn(arms, self.options.repeats), _in_turn(few, self.options.repeats)
        engine.close()
        return found[0] | {"LLM.generate in vLLM's usual processes": self._usual_processes()}, found[1]

    def _requests(self, prompts: str) -> list[Request]:
        model = ModelFolder.open(self.root / "model")
        stop_ids = frozenset(model.end_ids(model.load_tokenizer()))
        return [request for part in self._parts(prompts) for request, _ in part.requests(stop_ids)]

    def _peer(self, llm: Any, prompts: str, *, passes: int = 1, **changed: Any) -> Arm:
        requests = self._requests(prompts)
        inputs = [{"prompt_token_ids": list(request.prompt_ids)} for request in requests]

        def generate(repetition: int) -> float:
            total, began = 0, time.perf_counter()
            for number in range(passes):
                parameters = [sampling_params(request, self.settings().context) for request in requests]
                for one in parameters:
                    one.seed = (one.seed + 1000 * number + 7919 * repetition) % 2**62
                    one.n = one.n // passes
                    for name, value in changed.items():
                        setattr(one, name, value)
                outputs = llm.generate(inputs, parameters, use_tqdm=False)
                total += sum(len(sample.token_ids) for output in outputs for sample in output.outputs)
            return total / (time.perf_counter() - began)

        return generate

    def _step(self, engine: VllmEngine) -> Arm:
        from tpt_runtime.sample.feeding import Feeding, Pace
        from tpt_runtime.sample.step import jobs_of, meter_of

        model = ModelFolder.open(self.root / "model")
        tokenizer = model.load_tokenizer()

        def generate(_: int) -> float:
            shutil.rmtree(self.root / "drawn", ignore_errors=True)
            parts = self._parts("prompts.jsonl", "drawn")
            meter = meter_of(parts)
            with (self.root / "log").open("w") as log:
                began = time.perf_counter()
                context = Context(JsonJournal(log))
                Feeding(jobs_of(parts[0], tokenizer, model.end_ids(tokenizer)), meter, Pace()).run(engine, context)
                return meter.tokens / (time.perf_counter() - began)

        return generate

    def _usual_processes(self) -> list[float]:
        out = self.root / "usual.json"
        self._run_alone(out, {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}, self.options.repeats)
        rates: list[float] = json.loads(out.read_text())
        return rates

    def alone(self, out: Path) -> int:
        """Generate with `LLM.generate` as often as asked, in this process alone, and leave the rates in `out`."""
        arguments = engine_arguments(self.settings())
        from vllm import LLM

        llm = LLM(**arguments)
        generate = self._peer(llm, "prompts.jsonl")
        if self.options.repeats > 1:
            generate(-1)
        out.write_text(json.dumps([generate(repetition) for repetition in range(self.options.repeats)]))
        llm.llm_engine.engine_core.shutdown()  # else this program waits at its end for vLLM's processes, and they for it
        return 0

    def _run_alone(self, out: Path, environment: dict[str, str], repeats: int, samples: int | None = None) -> None:
        given = {"folder": self.root / "given", "prompts": self.options.prompts, "samples": samples or self.options.samples}
        if not given["folder"].exists():
            (self.root / "given" / "data").mkdir(parents=True)
            (self.root / "given" / "model").symlink_to((self.root / "model").resolve())
            source = (self.options.folder or self.root / "quickstart") / "data" / "train.jsonl"
            shutil.copyfile(source, self.root / "given" / "data" / "train.jsonl")
        flags = [
            word for name, value in {**given, "repeats": repeats, "alone": out}.items() for word in (f"--{name}", str(value))
        ]
        _run([sys.executable, "-m", "benchmarks.sample", *flags], environment)

    def programs(self) -> dict[str, list[float]]:
        """Return the wall seconds of whole programs, repetition by repetition."""
        command = [sys.executable, "-m", "tpt_runtime.sample"]
        starts = self.options.samples

        def step(repetition: int) -> float:
            config = self.config("prompts.jsonl", f"program-{repetition}")
            return _run([*command, config.model_dump_json(by_alias=True)], {"TPT_LOG": "json"})

        def scripts(**environment: str) -> Arm:
            def start(_: int) -> float:
                began = time.perf_counter()
                for _ in range(starts):
                    self._run_alone(self.root / "one.json", environment, repeats=1, samples=1)
                return time.perf_counter() - began

            return start

        arms: dict[str, Arm] = {
            "the sample step": step,
            f"{starts} starts with n = 1, vLLM in its usual processes": scripts(VLLM_ENABLE_V1_MULTIPROCESSING="1"),
            f"{starts} starts with n = 1, vLLM in one process, as in the step": scripts(),
        }
        return _in_turn(arms, self.options.programs)

    def memory(self) -> str:
        """Return the resident memory of the step's program as it generates, in a line."""
        config = self.config("many.jsonl", "many")
        with (self.root / "many.log").open("w") as log:
            command = [sys.executable, "-m", "tpt_runtime.sample", config.model_dump_json(by_alias=True)]
            program = subprocess.Popen(command, stderr=log, stdout=subprocess.DEVNULL, env=os.environ | {"TPT_LOG": "json"})
        seen: list[tuple[float, int]] = []
        while program.poll() is None:
            seen.append((_share_done(self.root / "many.log"), _resident(program.pid)))
            time.sleep(0.2)
        at = {
            share: max((size for done, size in seen if done <= share and size), default=0)
            for share in (0.01, 0.25, 0.5, 0.75, 1.0)
        }
        figures = ", ".join(f"{size / 2**20:.0f} MiB up to {share:.0%}" for share, size in at.items())
        return f"memory of the step's program over {10 * self.options.prompts} prompts, highest so far: {figures}"


def _quickstart(folder: Path) -> Path:
    from tpt_runtime.demo.quickstart import write_quickstart

    write_quickstart(folder, 0)
    return folder


def _in_turn(arms: dict[str, Arm], repeats: int) -> dict[str, list[float]]:
    """Run every arm `repeats` times, in an order that differs each time, so that a slow minute of the machine hits all."""
    found: dict[str, list[float]] = {name: [] for name in arms}
    for repetition in range(repeats):
        order = list(arms)
        Random(repetition).shuffle(order)
        for name in order:
            found[name].append(arms[name](repetition))
    return found


def _run(command: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    given = os.environ | environment
    ended = subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=LONGEST)
    if ended.returncode:
        raise RuntimeError(f"{command[:3]} exited with {ended.returncode}: {ended.stderr[-2000:]}")
    return time.perf_counter() - began


def _share_done(log: Path) -> float:
    progress = [json.loads(line) for line in log.read_text().splitlines() if '"event": "progress"' in line and line.endswith("}")]
    return float(progress[-1]["completed"] / progress[-1]["total"]) if progress else 0.0


def _resident(pid: int) -> int:
    """Return the bytes of resident memory of a process and all below it; 0 once it has ended."""
    try:
        own = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    return own + sum(_resident(int(child)) for child in children)


def table(title: str, results: dict[str, list[float]], peer: str) -> str:
    """Return medians, spread, and each arm's ratio to the peer with its 95 % interval."""
    lines = [f"| {title} | median | lowest to highest | ratio to {peer} (95 %) |", "|---|---|---|---|"]
    for arm, values in results.items():
        cell = "1" if arm == peer else ratio(values, results[peer])
        lines.append(f"| {arm} | {_short(statistics.median(values))} | {_short(min(values))} to {_short(max(values))} | {cell} |")
    return "\n".join(lines) + "\n"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


if __name__ == "__main__":
    sys.exit(main())
