"""Prompts that are sampled until they have enough: which samples they get, and that nothing else decides about it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.steps.conftest import SilentJournal
from tests.steps.sampling import END, FakeEngine, Solver, config, part, sampled, write_bpe_tokenizer, write_prompts
from tpt_runtime.core.choices import Deduplicate, Strategy
from tpt_runtime.core.configs import SampleConfig, SamplePart
from tpt_runtime.core.errors import ArtifactError
from tpt_runtime.core.rows import Sample
from tpt_runtime.core.spec import Pruning
from tpt_runtime.core.status import SampleSummary
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.prune.selection import Candidate, Fate, Selection
from tpt_runtime.sample.courses import Course, Judge, Judged
from tpt_runtime.sample.engine import Drawing, Request
from tpt_runtime.sample.feeding import Pace
from tpt_runtime.sample.step import sample
from tpt_runtime.step.context import Context
from tpt_runtime.verify.arithmetic import has_false_equation
from tpt_runtime.verify.likeness import likeness
from tpt_runtime.verify.math import Math

PROMPTS = 40
MOST = 16
FIXED = part("train", "train", samples_per_prompt=MOST, path="fixed")


def stopping(strategy: str, path: str = "stopped", **pruning: Any) -> SamplePart:
    policies = Pruning.model_validate({"minExamples": 1} | pruning)
    return part("train", "train", samples_per_prompt=MOST, path=path, strategy=strategy, pruning=policies)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("courses")
    write_prompts(root, "train", PROMPTS)
    write_bpe_tokenizer(root / "model")
    model: dict[str, Any] = {"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 96, "eos_token_id": END}
    (root / "model" / "config.json").write_text(json.dumps(model))
    (root / "model" / "model.safetensors").write_bytes(b"weights")
    run(root, FIXED)
    return root


def run(
    root: Path, *parts: SamplePart, at_once: int = 4, shard: int = 0, context: Context | None = None, **more: Any
) -> SampleSummary:
    engine = FakeEngine(at_once=at_once, make=Solver(root / "model"))
    told = context or Context(SilentJournal(), shard)
    return sample(config(root, *parts, **more), told, engine.open, Pace(seconds=0.0))


def is_right(one: Sample) -> bool:
    return one["text"].endswith("#### 1")


@pytest.fixture(scope="module")
def fixed(workshop: Path) -> dict[tuple[str, str], list[Sample]]:
    return sampled(workshop / FIXED.path)


@pytest.mark.parametrize("strategy", ["StopWhenCorrect", "DifficultyAware"])
@pytest.mark.parametrize("most", [1, 3])
def test_a_prompt_gets_the_first_samples_that_it_would_get_anyway(
    workshop: Path, fixed: dict[tuple[str, str], list[Sample]], strategy: str, most: int
) -> None:
    settings = stopping(strategy, f"first-{strategy}-{most}", maxCorrectPerPrompt=most)
    summary = run(workshop, settings)
    found = sampled(workshop / settings.path)
    assert found.keys() == fixed.keys()
    assert all(samples == fixed[key][: len(samples)] for key, samples in found.items())
    assert {len(samples) for samples in found.values()} > {MOST}, "some stop early, some never do"
    assert summary.samples == sum(map(len, found.values())) < PROMPTS * MOST


def test_a_prompt_goes_on_until_it_has_as_many_as_pruning_keeps(
    workshop: Path, fixed: dict[tuple[str, str], list[Sample]]
) -> None:
    settings = stopping("StopWhenCorrect", "enough", maxCorrectPerPrompt=3)
    run(workshop, settings)
    found = sampled(workshop / settings.path)
    for key, samples in found.items():
        kinds = {one["text"] for one in samples if is_right(one)}
        assert len(samples) == MOST or len(kinds) >= 3
        assert bool(kinds) == any(map(is_right, fixed[key])), "the same prompts are solved"


def test_only_what_pruning_would_keep_counts(workshop: Path) -> None:
    """Of four texts with the right answer all have the same equations: none."""
    alike = stopping("StopWhenCorrect", "alike", maxCorrectPerPrompt=5)
    run(workshop, alike)
    different = stopping("StopWhenCorrect", "different", maxCorrectPerPrompt=5, deduplicate="None")
    run(workshop, different)
    assert {len(samples) for samples in sampled(workshop / alike.path).values()} == {MOST}, "there are four texts, not five"
    counts = {key: len(samples) for key, samples in sampled(workshop / different.path).items()}
    assert min(counts.values()) < MOST


def test_samples_depend_neither_on_shards_nor_on_order_nor_on_how_many_are_under_way(workshop: Path) -> None:
    one, other = (stopping("DifficultyAware", path, maxCorrectPerPrompt=3) for path in ("one", "other"))
    run(workshop, one, at_once=1)
    for shard in (2, 0, 1):
        run(workshop, other, at_once=9, shard=shard, shards=3)
    assert sampled(workshop / one.path) == sampled(workshop / other.path)


@pytest.mark.parametrize("point", ["inside the third chunk KILL", "before the first manifest KILL", "generation TERM"])
def test_a_step_that_was_ended_goes_on_and_makes_the_same_samples(workshop: Path, tmp_path: Path, point: str) -> None:
    for name in ("model", "prepare-1"):
        (tmp_path / name).symlink_to(workshop / name)
    killed, whole = (stopping("StopWhenCorrect", path, maxCorrectPerPrompt=2) for path in ("killed", "whole"))
    mortal = str(Path(__file__).with_name("mortal_sample.py"))
    command = [sys.executable, mortal, point, config(tmp_path, killed).model_dump_json(by_alias=True)]
    told = {"PYTHONPATH": str(Path(__file__).parents[2]), "TPT_TERMINATION_LOG": str(tmp_path / "log"), "TPT_LOG": "json"}
    ended = subprocess.run(command, env=os.environ | told, timeout=120, capture_output=True, text=True, check=False)
    assert ended.returncode == (-9 if point.endswith("KILL") else 143), ended.stderr
    assert (len(sampled(tmp_path / killed.path)) == PROMPTS) == ("manifest" in point)
    run(tmp_path, killed, at_once=2, attempt=2)
    run(tmp_path, whole)
    assert sampled(tmp_path / killed.path) == sampled(tmp_path / whole.path)


def test_progress_ends_at_the_samples_that_were_drawn(workshop: Path) -> None:
    context = Context(SilentJournal())
    summary = run(workshop, stopping("StopWhenCorrect", "progress"), context=context)
    said = [event for event in context.journal.events if event["event"] == "progress"]  # type: ignore[attr-defined]
    assert said[-1]["completed"] == said[-1]["total"] == summary.samples
    assert all(event["completed"] <= event["total"] for event in said)


def test_prompts_without_a_reference_are_refused_where_one_is_needed(workshop: Path, tmp_path: Path) -> None:
    (tmp_path / "model").symlink_to(workshop / "model")
    (tmp_path / "prepare-1").mkdir()
    (tmp_path / "prepare-1" / "train.jsonl").write_text('{"id": "a", "promptIds": [0]}\n')
    with pytest.raises(ArtifactError, match=r"line 1: not a prepared prompt \(KeyError\('reference'\)\)"):
        run(tmp_path, stopping("StopWhenCorrect"))


def test_a_chunk_whose_prompt_has_too_many_samples_is_refused(workshop: Path, tmp_path: Path) -> None:
    for name in ("model", "prepare-1"):
        (tmp_path / name).symlink_to(workshop / name)
    (tmp_path / "stopped").mkdir()
    row = {"id": "train-000", "set": "train", "samples": [{"index": index, "tokens": 1} for index in range(MOST + 1)]}
    (tmp_path / "stopped" / "chunk-0.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(ArtifactError, match=f"line 1 has {MOST + 1} samples of train-000, expected 1 to {MOST}"):
        run(tmp_path, stopping("StopWhenCorrect"))


class Told(Judge):
    """Judges by what it is told."""

    def __init__(self, most: int, said: list[bool]) -> None:
        self.pruning = Pruning(max_correct_per_prompt=most, min_examples=1)
        self.said = said

    def judge(self, samples: Any, reference: str) -> list[Judged]:
        return [Judged(self.said[one], str(one) if self.said[one] else None) for one in samples]


def waves(strategy: Strategy, most: int, said: str) -> list[int]:
    """Return how many samples a prompt is given, wave by wave, which turn out right (R) or wrong (.)."""
    drawing = Drawing(len(said), 1.0, 1.0, None, 4, (), frozenset({1}))
    course = Course(Request("a", (0,), drawing, 7), "1", Told(most, [letter == "R" for letter in said]), strategy)
    sizes: list[int] = []
    while (wave := course.wave()) is not None:
        assert (wave.first, wave.seed) == (sum(sizes), 7 + sum(sizes))
        sizes.append(wave.drawing.samples)
        course.take(list(range(wave.first, wave.first + wave.drawing.samples)))  # type: ignore[arg-type]
    return sizes


@pytest.mark.parametrize(
    ("strategy", "most", "said", "expected"),
    [
        (Strategy.STOP_WHEN_CORRECT, 1, "R.......", [1]),
        (Strategy.STOP_WHEN_CORRECT, 1, "..R.....", [1, 1, 1]),
        (Strategy.STOP_WHEN_CORRECT, 1, "................", [1, 1, 1, 1, 2, 3, 4, 3]),
        (Strategy.STOP_WHEN_CORRECT, 4, "RRRR....", [4]),
        (Strategy.STOP_WHEN_CORRECT, 4, "R..RR.R.R", [4, 2, 3]),
        (Strategy.DIFFICULTY_AWARE, 4, "RRRR....", [4]),
        (Strategy.DIFFICULTY_AWARE, 4, "RR..RRRR", [4]),
        (Strategy.DIFFICULTY_AWARE, 4, "R...R...R.R.", [4, 2, 3]),
        (Strategy.DIFFICULTY_AWARE, 4, "R...........", [4, 2, 3, 3]),
        (Strategy.DIFFICULTY_AWARE, 4, "....", [4]),
    ],
)
def test_a_hard_prompt_is_given_more(strategy: Strategy, most: int, said: str, expected: list[int]) -> None:
    assert waves(strategy, most, said) == expected


SOLUTIONS = st.sampled_from(
    [
        "#### 4",
        "so #### 4",
        "it is 4",
        "#### 5",
        "nothing",
        "2 + 2 = 4 #### 4",
        "2 + 1 = 4. #### 4",
        "1 + 3 = 4 . #### 4",
        "2 + 2 = 4 #### 4 .",
    ]
)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(SOLUTIONS, st.sampled_from(["stop", "length"])), min_size=1, max_size=6),
    st.sampled_from(list(Deduplicate)),
    st.booleans(),
    st.booleans(),
)
def test_what_counts_while_sampling_is_what_pruning_keeps(texts, how, marked, arithmetic) -> None:
    """Two rooms say it, neither of which may ask the other."""
    pruning = Pruning(
        max_correct_per_prompt=9, deduplicate=how, check_arithmetic=arithmetic, verifier={"requireMarker": marked}, min_examples=1
    )
    samples = [Sample(index=i, text=text, ids=[], tokens=1, finish=finish, logprob=0.0) for i, (text, finish) in enumerate(texts)]
    with Judge(pruning) as judge:
        judged = judge.judge(samples, "4")
    grades = [Math().grade(text, "4") for text, _ in texts]
    candidates = [
        Candidate(
            index=one["index"],
            verdict=Verdict.TRUNCATED if one["finish"] == "length" else grade.verdict,
            marked=grade.marked,
            likeness=likeness(one["text"], how, one["index"]),
            false_equation=has_false_equation(one["text"]),
        )
        for one, grade in zip(samples, grades, strict=True)
    ]
    fates = Selection(pruning, 0, 1).add("p", candidates)
    kept = sum(fate is Fate.KEPT for fate in fates.values())
    assert len({one.kind for one in judged} - {None}) == kept
    assert [one.kind is not None for one in judged] == [fates[i] in (Fate.KEPT, Fate.REPEATED) for i in range(len(texts))]


def test_a_configuration_says_by_what_a_prompt_has_enough(commands: Any) -> None:
    def sampling(strategy: str, **pruning: Any) -> SampleConfig:
        found: SampleConfig = commands(sampling={"strategy": strategy}, pruning={"minExamples": 1} | pruning).sample(
            1, 1, evaluate=True
        )
        return found

    evaluate, train = sampling("StopWhenCorrect", maxCorrectPerPrompt=3).parts
    assert (train.strategy, evaluate.strategy, evaluate.pruning) == (Strategy.STOP_WHEN_CORRECT, Strategy.FIXED, None)
    assert train.pruning is not None
    assert train.pruning.max_correct_per_prompt == 3
    assert sampling("Fixed").parts[-1].pruning is None
    digests = {
        sampling("StopWhenCorrect", **more).parts[-1].digest for more in ({}, {"maxCorrectPerPrompt": 3}, {"deduplicate": "None"})
    }
    assert len(digests) == 3, "what is kept decides how many samples there are"
    same = {sampling("StopWhenCorrect", **more).parts[-1].digest for more in ({}, {"maxExamples": 9}, {"choose": "Random"})}
    assert len(same) == 1
    assert len({sampling("Fixed", **more).parts[-1].digest for more in ({}, {"maxCorrectPerPrompt": 3})}) == 1
