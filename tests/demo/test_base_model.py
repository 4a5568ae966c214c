"""The quickstart's folder, with a model of a few steps: loadable, complete, the same every time."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tpt_runtime.artifacts.files import read_rows
from tpt_runtime.demo.folder import MADE_FROM
from tpt_runtime.demo.model import HIGHEST_NUMBER, Recipe, as_text, build_tokenizer
from tpt_runtime.demo.problems import NAMES, base_corpus
from tpt_runtime.demo.quickstart import Sizes, write_quickstart

TINY = Recipe(rows=64, steps=3, batch_size=4, layers=1, hidden=32, heads=1, inner=32, context=64)
SIZES = Sizes(train=14, validation=7, eval=16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("quickstart")
    write_quickstart(target, 0, sizes=SIZES, recipe=TINY, tell=lambda line: None)
    return target


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder / "model", local_files_only=True)


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder / "model", local_files_only=True)


@pytest.fixture
def torch_as_it_was() -> tuple[int, bool]:
    import torch

    return torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MADE_FROM
    }


def test_the_folder_holds_data_and_an_ordinary_model(folder: Path) -> None:
    assert sorted(bytes_of(folder)) == [
        *(f"data/{name}.jsonl" for name in ("base", "eval", "train", "validation")),
        *(f"model/{name}.json" for name in ("config", "generation_config")),
        "model/model.safetensors",
        *(f"model/{name}.json" for name in ("tokenizer", "tokenizer_config")),
    ]


@pytest.mark.parametrize(("name", "size"), [("base", 64), ("train", 14), ("validation", 7), ("eval", 16)])
def test_data_sets_have_the_fields_that_a_run_reads(folder: Path, name: str, size: int) -> None:
    rows = list(read_rows(folder / "data" / f"{name}.jsonl"))
    assert len(rows) == size
    assert {tuple(row) for row in rows} == {("question", "answer", "wording", "heldOut")}
    assert all("#### " in row["answer"] for row in rows)


def test_the_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_quickstart(tmp_path, 0, sizes=SIZES, recipe=TINY, tell=lambda line: None)
    assert bytes_of(tmp_path) == bytes_of(folder)


def test_another_seed_gives_another_model_and_other_data(folder: Path, tmp_path: Path) -> None:
    write_quickstart(tmp_path, 1, sizes=SIZES, recipe=TINY, tell=lambda line: None)
    one, other = bytes_of(folder), bytes_of(tmp_path)
    for name in ("model/model.safetensors", "data/base.jsonl", "data/train.jsonl", "data/eval.jsonl"):
        assert one[name] != other[name]


def test_what_is_there_is_not_made_again(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    said: list[str] = []
    write_quickstart(folder, 0, sizes=SIZES, recipe=TINY, tell=said.append)
    assert said == [f"{folder}: model and data are there already"]
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_progress_is_told_up_to_the_last_step(tmp_path: Path) -> None:
    said: list[str] = []
    write_quickstart(tmp_path, 0, sizes=SIZES, recipe=TINY, tell=said.append)
    assert said[0].startswith("base model: ")
    assert said[-1].startswith("base model: step 3 of 3, loss ")


def test_torch_is_left_as_it_was_found(tmp_path: Path, torch_as_it_was: tuple[int, bool]) -> None:
    import torch

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    write_quickstart(tmp_path, 0, sizes=SIZES, recipe=TINY, tell=lambda line: None)
    assert torch.equal(torch.rand(1), expected)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == torch_as_it_was


def test_the_model_is_float32_with_tied_embeddings(model: Any) -> None:
    import torch

    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.config.architectures == ["LlamaForCausalLM"]


def test_the_full_model_has_the_size_and_the_heads_that_the_engine_takes() -> None:
    recipe = Recipe()
    layer = 4 * recipe.hidden**2 + 3 * recipe.hidden * recipe.inner
    assert 0.55e6 < recipe.layers * layer < 0.65e6
    assert recipe.hidden // recipe.heads == 32  # of the head sizes that vLLM computes on a CPU, the smallest


def test_training_moves_the_loss_down(tmp_path: Path) -> None:
    said: list[str] = []
    longer = replace(TINY, steps=60, learning_rate=1e-2)
    write_quickstart(tmp_path, 0, sizes=SIZES, recipe=longer, tell=said.append)
    loss = float(said[-1].split("loss ")[1].split(",")[0])
    assert loss < 4.0  # it begins at the logarithm of the vocabulary, above 6


def test_sampling_ends_with_the_end_of_sequence(folder: Path, tokenizer: Any) -> None:
    settings = json.loads((folder / "model" / "generation_config.json").read_text())
    assert settings["eos_token_id"] == tokenizer.eos_token_id
    assert settings["pad_token_id"] == tokenizer.pad_token_id != tokenizer.eos_token_id


def test_transformers_samples_from_it(model: Any, tokenizer: Any) -> None:
    prompt = tokenizer("Q: Zoe has 2 apples A:", return_tensors="pt")
    output = model.generate(**prompt, max_new_tokens=4, do_sample=True)
    assert output.shape[1] > prompt["input_ids"].shape[1]


def test_every_number_and_every_word_of_the_corpus_is_one_token() -> None:
    texts = [as_text(row) for row in base_corpus(0, 2000)]
    tokenizer = build_tokenizer(texts)
    words = {word for text in texts for word in text.split(" ")[1:]} | {str(number) for number in range(HIGHEST_NUMBER + 1)}
    assert len(words) > HIGHEST_NUMBER
    split = {word: tokenizer.tokenize(f" {word}") for word in words - {"A:"}}
    assert {word: tokens for word, tokens in split.items() if len(tokens) != 1} == {}


def test_a_prompts_tokens_begin_those_of_prompt_and_solution(tokenizer: Any) -> None:
    row = base_corpus(0, 1)[0]
    prompt, whole = tokenizer(f"Q: {row.question} A:")["input_ids"], tokenizer(as_text(row))["input_ids"]
    assert whole[: len(prompt)] == prompt
    assert len(whole) > len(prompt)


@pytest.mark.parametrize("text", ["Q: Zoe has 2 apples A:", f"{NAMES[0]}: 1,234 ÷ 5 = ½\n\tüñ 你好 🙂"])
def test_any_text_survives_encoding(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
