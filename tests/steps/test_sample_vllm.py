"""The vLLM engine, as the program runs it: three starts serve all of these tests."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from tests.steps.conftest import SilentJournal
from tests.steps.sampling import END, EVALUATED, TRAINED, TURN, config, part, sampled, write_prompts, write_tiny_llama
from tpt_runtime.artifacts.samples import PromptKey, SampleFiles
from tpt_runtime.core.choices import Strategy
from tpt_runtime.core.configs import SampleConfig
from tpt_runtime.core.rows import Sample
from tpt_runtime.core.spec import Pruning
from tpt_runtime.core.status import SampleSummary
from tpt_runtime.core.verifier import Verifier
from tpt_runtime.sample.machine import computes_bfloat16
from tpt_runtime.sample.modelfolder import ModelFolder
from tpt_runtime.sample.step import sample
from tpt_runtime.sample.tokens import Words, find_stop
from tpt_runtime.step.context import Context

pytestmark = pytest.mark.engine

STOP = ["\n", " .", "日"]
STOP_IDS = {END, TURN}
GREEDY = part("evaluate", "eval", samples_per_prompt=1, temperature=0.0, max_tokens=24)
DRAWN = part("train", "train", samples_per_prompt=3, max_tokens=40, stop=STOP, top_k=100)
STOPPED = DRAWN.model_copy(
    update={
        "digest": "5" * 16,
        "path": "round-001/stopped",
        "strategy": Strategy.STOP_WHEN_CORRECT,
        "pruning": Pruning(verifier=Verifier(require_marker=False)),
    }
)
"""The same as DRAWN, until a sample's last number is the reference: 1."""
TOKENS = 40
PROMPTS = {"eval": 30, "train": 150}

NO_COMPILER = {"CXX": "no-compiler", "CC": "no-compiler"}
"""Images have none."""


def workshop(root: Path, model: Path) -> Path:
    root.mkdir()
    shutil.copytree(model, root / "model")
    for name, count in PROMPTS.items():
        write_prompts(root, name, count)
    return root


