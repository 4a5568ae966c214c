"""The second try at what was not solved, with the answer as a hint: from the prompt to the training row, without the hint."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.steps.conftest import SilentJournal, problems, write_jsonl, write_model
from tests.steps.sampled import prompts, rows
from tests.steps.sampled import sample as made
from tests.steps.sampling import (
    END,
    HINT,
    FakeEngine,
    Solver,
    config,
    part,
    sampled,
    write_bpe_tokenizer,
    write_prompts,
)
from tpt_runtime.artifacts.manifest import write_manifest
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.configs import SamplePart
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.names import prompt_seed
from tpt_runtime.core.spec import Pruning
from tpt_runtime.core.status import PruneSummary
from tpt_runtime.prepare.step import prepare
from tpt_runtime.prune.selection import tells_of_hint
from tpt_runtime.prune.step import prune
from tpt_runtime.sample.feeding import Pace
from tpt_runtime.sample.step import sample
from tpt_runtime.step.context import Context

CommandsOf = Callable[..., Commands]
DRAWN = 4
TRIED = 3


# prepare


def prepared(commands: CommandsOf, tmp_path: Path, context: Context, answers: list[str], **sections: Any) -> list[dict[str, Any]]:
    write_model(tmp_path / "model", context=sections.pop("room", 4096))
    questions = [{"question": f"What is {n} and {n}?", "answer": answer} for n, answer in enumerate(answers)]
    write_jsonl(tmp_path / "train.jsonl", [*questions, *problems(2, 900)])
    write_jsonl(tmp_path / "held.jsonl", problems(2, 950))
    data = {"train": {"uri": "train.jsonl"}, "validation": {"uri": "held.jsonl"}, "prompt": sections.pop("prompt", {})}
    sampling = {"maxTokens": 8, "rationalization": sections}
    built = commands(sampling=sampling, dataset=data)
    prepare(built.prepare(1), context)
    root = Path(built.prepare(1).root)
    assert not any("hintedIds" in row for row in rows(root / built.paths.prompts("validation")["validation"])), "only to train"
    return rows(root / built.paths.prompts("train")["train"])


def text_of(ids: list[int], folder: Path) -> str:
    from transformers import AutoTokenizer

    return str(AutoTokenizer.from_pretrained(folder).decode(ids))


def test_a_prompt_with_a_hint_is_the_prompt_and_the_answer_alone(commands: CommandsOf, tmp_path: Path, context: Context) -> None:
    answers = ["2 + 2 = 4, so\n#### 4", "$\\frac{1}{2}$", "1,080"]
    first, second, third, *_ = prepared(commands, tmp_path, context, answers)
    for row, answer in ((first, "4"), (second, "1/2"), (third, "1,080")):
        text = text_of(row["hintedIds"], tmp_path / "model")
        assert f"{row['question']}\n\nHint: the answer is " in text
        assert text.partition("the answer is ")[2].partition(". Show")[0] == answer
        assert text.startswith("<s>user: ")
        assert text.endswith("assistant: ")
        assert answer not in row["prompt"]
    assert "2 + 2" not in text_of(first["hintedIds"], tmp_path / "model"), "not the solution that the answer stands in"


def test_a_template_says_where_the_hint_stands(commands: CommandsOf, tmp_path: Path, context: Context) -> None:
    prompt = {"mode": "Completion", "template": "Q: {{ question }} A:"}
    template = "({{ answer }}) {{ prompt }}"
    row, *_ = prepared(commands, tmp_path, context, ["#### 7"], prompt=prompt, template=template)
    assert text_of(row["hintedIds"], tmp_path / "model") == "<s>(7) Q: What is 0 and 0? A:"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("Hint: {{ answer }}", "does not use prompt; write {{ prompt }} where it belongs"),
        ("{{ prompt }} {{ answer", "no Jinja template"),
        ("{{ prompt }} {{ answer }} {{ question }}", "failed on a question"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(
    commands: CommandsOf, tmp_path: Path, context: Context, template: str, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"spec\.sampling\.rationalization\.template") as caught:
        prepared(commands, tmp_path, context, ["#### 7"], template=template)
    assert says in str(caught.value)


def test_a_hint_that_leaves_the_model_no_room_is_left_out_and_told(
    commands: CommandsOf, tmp_path: Path, context: Context
) -> None:
    row, *_ = prepared(commands, tmp_path, context, ["#### 7"], room=90)
    assert "hintedIds" not in row
    said = [event["message"] for event in context.journal.events if event["event"] == "warning"]  # type: ignore[attr-defined]
    assert any("3 training prompts fill the model's context once the answer is in them" in message for message in said)


def test_what_is_rendered_has_a_digest_of_its_own_and_how_often_it_is_tried_has_none(commands: CommandsOf) -> None:
    none, one, three = (commands(**more).prepare(1).digest for more in ({}, sampling_of(1), sampling_of(3)))
    assert none != one
    assert one == three
    assert commands(**sampling_of(1)).paths.sample(1) != commands(**sampling_of(3)).paths.sample(1)


def sampling_of(tries: int) -> dict[str, Any]:
    return {"sampling": {"rationalization": {"samplesPerPrompt": tries, "template": "{{ answer }} {{ prompt }}"}}}


# sample


def trying(strategy: str = "Fixed", path: str = "tried", **more: Any) -> SamplePart:
    settings: dict[str, Any] = {"samples_per_prompt": DRAWN, "hinted_samples": TRIED, "pruning": Pruning()}
    return part("train", "train", path=path, strategy=strategy, **settings | more)


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    write_prompts(tmp_path, "train", 40)
    write_bpe_tokenizer(tmp_path / "model")
    model: dict[str, Any] = {"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 96, "eos_token_id": END}
    (tmp_path / "model" / "config.json").write_text(json.dumps(model))
    (tmp_path / "model" / "model.safetensors").write_bytes(b"weights")
    return tmp_path


def run(root: Path, *parts: SamplePart, **more: Any) -> FakeEngine:
    engine = FakeEngine(make=Solver(root / "model"))
    sample(config(root, *parts, **more), Context(SilentJournal()), engine.open, Pace(seconds=0.0))
    return engine


@pytest.mark.parametrize("strategy", ["Fixed", "StopWhenCorrect"])
def test_only_a_prompt_without_a_usable_sample_is_tried_again_in_the_same_engine(workshop: Path, strategy: str) -> None:
    plain = part("train", "train", path="plain", samples_per_prompt=DRAWN)
    run(workshop, plain)
    engine = run(workshop, trying(strategy))
    assert len(engine.settings) == 1
    without, found = sampled(workshop / plain.path), sampled(workshop / "tried")
    tried = 0
    for (name, identity), drawn in found.items():
        solved = any(one["text"].endswith("#### 1") for one in without[name, identity])
        own = [one for one in drawn if not one.get("hinted")]
        hinted = drawn[len(own) :]
        assert own == without[name, identity][: len(own)], "what is drawn without a hint does not change"
        assert len(hinted) == (0 if solved or int(identity[-3:]) % 2 else TRIED), "every second prompt has no room for a hint"
        assert all(one["hinted"] for one in hinted)
        assert [one["index"] for one in drawn] == list(range(len(drawn)))
        tried += bool(hinted)
    assert tried > 3
    requests = [request for request in engine.requests if request.prompt_ids[-1] == HINT]
    assert len(requests) == tried
    assert all(request.seed == prompt_seed(5, 1, "rationalize", request.key.split("/")[2]) for request in requests)


def test_a_second_try_does_not_hang_on_shards_and_is_not_repeated(workshop: Path) -> None:
    run(workshop, trying())
    for shard in (1, 0):
        engine = FakeEngine(at_once=1, make=Solver(workshop / "model"))
        context = Context(SilentJournal(), shard)
        sample(config(workshop, trying(path="sharded"), shards=2), context, engine.open, Pace(seconds=0.0))
    assert sampled(workshop / "tried") == sampled(workshop / "sharded")
    (workshop / "tried" / "shard-00000-of-00001.manifest.json").unlink()
    assert run(workshop, trying(), attempt=2).requests == []


def test_the_engine_makes_room_for_the_longer_prompt(workshop: Path) -> None:
    lines = [json.loads(line) for line in (workshop / "prepare-1" / "train.jsonl").read_text().splitlines()]
    lines[0]["hintedIds"] = [0] * 60 + [HINT]
    (workshop / "prepare-1" / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run(workshop, trying()).settings[0].context == 61 + trying().max_tokens


# prune


def pruned(
    commands: CommandsOf, context: Context, texts: dict[str, list[tuple[str, bool]]], **pruning: Any
) -> tuple[PruneSummary, Path]:
    """Prune (text, hinted) of every prompt, whose answer is 4."""
    built = commands(
        pruning={"minExamples": 1} | pruning,
        sampling={"samplesPerPrompt": 2, "rationalization": {"template": "{{ answer }} {{ prompt }}"}},
        evaluation={"samplesPerPrompt": 1, "k": [1]},
    )
    root = Path(built.prepare(1).root)
    prompts(root, built, "train", dict.fromkeys(texts, "4"))
    folder = root / built.paths.sample_dir(1)
    folder.mkdir(parents=True)
    found = [
        {
            "id": key,
            "set": "train",
            "samples": [made(i, text) | ({"hinted": True} if hinted else {}) for i, (text, hinted) in enumerate(drawn)],
        }
        for key, drawn in texts.items()
    ]
    write_jsonl(folder / "chunk-0.jsonl", found)
    manifest = "shard-00000-of-00001.manifest.json"
    write_manifest(folder, built.paths.sample(1), summary={}, name=manifest, files=[folder / "chunk-0.jsonl"])
    return prune(built.prune(1, 1, evaluate=False, compare=None), context), root / built.paths.prune_dir(1)


TEXTS = {
    "solved": [("#### 4", False), ("#### 5", False)],
    "hard": [("#### 5", False), ("#### 6", False), ("so #### 4", True)],
    "never": [("#### 5", False), ("#### 6", False), ("#### 7", True)],
    "telling": [("#### 5", False), ("#### 6", False), ("As the hint says, #### 4", True)],
}


def test_what_is_trained_on_has_the_prompt_without_the_hint(commands: CommandsOf, context: Context) -> None:
    summary, folder = pruned(commands, context, TEXTS)
    kept = {row["id"]: row for row in rows(folder / "train.jsonl")}
    assert kept.keys() == {"solved", "hard"}
    assert kept["hard"]["ids"] == [0, 5, *made(2, "so #### 4")["ids"]], "the prepared prompt's ids, then the sample's"
    assert summary.examples == 2
    fates = {row["id"]: [grade["kept"] for grade in row["grades"]] for row in rows(folder / "grades.jsonl")}
    assert fates["telling"] == ["not correct", "not correct", "tells of the hint"]
    report = json.loads((folder / "report.json").read_text())
    assert report["rationalized"] == {"prompts": 3, "samples": 3, "correct": 2, "kept": 1}


def test_no_figure_of_the_model_counts_what_it_was_told(commands: CommandsOf, context: Context) -> None:
    summary, _ = pruned(commands, context, TEXTS)
    assert summary.samples is not None
    assert (summary.samples.total, summary.samples.correct) == (8, 1)
    assert next(metric.value for metric in summary.metrics if metric.name == "train/pass@1") == 0.125
    assert next(metric.value for metric in summary.metrics if metric.name == "train/strict/pass@1") == 0.125


def test_a_prompt_that_was_told_is_as_hard_as_it_was_before(commands: CommandsOf, context: Context) -> None:
    caps = [{"solvedUpTo": 0.1, "maxExamples": 0}]
    _, folder = pruned(commands, context, TEXTS, difficultyCaps=caps)
    assert [row["id"] for row in rows(folder / "train.jsonl")] == ["solved"]


@pytest.mark.parametrize(
    ("text", "question", "tells"),
    [
        ("Using the Hint we get 4", "What?", True),
        ("As hinted, 4", "What?", True),
        ("A mint costs 4", "What?", False),
        ("The hint costs 4", "A hint costs 2, what do two hints cost?", False),
    ],
)
def test_a_solution_that_speaks_of_a_hint_tells(text: str, question: str, tells: bool) -> None:
    assert tells_of_hint(text, question) is tells
