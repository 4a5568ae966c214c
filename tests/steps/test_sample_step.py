"""The sample step around its engine: what is generated, what is found done, what is written; the engine is the tests' own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.steps.conftest import SilentJournal
from tests.steps.sampling import (
    BEGIN,
    END,
    EVALUATED,
    TRAINED,
    TURN,
    FakeEngine,
    config,
    part,
    sampled,
    write_bpe_tokenizer,
    write_prompts,
)
from tpt_runtime.artifacts.samples import PromptKey, SampleFiles
from tpt_runtime.core.configs import SampleConfig
from tpt_runtime.core.errors import ArtifactError, ConfigurationError, Interrupted
from tpt_runtime.core.names import prompt_seed
from tpt_runtime.core.rows import SampledPrompt
from tpt_runtime.core.status import SampleSummary, StepName
from tpt_runtime.sample.feeding import Pace
from tpt_runtime.sample.step import sample
from tpt_runtime.step.context import Context

TRAIN = part("train", "train")
EVALUATE = part("evaluate", "validation", "eval", samples_per_prompt=2, temperature=0.7)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, count in (("train", 11), ("validation", 4), ("eval", 5)):
        write_prompts(tmp_path, name, count)
    write_bpe_tokenizer(tmp_path / "model")
    model: dict[str, Any] = {"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 96}
    (tmp_path / "model" / "config.json").write_text(json.dumps(model))
    (tmp_path / "model" / "generation_config.json").write_text(json.dumps({"eos_token_id": [END, TURN]}))
    (tmp_path / "model" / "model.safetensors").write_bytes(b"weights")
    return tmp_path


def run(settings: SampleConfig, engine: FakeEngine | None = None, shard: int = 0) -> SampleSummary:
    return sample(settings, Context(SilentJournal(), shard), (engine or FakeEngine()).open, Pace(seconds=0.0))


def refusal(settings: SampleConfig, kind: type[Exception] = ConfigurationError) -> str:
    with pytest.raises(kind) as caught:
        run(settings)
    return str(caught.value)


def train_ids(root: Path) -> list[str]:
    return [json.loads(line)["id"] for line in (root / "prepare-1" / "train.jsonl").read_text().splitlines()]


def read_back(root: Path) -> list[SampledPrompt]:
    """Return the samples of all training prompts as the next step reads them."""
    return list(SampleFiles(root / TRAIN.path, TRAINED).read(PromptKey("train", identity) for identity in train_ids(root)))


def test_all_parts_are_sampled_in_one_engine_start_the_evaluation_first(root: Path) -> None:
    engine = FakeEngine(at_once=1)
    run(config(root, EVALUATE, TRAIN), engine)
    sets = [request.key.split("/")[1] for request in engine.requests]
    assert sets == ["validation"] * 4 + ["eval"] * 5 + ["train"] * 11
    assert (len(engine.settings), engine.closed) == (1, 1)


def test_the_summary_counts_all_parts_and_has_the_last_ones_digest(root: Path) -> None:
    summary = run(config(root, EVALUATE, TRAIN))
    made = [*sampled(root / EVALUATE.path).values(), *sampled(root / TRAIN.path).values()]
    assert (summary.step, summary.digest, summary.shard) == (StepName.SAMPLE, TRAINED, 0)
    assert (summary.prompts, summary.samples) == (20, 9 * 2 + 11 * 3)
    assert summary.tokens == sum(one["tokens"] for samples in made for one in samples) > 0
    assert {"read prompts", "engine start", "generate"} <= summary.seconds.keys()


def test_the_closing_evaluation_says_which_step_it_is(root: Path) -> None:
    assert run(config(root, EVALUATE, step=StepName.EVALUATE)).step is StepName.EVALUATE


def test_what_is_written_is_what_the_next_step_reads(root: Path) -> None:
    for shard in (0, 1, 2):
        run(config(root, TRAIN, shards=3), shard=shard)
    rows = read_back(root)
    assert [row["id"] for row in rows] == train_ids(root)
    assert all([one["index"] for one in row["samples"]] == [0, 1, 2] for row in rows)


def test_shards_divide_the_prompts_of_all_sets_by_their_index(root: Path) -> None:
    engines = [FakeEngine() for _ in range(2)]
    for shard, engine in enumerate(engines):
        run(config(root, EVALUATE, shards=2), engine, shard)
    keys = [sorted(request.key.removeprefix(f"{EVALUATED}/") for request in engine.requests) for engine in engines]
    prompts = [f"validation/validation-{n:03d}" for n in range(4)] + [f"eval/eval-{n:03d}" for n in range(5)]
    assert keys == [sorted(prompts[::2]), sorted(prompts[1::2])]


def test_samples_depend_neither_on_shards_nor_on_order(root: Path) -> None:
    run(config(root, TRAIN))
    whole = sampled(root / TRAIN.path)
    elsewhere = TRAIN.model_copy(update={"path": "elsewhere"})
    for shard in (2, 0, 1):
        run(config(root, elsewhere, shards=3), FakeEngine(at_once=shard + 1), shard)
    assert sampled(root / "elsewhere") == whole


def test_every_prompt_has_the_seed_of_its_run_round_purpose_and_id(root: Path) -> None:
    engine = FakeEngine()
    run(config(root, TRAIN), engine)
    seeds = {request.key.rpartition("/")[2]: request.seed for request in engine.requests}
    assert seeds == {identity: prompt_seed(5, 1, "train", identity) for identity in train_ids(root)}


def test_a_request_carries_the_parts_settings_and_every_token_that_ends_a_sample(root: Path) -> None:
    engine = FakeEngine()
    run(config(root, part("train", "train", top_k=9, top_p=0.5, stop=["\n", "<s>"], max_tokens=7)), engine)
    drawing = engine.requests[0].drawing
    assert (drawing.samples, drawing.temperature, drawing.top_k, drawing.top_p, drawing.max_tokens) == (3, 0.9, 9, 0.5, 7)
    assert drawing.stop == ("\n", "<s>")
    assert drawing.stop_ids == {BEGIN, END, TURN}


def test_the_engine_makes_room_for_the_longest_prompt_and_no_more(root: Path) -> None:
    engine = FakeEngine()
    run(config(root, TRAIN, shards=11), engine, shard=3)
    longest = max(len(json.loads(line)["promptIds"]) for line in (root / "prepare-1" / "train.jsonl").read_text().splitlines())
    assert engine.settings[0].context == longest + TRAIN.max_tokens


def test_a_sample_gets_what_the_models_context_leaves(root: Path) -> None:
    engine = FakeEngine()
    run(config(root, part("train", "train", max_tokens=90)), engine)
    assert engine.settings[0].context == 96
    assert {request.room(96) for request in engine.requests} == {96 - len(request.prompt_ids) for request in engine.requests}


def test_a_finished_shard_starts_no_engine_and_counts_as_before(root: Path) -> None:
    settings = config(root, EVALUATE, TRAIN)
    before = run(settings)
    engine = FakeEngine()
    again = run(settings, engine)
    assert engine.settings == []
    assert (again.prompts, again.samples, again.tokens) == (before.prompts, before.samples, before.tokens)
    assert again.seconds["generate"] == before.seconds["generate"]


def test_a_finished_part_is_not_sampled_again(root: Path) -> None:
    run(config(root, EVALUATE, step=StepName.EVALUATE))
    engine = FakeEngine()
    summary = run(config(root, EVALUATE, TRAIN), engine)
    assert {request.key.split("/")[1] for request in engine.requests} == {"train"}
    assert (summary.prompts, summary.samples) == (20, 9 * 2 + 11 * 3), "a part that was found done counts as well"


def test_a_changed_number_of_shards_goes_on_with_what_the_others_did(root: Path) -> None:
    for shard in (0, 2):
        run(config(root, TRAIN, shards=3), shard=shard)
    engines = [FakeEngine() for _ in range(2)]
    for shard, engine in enumerate(engines):
        run(config(root, TRAIN, shards=2, attempt=2), engine, shard)
    generated = sorted(request.key.rpartition("/")[2] for engine in engines for request in engine.requests)
    assert generated == sorted(train_ids(root)[1::3])
    assert len(read_back(root)) == 11


def test_samples_without_a_manifest_need_one_only(root: Path) -> None:
    """Another shard count has finished everything."""
    run(config(root, TRAIN))
    engine = FakeEngine()
    assert run(config(root, TRAIN, shards=2), engine, shard=1).prompts == 5
    assert engine.settings == []


def test_a_shard_without_prompts_ends_well(root: Path) -> None:
    engine = FakeEngine()
    summary = run(config(root, TRAIN, shards=20), engine, shard=15)
    assert (summary.prompts, summary.samples, engine.settings) == (0, 0, [])
    assert (root / TRAIN.path / "shard-00015-of-00020.manifest.json").is_file()


def test_the_engine_is_closed_when_the_step_is_stopped(root: Path) -> None:
    context = Context(SilentJournal())
    engine = FakeEngine(on_step=lambda step: context.stopping.set())
    with pytest.raises(Interrupted):
        sample(config(root, TRAIN), context, engine.open)
    assert engine.closed == 1


def test_a_manifest_of_another_configuration_is_refused(root: Path) -> None:
    run(config(root, TRAIN))
    message = refusal(config(root, TRAIN.model_copy(update={"digest": "0" * 16})), ArtifactError)
    assert f"its manifest is of configuration {TRAINED}, expected {'0' * 16}" in message


def test_a_truncated_chunk_of_a_finished_shard_is_refused(root: Path) -> None:
    run(config(root, TRAIN))
    chunk = next((root / TRAIN.path).glob("chunk-*"))
    chunk.write_bytes(chunk.read_bytes()[:-9])
    assert f"{chunk}: has {chunk.stat().st_size} bytes, but its manifest says" in refusal(config(root, TRAIN), ArtifactError)


def test_a_damaged_chunk_is_refused_before_the_engine_is_started(root: Path) -> None:
    run(config(root, TRAIN))
    (root / TRAIN.path / "shard-00000-of-00001.manifest.json").unlink()
    chunk = next((root / TRAIN.path).glob("chunk-*"))
    chunk.write_bytes(chunk.read_bytes()[:-9])
    assert "damaged chunk of samples" in refusal(config(root, TRAIN), ArtifactError)


def test_prompts_that_are_no_prompts_are_named(root: Path) -> None:
    (root / "prepare-1" / "train.jsonl").write_text('{"id": "a"}\n')
    assert "train.jsonl, line 1: not a prepared prompt (KeyError('promptIds'))" in refusal(config(root, TRAIN), ArtifactError)


def test_nothing_to_sample_is_refused(root: Path) -> None:
    assert "parts is empty" in refusal(config(root))


def test_a_shard_beyond_the_last_is_refused(root: Path) -> None:
    with pytest.raises(ConfigurationError, match="JOB_COMPLETION_INDEX: 2, but there are 2 shards"):
        run(config(root, TRAIN, shards=2), shard=2)


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("config.json", "config.json: missing"),
        ("model.safetensors", "no weights; looked for *.safetensors or pytorch_model*.bin"),
        ("tokenizer.json", "no tokenizer; looked for tokenizer.json"),
    ],
)
def test_an_incomplete_model_is_refused_before_the_engine_is_started(root: Path, missing: str, expected: str) -> None:
    (root / "model" / missing).unlink()
    assert expected in refusal(config(root, TRAIN))


def test_a_model_that_is_not_there_is_refused(root: Path) -> None:
    assert "no such folder" in refusal(config(root, TRAIN, model="nowhere"))


def test_a_model_without_an_end_of_sequence_is_refused(root: Path) -> None:
    (root / "model" / "generation_config.json").unlink()
    tokenizer = root / "model" / "tokenizer_config.json"
    settings = json.loads(tokenizer.read_text())
    del settings["eos_token"]
    tokenizer.write_text(json.dumps(settings))
    assert "no sample would ever end" in refusal(config(root, TRAIN))


def test_a_prompt_that_fills_the_context_is_refused(root: Path) -> None:
    (root / "model" / "config.json").write_text(json.dumps({"architectures": ["X"], "max_position_embeddings": 10}))
    assert "fills the context of 10 tokens" in refusal(config(root, TRAIN))


def program(root: Path, *command: str, settings: SampleConfig, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = (
        os.environ | {"TPT_LOG": "json", "TPT_TERMINATION_LOG": str(root / "termination"), "HF_HUB_OFFLINE": "1"} | environment
    )
    arguments = [sys.executable, *command, settings.model_dump_json(by_alias=True)]
    return subprocess.run(arguments, capture_output=True, text=True, env=variables, timeout=120, check=False)


def test_a_finished_shard_exits_at_once_without_importing_an_engine(root: Path) -> None:
    settings = config(root, TRAIN, engine="VLLM")
    run(settings)
    forbidden = root / "forbidden"
    for name in ("torch", "vllm", "transformers", "tokenizers"):
        (forbidden / name).mkdir(parents=True)
        (forbidden / name / "__init__.py").write_text("raise SystemExit(99)")
    ended = program(root, "-m", "tpt_runtime.sample", settings=settings, PYTHONPATH=str(forbidden))
    assert ended.returncode == 0, ended.stderr
    summary = SampleSummary.model_validate_json((root / "termination").read_text())
    assert (summary.digest, summary.prompts) == (TRAINED, 11)


MORTAL = str(Path(__file__).with_name("mortal_sample.py"))
POINTS = {
    "engine start KILL": 0,
    "before the first chunk KILL": 0,
    "inside the third chunk KILL": 2,
    "after the third chunk KILL": 3,
    "before the first manifest KILL": 20,
    "between the manifests KILL": 20,
    "engine start TERM": 0,
    "generation TERM": 5,
}


@pytest.mark.parametrize("point", POINTS)
def test_a_step_that_was_ended_goes_on_and_makes_the_same_samples(root: Path, point: str) -> None:
    settings = config(root, EVALUATE, TRAIN)
    ended = program(root, MORTAL, point, settings=settings, PYTHONPATH=str(Path(__file__).parents[2]))
    assert ended.returncode == (-9 if point.endswith("KILL") else 143), ended.stderr
    left = [sampled(root / one.path) for one in (EVALUATE, TRAIN)]
    assert sum(map(len, left)) == POINTS[point]

    engine = FakeEngine(at_once=2)
    resumed = run(config(root, EVALUATE, TRAIN, attempt=2), engine)
    assert len(engine.requests) == 20 - POINTS[point], "nothing that was written is generated again"

    for one in (EVALUATE, TRAIN):
        again = one.model_copy(update={"path": f"uninterrupted/{one.purpose}"})
        run(config(root, again))
        assert sampled(root / one.path) == sampled(root / again.path)
    assert (resumed.prompts, resumed.samples) == (20, 9 * 2 + 11 * 3)
    assert not list(root.rglob("*.partial"))