class Program:
    """The sample step as a process of its own, with the processes that it starts."""

    def __init__(self, root: Path, settings: SampleConfig) -> None:
        self._termination = root / "termination"
        environment = os.environ | {"TPT_LOG": "json", "TPT_TERMINATION_LOG": str(self._termination), "OMP_NUM_THREADS": "1"}
        environment |= NO_COMPILER | {"TORCHINDUCTOR_CACHE_DIR": str(root / "compiled")}
        command = [sys.executable, "-m", "tpt_runtime.sample", settings.model_dump_json(by_alias=True)]
        self._log = root / f"log-{settings.attempt}"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=environment,
                start_new_session=True,
                cwd=Path(__file__).parents[2],
            )

    def wait_for(self, event: str) -> None:
        with self._log.open() as log:
            while self.process.poll() is None:
                line = log.readline()
                if line.endswith("\n") and line.startswith("{") and json.loads(line)["event"] == event:
                    return
        raise AssertionError(f"ended before {event}: {self.log}")

    def ended(self, code: int) -> None:
        assert self.process.wait(300) == code, self.log

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    @property
    def summary(self) -> SampleSummary:
        return SampleSummary.model_validate_json(self._termination.read_text())

    def leaves_nobody_behind(self, seconds: float = 20.0) -> None:
        """Wait for the process that forks graders: it ends once it notices that this one has."""
        end = time.monotonic() + seconds
        while self.left_behind and time.monotonic() < end:
            time.sleep(0.05)
        assert self.left_behind == []

    @property
    def left_behind(self) -> list[str]:
        """Command lines of the processes of its session that still live."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
                if int(fields[3]) == self.process.pid and fields[0] != "Z":
                    found.append(stat.with_name("cmdline").read_text())
            except OSError:
                continue
        return found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("llama") / "model")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, model: Path) -> tuple[Path, Program]:
    """Both parts, sampled at one go."""
    root = workshop(tmp_path_factory.mktemp("whole") / "run", model)
    program = Program(root, config(root, GREEDY, DRAWN, engine="VLLM"))
    program.ended(0)
    return root, program


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[tuple[Path, Program]]:
    """Both parts, asked to stop once the first prompts were done."""
    root = workshop(tmp_path_factory.mktemp("interrupted") / "run", model)
    program = Program(root, config(root, GREEDY, DRAWN, engine="VLLM"))
    program.wait_for("progress")
    program.process.send_signal(signal.SIGTERM)
    program.ended(143)
    yield root, program
    shutil.rmtree(root)


def drawn(root: Path) -> dict[tuple[str, str], list[Sample]]:
    return sampled(root / DRAWN.path)


def prompt_ids(root: Path, name: str) -> dict[str, list[int]]:
    rows = map(json.loads, (root / "prepare-1" / f"{name}.jsonl").read_text().splitlines())
    return {row["id"]: row["promptIds"] for row in rows}


def test_every_prompt_is_sampled_and_the_next_step_can_read_it(whole: tuple[Path, Program]) -> None:
    root, program = whole
    keys = [PromptKey("train", identity) for identity in prompt_ids(root, "train")]
    assert [len(row["samples"]) for row in SampleFiles(root / DRAWN.path, TRAINED).read(keys)] == [3] * PROMPTS["train"]
    assert len(sampled(root / GREEDY.path)) == PROMPTS["eval"]
    summary = program.summary
    assert (summary.digest, summary.prompts, summary.samples) == (TRAINED, 180, 30 + 450)
    manifest = json.loads((root / GREEDY.path / "shard-00000-of-00001.manifest.json").read_text())
    assert manifest["digest"] == EVALUATED


def test_phases_and_progress_are_said_and_vllms_chatter_is_not(whole: tuple[Path, Program]) -> None:
    _, program = whole
    begun = [event["phase"] for event in program.events if event["event"] == "phase" and "seconds" not in event]
    assert begun[:4] == ["read prompts", "fetch model", "engine start", "generate"]
    assert [event["completed"] for event in program.events if event["event"] == "progress"][-1] == 480
    assert {event["level"] for event in program.events if event["event"] == "log"} <= {"warning", "error"}
    assert "INFO" not in program.log


def test_ids_and_text_agree_and_only_what_ended_has_an_end(whole: tuple[Path, Program]) -> None:
    root, _ = whole
    tokenizer = ModelFolder.open(root / "model").load_tokenizer()
    prompts = prompt_ids(root, "train")
    finishes = []
    for (_, identity), samples in drawn(root).items():
        words = Words.after(tokenizer, prompts[identity])
        for one in samples:
            ended = one["finish"] == "stop"
            body = one["ids"][:-1] if ended else one["ids"]
            assert (one["ids"][-1] in STOP_IDS) == ended
            assert not STOP_IDS & set(body)
            assert words.text(body) == one["text"]
            assert find_stop(one["text"], STOP) is None
            assert one["tokens"] <= TOKENS
            finishes.append((one["finish"], one["tokens"] == len(one["ids"])))
    assert {("stop", True), ("stop", False), ("length", True)} == set(finishes), "each way to end occurs"


def test_greedy_samples_are_those_of_the_transformers_engine(whole: tuple[Path, Program]) -> None:
    if computes_bfloat16():
        pytest.skip("vLLM computes in bfloat16 on this processor, so its likeliest token may be another")
    root, _ = whole
    again = GREEDY.model_copy(update={"path": "transformers"})
    sample(config(root, again), Context(SilentJournal()))
    theirs, ours = sampled(root / GREEDY.path), sampled(root / "transformers")
    assert theirs.keys() == ours.keys()
    for key, (one,) in theirs.items():
        (other,) = ours[key]
        assert (one["ids"], one["text"], one["finish"]) == (other["ids"], other["text"], other["finish"])
        assert one["logprob"] == pytest.approx(other["logprob"], abs=1e-4)


def test_log_probabilities_are_those_of_the_model_at_temperature_1(whole: tuple[Path, Program]) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    root, _ = whole
    judge = AutoModelForCausalLM.from_pretrained(root / "model", dtype=torch.float32).eval()
    prompts = prompt_ids(root, "train")
    apart: list[float] = []
    for (_, identity), samples in list(drawn(root).items())[:60]:
        for one in samples:
            if one["ids"][-1] == END:
                continue  # it may stand for a stop text, and then other tokens were generated
            ids = torch.tensor([[*prompts[identity], *one["ids"]]])
            start = len(prompts[identity])
            with torch.inference_mode():
                logprobs = judge(ids).logits.log_softmax(-1)[0, start - 1 : -1]
            mean = logprobs.gather(-1, ids[0, start:, None]).mean().item()
            apart.append(abs(one["logprob"] - mean))
    assert len(apart) > 20
    most, on_average = (0.2, 0.03) if computes_bfloat16() else (1e-4, 1e-4)  # a sample of few tokens is further off
    assert max(apart) < most
    assert sum(apart) / len(apart) < on_average


def test_both_engines_draw_from_the_same_distribution(whole: tuple[Path, Program]) -> None:
    root, _ = whole
    again = DRAWN.model_copy(update={"path": "transformers-drawn"})
    sample(config(root, again), Context(SilentJournal()))
    theirs, ours = ([*chain.from_iterable(sampled(root / path).values())] for path in (DRAWN.path, again.path))
    for figure, tolerance in (("tokens", 2.0), ("logprob", 0.1)):
        means = [sum(one[figure] for one in samples) / len(samples) for samples in (theirs, ours)]
        assert means[0] == pytest.approx(means[1], abs=tolerance), figure


def test_a_request_to_stop_writes_what_has_finished_and_leaves_no_process(interrupted: tuple[Path, Program]) -> None:
    root, program = interrupted
    done = len(sampled(root / GREEDY.path)) + len(drawn(root))
    assert 0 < done < sum(PROMPTS.values())
    assert program.left_behind == []
    assert not list(root.rglob("*.manifest.json")), "nothing is called complete"
    seconds = [event["time"] for event in program.events if event["event"] in ("stopping", "interrupted")]
    assert len(seconds) == 2


def test_a_resumed_step_makes_the_samples_of_one_that_was_never_stopped(
    whole: tuple[Path, Program], interrupted: tuple[Path, Program]
) -> None:
    """The order and the company in which prompts are sampled are others: seeds and float32 make the samples the same."""
    root, _ = interrupted
    again = Program(root, config(root, GREEDY, DRAWN, STOPPED, engine="VLLM", attempt=2))
    again.ended(0)
    for one in (GREEDY, DRAWN):
        mine, theirs = sampled(root / one.path), sampled(whole[0] / one.path)
        assert {key: [made["ids"] for made in samples] for key, samples in mine.items()} == {
            key: [made["ids"] for made in samples] for key, samples in theirs.items()
        }
    again.leaves_nobody_behind()

    fixed, stopped = sampled(whole[0] / DRAWN.path), sampled(root / STOPPED.path)
    assert fixed.keys() == stopped.keys()
    for key, samples in stopped.items():
        assert [one["ids"] for one in samples] == [one["ids"] for one in fixed[key][: len(samples)]], "in one wave or in three"
    assert min(map(len, stopped.values())) == 1, "a prompt that was right at once got no second sample"
