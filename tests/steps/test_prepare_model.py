"""The base model's folder: how it may lie there, and what is noticed before a GPU is asked for."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.steps.conftest import WEIGHTS, SilentJournal, problems, write_jsonl, write_model
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.prepare.basemodel import BaseModel, context_length
from tpt_runtime.prepare.step import prepare
from tpt_runtime.step.context import Context

CommandsOf = Callable[..., Commands]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "train.jsonl", problems(40))
    return write_model(tmp_path / "model")


def prepared(built: Commands, attempt: int = 1) -> Path:
    config = built.prepare(attempt)
    prepare(config, Context(SilentJournal()))
    return Path(config.root) / config.path


def refusal(built: Commands) -> str:
    with pytest.raises(ConfigurationError) as caught:
        prepared(built)
    return str(caught.value)


BROKEN_WEIGHTS = {
    "cut off": WEIGHTS[:-1],
    "longer than it says": WEIGHTS + b"5",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n",
    "empty": b"",
    "without a tensor": (2).to_bytes(8, "little") + b"{}",
    "with a header that is no JSON": (4).to_bytes(8, "little") + b"oops",
    "with a header of another kind": (2).to_bytes(8, "little") + b"[]",
    "with odd offsets": (23).to_bytes(8, "little") + b'{"a":{"data_offsets":0}',
}


@pytest.mark.parametrize("name", BROKEN_WEIGHTS)
def test_weights_that_are_not_whole_are_refused(name: str, model: Path, commands: CommandsOf) -> None:
    (model / "model.safetensors").write_bytes(BROKEN_WEIGHTS[name])
    message = refusal(commands())
    assert f"model.safetensors is no whole safetensors file ({len(BROKEN_WEIGHTS[name])} bytes)" in message


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_every_file_that_an_index_names_must_be_there(suffix: str, model: Path, commands: CommandsOf) -> None:
    index = {"safetensors": "model.safetensors.index.json", "bin": "pytorch_model.bin.index.json"}[suffix]
    (model / index).write_text(json.dumps({"weight_map": {"a": "model.safetensors", "b": f"second.{suffix}"}}))
    assert f"1 of 2 weight files are missing, such as second.{suffix}" in refusal(commands())
    (model / index).write_text("[]")
    assert f"{index} is no weight index" in refusal(commands())


BROKEN_TOKENIZERS = {
    "no JSON": "{oops",
    "something else": "{}",
    "a kind that nobody knows": '{"added_tokens": [], "model": {"type": "X"}}',
}


@pytest.mark.parametrize("name", BROKEN_TOKENIZERS)
def test_a_tokenizer_that_does_not_load_is_the_users_to_mend(name: str, model: Path, commands: CommandsOf) -> None:
    (model / "tokenizer.json").write_text(BROKEN_TOKENIZERS[name])
    assert "spec.model.uri: model: its tokenizer does not load: " in refusal(commands())


def test_code_that_a_model_brings_along_is_never_run(model: Path, commands: CommandsOf, tmp_path: Path) -> None:
    settings = json.loads((model / "tokenizer_config.json").read_text())
    settings |= {"auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}, "tokenizer_class": "Evil"}
    (model / "tokenizer_config.json").write_text(json.dumps(settings))
    (model / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with suppress(ConfigurationError):  # whether the tokenizer loads without that code is up to the library
        prepared(commands())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "expected"), [("{", "is no JSON"), ("[]", "names no architectures"), ("{}", "names no architectures")]
)
def test_a_config_that_says_nothing_is_refused(content: str, expected: str, model: Path, commands: CommandsOf) -> None:
    (model / "config.json").write_text(content)
    assert expected in refusal(commands())


def test_a_model_that_is_not_there_is_refused(model: Path, commands: CommandsOf, tmp_path: Path) -> None:
    message = refusal(commands(model={"uri": "nothing"}))
    assert f"spec.model.uri: nothing: no such folder (looked at {tmp_path}/nothing); a path without a scheme" in message


def as_a_link(model: Path, tmp_path: Path) -> Path:
    link = tmp_path / "link"
    link.symlink_to(model)
    return link


def as_in_the_hubs_cache(model: Path, tmp_path: Path) -> Path:
    """Lay it out as the hub's client caches models: links to blobs, below a hidden folder."""
    snapshot = tmp_path / ".cache" / "huggingface" / "hub" / "models--org--model" / "snapshots" / "0123"
    blobs = snapshot.parent.parent / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, file in enumerate(sorted(model.iterdir())):
        shutil.copyfile(file, blobs / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    return snapshot


def as_a_clone(model: Path, tmp_path: Path) -> Path:
    (model / ".git" / "lfs").mkdir(parents=True)
    (model / ".git" / "lfs" / "object").write_bytes(b"a second copy of the weights")
    return model


def read_only(model: Path, tmp_path: Path) -> Path:
    for file in model.iterdir():
        file.chmod(0o444)
    model.chmod(0o555)
    return model


@pytest.mark.parametrize("lay_out", [as_a_link, as_in_the_hubs_cache, as_a_clone, read_only])
def test_a_model_may_lie_anywhere(
    lay_out: Callable[[Path, Path], Path], model: Path, commands: CommandsOf, tmp_path: Path
) -> None:
    names = {file.name for file in model.iterdir()}
    where = lay_out(model, tmp_path)
    folder = prepared(commands(model={"uri": f"file://{where}"}))
    recorded = json.loads((folder / "model.json").read_text())
    assert recorded.keys() == names
    assert recorded["model.safetensors"]["size"] == len(WEIGHTS)
    assert (folder / "model").is_symlink()
    assert (folder / "model" / "model.safetensors").read_bytes() == WEIGHTS
    assert not [name for name in json.loads((folder / "manifest.json").read_text())["files"] if name.startswith("model/")]
    copied = {file.name: file.stat().st_mode & 0o200 for file in (folder / "tokenizer").iterdir()}
    assert "tokenizer.json" in copied
    assert all(copied.values()), "what is copied can be written again, even if the original cannot"


def test_the_link_still_leads_there_after_everything_was_moved(model: Path, commands: CommandsOf, tmp_path: Path) -> None:
    folder = prepared(commands())
    moved = tmp_path.with_name(f"{tmp_path.name}-moved")
    tmp_path.rename(moved)
    assert (moved / folder.relative_to(tmp_path) / "model" / "model.safetensors").read_bytes() == WEIGHTS


def test_a_download_is_moved_whole_and_its_own_records_go(tmp_path: Path) -> None:
    model = write_model(tmp_path / "downloads" / "model")
    (model / ".cache" / "huggingface").mkdir(parents=True)
    (model / ".cache" / "huggingface" / "a.metadata").write_text("x")
    target = tmp_path / "final" / "model"
    target.parent.mkdir()
    BaseModel.of(model, downloaded=True).place(target)
    assert (target / "model.safetensors").read_bytes() == WEIGHTS
    assert not (target / ".cache").exists()
    assert not model.exists()


CONTEXTS: list[tuple[dict[str, Any], int | None]] = [
    ({"max_position_embeddings": 4096}, 4096),
    ({"n_positions": 1024}, 1024),
    ({"text_config": {"max_position_embeddings": 8192}}, 8192),
    ({"max_position_embeddings": None, "text_config": None}, None),
    ({}, None),
]


@pytest.mark.parametrize(("config", "expected"), CONTEXTS)
def test_the_context_is_read_from_wherever_it_stands(config: dict[str, Any], expected: int | None) -> None:
    assert context_length(config) == expected
