"""train: real trainings of a tiny model, compared with a plain loop, with each other, and after a chain of rounds."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.steps.training import END, PREPARED, examples, workshop
from tests.steps.trainings import (
    BATCH,
    CLOSE,
    COUNT,
    Weights,
    difference,
    error_of,
    folder_of,
    job_of,
    outcome_of,
    reference,
    reference_loss,
    token_losses,
    train,
    weights_in,
)
from tpt_runtime.train.examples import IGNORED, ExampleSet, Row, held_out_set, training_set
from tpt_runtime.train.job import Job
from tpt_runtime.train.worker import make_plan

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return workshop(tmp_path_factory.mktemp("run"), examples(COUNT), examples(11, seed=5))


STAGES = (0, 1, 2, 3)
LORA: dict[str, Any] = {"method": "LoRA", "lora": {"rank": 4}}
ROUNDS = 3
TINY_RATE = 1e-6


def chain(root: Path, name: str, **changes: Any) -> list[Job]:
    """Return rounds that each start from what the one before saved, at a learning rate that bf16 weights would swallow."""
    jobs: list[Job] = []
    for number in range(1, ROUNDS + 1):
        parent: dict[str, Any] = {"model": f"{jobs[-1].config.path}/model.partial-a1"} if jobs else {}
        jobs.append(job_of(root, f"{name}{number}", learningRate=TINY_RATE, round=number, **parent, **changes))
    return jobs


@pytest.fixture(scope="module")
def plain(root: Path) -> dict[str, Job]:
    """Return trainings by PyTorch alone."""
    jobs = {
        "plain": job_of(root, "plain", engine="Torch"),
        "whole": job_of(root, "whole", engine="Torch", microBatchSize=BATCH),
        "single": job_of(root, "single", engine="Torch", microBatchSize=1),
        "packed": job_of(root, "packed", engine="Torch", batching="Packed", microBatchSize=1),
        "recomputed": job_of(root, "recomputed", engine="Torch", recompute=True),
        "lora": job_of(root, "lora", engine="Torch", **LORA),
        "standstill": job_of(root, "standstill", engine="Torch", learningRate=1e-30),
        "broken": job_of(root, "broken", engine="Torch", model=broken_model(root)),
    }
    rounds = chain(root, "exact", engine="Torch")
    jobs |= {f"exact{number}": job for number, job in enumerate(rounds, 1)}
    train(root, "plain", list(jobs.values()))
    return jobs


def broken_model(root: Path) -> str:
    """Write a model one of whose weights is no number."""
    from safetensors.torch import load_file, save_file

    source, target = root / PREPARED / "model", root / "broken" / "model"
    shutil.copytree(source, target)
    weights = load_file(source / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return "broken/model"


def sharded(root: Path, processes: int) -> dict[str, Job]:
    name = f"x{processes}"

    def job(kind: str, stage: int, **changes: Any) -> Job:
        return job_of(root, kind + name, processes, deepspeed={"zeroStage": stage}, **changes)

    jobs = {f"zero{stage}": job(f"zero{stage}", stage) for stage in STAGES}
    jobs["offload"] = job_of(root, f"offload{name}", processes, deepspeed={"zeroStage": 2, "offloadOptimizer": True})
    jobs |= {f"lora{stage}": job(f"lora{stage}", stage, **LORA) for stage in (2, 3)}
    jobs["bf16-3"] = job("bf16-3", 3, precision="BF16", learningRate=TINY_RATE)
    rounds = chain(root, f"mixed{name}-", processes=processes, precision="BF16")
    jobs |= {f"mixed{number}": job for number, job in enumerate(rounds, 1)}
    train(root, name, list(jobs.values()))
    return jobs


@pytest.fixture(scope="module")
def alone(root: Path) -> dict[str, Job]:
    """Return trainings by DeepSpeed in one process."""
    return sharded(root, 1)


@pytest.fixture(scope="module")
def together(root: Path) -> dict[str, Job]:
    """Return trainings by DeepSpeed in two processes."""
    return sharded(root, 2)


def trained(job: Job) -> Weights:
    assert error_of(job) == []
    return weights_in(folder_of(job))


def update(job: Job, root: Path) -> Any:
    """Return all that `job`, the last of a chain, is away from the base model, as one vector in double precision."""
    import torch

    before, after = weights_in(root / PREPARED / "model"), trained(job)
    return torch.cat([(after[name].double() - before[name].double()).flatten() for name in sorted(after)])


def cosine(one: Any, other: Any) -> float:
    return float(one @ other / (one.norm() * other.norm()))


PLAIN = ("plain", "whole", "single", "recomputed")
SHARDED = (*(f"zero{stage}" for stage in STAGES), "offload")


@pytest.fixture(scope="module")
def expected(plain: dict[str, Job]) -> Weights:
    return reference(plain["plain"])


# The loss is the mean over all tokens of an optimizer step, whoever takes which of them, and of sampled tokens only


@pytest.mark.parametrize("name", PLAIN)
def test_the_weights_are_those_of_a_plain_loop_however_a_step_is_cut(plain: dict[str, Job], expected: Weights, name: str) -> None:
    """Rows are of unequal length: with a mean of means, or late rows weighing less, the weights would differ."""
    assert difference(trained(plain[name]), expected) < CLOSE


def test_the_reference_would_notice_a_mean_of_means(plain: dict[str, Job], expected: Weights) -> None:
    assert difference(reference(plain["plain"], mean_of_means=True), expected) > 100 * CLOSE


@pytest.mark.parametrize("name", SHARDED)
def test_every_stage_takes_the_steps_of_the_plain_loop_in_one_process(
    alone: dict[str, Job], expected: Weights, name: str
) -> None:
    assert difference(trained(alone[name]), expected) < CLOSE


@pytest.mark.parametrize("name", SHARDED)
def test_two_processes_make_the_weights_that_one_makes(
    alone: dict[str, Job], together: dict[str, Job], expected: Weights, name: str
) -> None:
    assert difference(trained(together[name]), trained(alone[name])) < CLOSE
    assert difference(trained(together[name]), expected) < CLOSE


def test_examples_packed_into_one_row_do_not_see_each_other(plain: dict[str, Job]) -> None:
    assert difference(trained(plain["packed"]), reference(plain["packed"])) < CLOSE


def test_what_the_model_is_given_has_labels_on_sampled_tokens_only(root: Path, plain: dict[str, Job]) -> None:
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    from tpt_runtime.train.trainer import PlannedBatches, dataset_of

    job = plain["whole"]
    rows = training_set([root / name for name in job.config.examples], job.config.training.max_length).rows
    dataset, collator = dataset_of(rows), DataCollatorForLanguageModeling(pad_token_id=0)
    seen = 0
    for indexes in PlannedBatches(make_plan(job, ExampleSet(rows)), 0, len(rows)):
        batch = collator([dataset[index] for index in indexes])
        for index, ids, labels in zip(indexes, batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True):
            row = rows[index]
            end = len(row.ids)
            assert ids[:end] == list(row.ids)
            assert labels[: row.prompt_tokens] == [IGNORED] * row.prompt_tokens
            assert labels[row.prompt_tokens : end] == list(row.ids[row.prompt_tokens :])
            assert labels[end - 1] == END
            assert set(labels[end:]) <= {IGNORED}
            seen += 1
    assert seen == len(rows)


# Figures


@pytest.mark.parametrize(("kind", "name"), [("plain", "plain"), ("plain", "packed"), ("together", "zero3")])
def test_the_figures_are_those_of_a_plain_loop(request: pytest.FixtureRequest, root: Path, kind: str, name: str) -> None:
    job = request.getfixturevalue(kind)[name]
    found = outcome_of(job)
    rows = training_set([root / folder for folder in job.config.examples], job.config.training.max_length)
    held_out = held_out_set(root / job.config.examples[-1], job.config.training.max_length).rows
    assert found.held_out == pytest.approx([plain_loss(root / job.config.model, held_out), plain_loss(folder_of(job), held_out)])
    assert (found.steps, found.examples) == (6, COUNT)
    assert found.tokens == sum(row.trained for row in rows.rows)
    assert found.changed_share == 1.0
    assert found.loss == pytest.approx(reference_loss(job), abs=1e-5)


def plain_loss(folder: Path, rows: list[Row]) -> float:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        return sum(float(token_losses(model, row)) for row in rows) / sum(row.trained for row in rows)


def test_a_training_that_changes_nothing_is_seen(plain: dict[str, Job]) -> None:
    assert outcome_of(plain["standstill"]).changed_share == 0.0


def test_a_loss_that_is_no_number_ends_the_run_at_once_as_another_attempt_would_meet_it_again(plain: dict[str, Job]) -> None:
    kind, words = error_of(plain["broken"])
    assert kind == "ConfigurationError"
    assert "the loss of step 1 is nan" in words


# Rounds chain in fp32


@pytest.mark.parametrize("kind", ["alone", "together"])
def test_bf16_is_for_computing_and_weights_are_saved_in_fp32(request: pytest.FixtureRequest, kind: str) -> None:
    jobs = request.getfixturevalue(kind)
    for name in ("mixed1", "bf16-3"):
        assert {str(tensor.dtype) for tensor in trained(jobs[name]).values()} == {"torch.float32"}
        assert json.loads((folder_of(jobs[name]) / "config.json").read_text())["dtype"] == "float32"


@pytest.mark.parametrize("kind", ["alone", "together"])
def test_small_updates_survive_a_chain_of_rounds(
    request: pytest.FixtureRequest, root: Path, plain: dict[str, Job], kind: str
) -> None:
    """At a learning rate of 1e-6 a chain of bf16 weights loses much of the direction; fp32 weights with bf16 autocast do not."""
    exact = update(plain[f"exact{ROUNDS}"], root)
    mixed = update(request.getfixturevalue(kind)[f"mixed{ROUNDS}"], root)
    assert cosine(mixed, exact) > 0.98
    assert cosine(rounded_chain(plain, root), exact) < 0.9


def rounded_chain(plain: dict[str, Job], root: Path) -> Any:
    """Return what a chain would make that takes the exact steps and saves bf16 after every round."""
    import torch

    state = weights_in(root / PREPARED / "model")
    base = {name: tensor.double() for name, tensor in state.items()}
    state = {name: tensor.bfloat16().double() for name, tensor in state.items()}
    before = weights_in(root / PREPARED / "model")
    for number in range(1, ROUNDS + 1):
        after = trained(plain[f"exact{number}"])
        state = {n: (state[n] + after[n].double() - before[n].double()).bfloat16().double() for n in state}
        before = after
    return torch.cat([(state[name] - base[name].bfloat16().double()).flatten() for name in sorted(state)])


# LoRA


def test_an_adapter_is_merged_into_an_ordinary_model(root: Path, plain: dict[str, Job]) -> None:
    before, after = weights_in(root / PREPARED / "model"), trained(plain["lora"])
    changed = {name for name in before if not before[name].equal(after[name])}
    assert before.keys() == after.keys()
    assert changed == {name for name in before if "_proj" in name}


@pytest.mark.parametrize("stage", [2, 3])
def test_every_stage_trains_the_same_adapter(
    plain: dict[str, Job], alone: dict[str, Job], together: dict[str, Job], stage: int
) -> None:
    """The merge multiplies rounding errors of the adapter; the bound is one for sums of a few hundred of them."""
    for jobs in (alone, together):
        assert difference(trained(jobs[f"lora{stage}"]), trained(plain["lora"])) < 1e-5


# What is saved can be loaded


LOADED = [("plain", "plain"), ("plain", "lora"), *((kind, f"zero{stage}") for kind in ("alone", "together") for stage in STAGES)]


@pytest.mark.parametrize(("kind", "name"), [*LOADED, ("together", "lora3"), ("together", "bf16-3")])
def test_every_checkpoint_loads_in_transformers(request: pytest.FixtureRequest, kind: str, name: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    job = request.getfixturevalue(kind)[name]
    model, report = AutoModelForCausalLM.from_pretrained(folder_of(job), output_loading_info=True)
    assert model.dtype == torch.float32
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    saved = trained(job)
    assert all(saved[name].equal(tensor) for name, tensor in model.state_dict().items() if name in saved)


def test_the_description_of_the_model_is_the_parents(root: Path, plain: dict[str, Job]) -> None:
    for name in ("config.json", "generation_config.json"):
        parent = json.loads((root / PREPARED / "model" / name).read_text())
        child = json.loads((folder_of(plain["plain"]) / name).read_text())
        assert child == (parent | {"dtype": "float32"} if name == "config.json" else parent)


VLLM = """
import json, sys
from vllm import LLM, SamplingParams
engine = LLM(model=sys.argv[1], skip_tokenizer_init=True, dtype="float32", enforce_eager=True, max_model_len=64, max_num_seqs=4)
prompts = [{"prompt_token_ids": ids} for ids in json.loads(sys.argv[2])]
sampling = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True, detokenize=False)
print("TOKENS", json.dumps([list(output.outputs[0].token_ids) for output in engine.generate(prompts, sampling)]))
"""


def test_a_checkpoint_of_sharded_weights_loads_in_vllm_and_says_the_same(together: dict[str, Job], tmp_path: Path) -> None:
    """Stage 3 in two processes: no process ever held all weights while training."""
    import torch
    from transformers import AutoModelForCausalLM

    pytest.importorskip("vllm")
    folder = folder_of(together["zero3"])
    prompts = [example["ids"][:6] for example in examples(3, seed=9)]
    settings = {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "2",
        "HF_HUB_OFFLINE": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
    }
    done = subprocess.run(
        [sys.executable, "-c", VLLM, str(folder), json.dumps(prompts)],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stdout.splitlines() if line.startswith("TOKENS ")]
    assert said, done.stdout[-2000:] + done.stderr[-2000:]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        told = [
            model.generate(torch.tensor([ids]), max_new_tokens=8, min_new_tokens=8, do_sample=False)[0, len(ids) :].tolist()
            for ids in prompts
        ]
    assert json.loads(said[0].removeprefix("TOKENS ")) == told
