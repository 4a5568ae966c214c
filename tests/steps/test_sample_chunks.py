"""Shards own every prompt exactly once, and chunk files say what is done."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpt_runtime.artifacts.samples import PromptKey
from tpt_runtime.core.errors import ArtifactError, ConfigurationError
from tpt_runtime.core.rows import Sample, SampledPrompt
from tpt_runtime.sample.chunks import ChunkFolder, ChunkNames, Shard


def row(identity: str, samples: int = 2, data_set: str = "train") -> SampledPrompt:
    made = [Sample(index=i, text="x", ids=[7, 1], tokens=2 + i, finish="stop", logprob=-1.0) for i in range(samples)]
    return SampledPrompt(id=identity, set=data_set, samples=made)


def key(identity: str, data_set: str = "train") -> PromptKey:
    return PromptKey(data_set, identity)


def written(folder: Path, *rows: SampledPrompt, shard: Shard | None = None) -> Path:
    path = next(ChunkNames(folder, shard or Shard(0, 1), attempt=1))
    ChunkFolder(folder, range(2, 3)).write(path, rows)
    return path


def read(folder: Path, samples: int = 2) -> ChunkFolder:
    chunks = ChunkFolder(folder, range(samples, samples + 1))
    chunks.read()
    return chunks


def refusal(folder: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        read(folder)
    return str(caught.value)


@given(items=st.lists(st.integers(), max_size=40), count=st.integers(1, 9))
def test_every_prompt_has_exactly_one_shard_and_shares_are_equal_up_to_one(items: list[int], count: int) -> None:
    shares = [Shard(index, count).share(list(enumerate(items))) for index in range(count)]
    assert sorted(item for share in shares for item in share) == list(enumerate(items))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert all(place % count == index for index, share in enumerate(shares) for place, _ in share)


@pytest.mark.parametrize("index", [4, 7, -1])
def test_a_shard_that_does_not_exist_is_refused(index: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"JOB_COMPLETION_INDEX: {index}, but there are 4 shards; allowed: 0 to 3"):
        Shard(index, 4)


def test_a_shard_is_named_as_readers_look_for_it() -> None:
    assert Shard(2, 14).manifest == "shard-00002-of-00014.manifest.json"


def test_prompts_of_every_chunk_are_done_whichever_shard_wrote_it(tmp_path: Path) -> None:
    first = written(tmp_path, row("a"), row("b"), shard=Shard(1, 4))
    second = written(tmp_path, row("c"), shard=Shard(0, 2))
    chunks = read(tmp_path)
    assert set(chunks.done) == {key("a"), key("b"), key("c")}
    assert chunks.files([key("b"), key("c")]) == sorted([first, second])
    assert chunks.files([key("c")]) == [second]


def test_the_same_question_in_two_sets_is_two_prompts(tmp_path: Path) -> None:
    written(tmp_path, row("a", data_set="validation"))
    assert key("a", "eval") not in read(tmp_path).done


def test_counts_are_of_the_prompts_asked_for(tmp_path: Path) -> None:
    written(tmp_path, row("a"), row("b"), row("c"))
    assert read(tmp_path).counts([key("a"), key("c")]) == {"prompts": 2, "samples": 4, "tokens": 10}


def test_what_was_written_is_done_without_reading_it_again(tmp_path: Path) -> None:
    chunks = ChunkFolder(tmp_path, range(2, 3))
    chunks.write(tmp_path / "chunk-x.jsonl", [row("a")])
    assert chunks.done == read(tmp_path).done


def test_no_two_processes_write_to_the_same_file(tmp_path: Path) -> None:
    """Two attempts may run at once for a while, when a node cannot be reached."""
    one, other = (ChunkNames(tmp_path, Shard(0, 1), attempt=1) for _ in range(2))
    names = [next(one), next(one), next(other), next(other)]
    assert len(set(names)) == 4
    assert names[:2] == sorted(names[:2])


def test_what_an_interrupted_write_of_this_shard_left_is_removed(tmp_path: Path) -> None:
    mine, others = (
        tmp_path / ".chunk-00000-of-00002-a1-ab-000001.jsonl.9.partial",
        tmp_path / ".chunk-00001-of-00002-a1-cd.partial",
    )
    for path in (mine, others):
        path.write_text("{")
    ChunkNames(tmp_path, Shard(0, 2), attempt=2)
    assert (mine.exists(), others.exists()) == (False, True)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"id": "a", "set": "train", "samp', "line 1: no JSON"),
        (b"[]\n", "expected a JSON object"),
        (b"\xff\xfe\n", "can't decode"),
        (b'{"id": "a"}\n', "line 1 is not the samples of a prompt (KeyError('set'))"),
        (json.dumps(row("a", samples=1)).encode(), "line 1 has 1 samples of a, expected 2"),
        (json.dumps(row("a") | {"samples": row("a")["samples"][::-1]}).encode(), "line 1 has 2 samples of a, expected 2"),
        (json.dumps(row("a") | {"samples": 3}).encode(), "line 1 is not the samples of a prompt"),
    ],
)
def test_a_damaged_chunk_is_named_with_the_way_out(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "chunk-00000-of-00001-a1-0-000001.jsonl"
    path.write_bytes(content)
    message = refusal(tmp_path)
    assert message.startswith(f"{path}: damaged chunk of samples: ")
    assert expected in message
    assert "delete this file, and its prompts are sampled again" in message


def test_files_that_are_no_chunks_are_left_alone(tmp_path: Path) -> None:
    unread: list[Any] = [tmp_path / "notes.txt", tmp_path / ".chunk-1.jsonl.7.partial"]
    for path in unread:
        path.write_text("not JSON")
    assert read(tmp_path).done == {}
