"""Samples are read by prompt: all of them, each once, whatever the chunks look like."""

import json
from pathlib import Path
from typing import Any

import pytest

from tpt_runtime.artifacts.manifest import write_manifest
from tpt_runtime.artifacts.samples import PromptKey, SampleFiles
from tpt_runtime.core.errors import ArtifactError

DIGEST = "0123456789abcdef"


def row(key: str, text: str = "so 4", data_set: str = "eval", samples: int = 1) -> dict[str, Any]:
    made = [{"index": i, "text": text, "ids": [1, 2], "tokens": 2, "finish": "stop", "logprob": -0.1} for i in range(samples)]
    return {"id": key, "set": data_set, "samples": made}


def chunk(folder: Path, name: str, rows: list[dict[str, Any]], shard: str = "00000-of-00001", **dump: Any) -> None:
    """Write a chunk, and the shard's manifest that lists it."""
    path = folder / f"chunk-{name}.jsonl"
    options: dict[str, Any] = {"separators": (",", ":"), "ensure_ascii": False} | dump
    path.write_text("".join(json.dumps(one, **options) + "\n" for one in rows))
    write_manifest(folder, DIGEST, summary={}, name=f"shard-{shard}.manifest.json", files=sorted(folder.glob("chunk-*.jsonl")))


def keys(*ids: str, data_set: str = "eval") -> list[PromptKey]:
    return [PromptKey(data_set, one) for one in ids]


def read(folder: Path, *ids: str) -> list[str]:
    return [found["id"] for found in SampleFiles(folder, DIGEST).read(keys(*ids))]


def test_the_reader_says_the_order(tmp_path: Path) -> None:
    chunk(tmp_path, "b", [row("c"), row("a")])
    chunk(tmp_path, "a", [row("d"), row("b")])
    assert read(tmp_path, "a", "b", "c", "d") == ["a", "b", "c", "d"]
    assert read(tmp_path, "d", "a") == ["d", "a"]


def test_a_question_that_stands_in_two_sets_is_read_for_both(tmp_path: Path) -> None:
    chunk(tmp_path, "a", [row("a", "in eval"), row("a", "in validation", data_set="validation")])
    samples = SampleFiles(tmp_path, DIGEST)
    texts = {key: next(samples.read([key]))["samples"][0]["text"] for key in (*keys("a"), *keys("a", data_set="validation"))}
    assert texts == {("eval", "a"): "in eval", ("validation", "a"): "in validation"}


def test_of_a_prompt_that_two_attempts_sampled_the_first_chunk_counts(tmp_path: Path) -> None:
    chunk(tmp_path, "a", [row("a", "first")])
    chunk(tmp_path, "b", [row("a", "second"), row("b")])
    assert next(SampleFiles(tmp_path, DIGEST).read(keys("a")))["samples"][0]["text"] == "first"


def test_a_chunk_that_no_manifest_lists_is_not_read(tmp_path: Path) -> None:
    chunk(tmp_path, "a", [row("a")])
    (tmp_path / "chunk-b.jsonl").write_text(json.dumps(row("b")) + "\n")
    with pytest.raises(ArtifactError, match="prompt b of eval has no samples; the sample step has to run again"):
        read(tmp_path, "a", "b")


def test_missing_prompts_are_counted_before_anything_is_graded(tmp_path: Path) -> None:
    chunk(tmp_path, "a", [row("a")])
    with pytest.raises(ArtifactError, match="2 of 3 prompts have no samples, such as b of eval"):
        SampleFiles(tmp_path, DIGEST).require(keys("a", "b", "c"))


def test_a_prompt_without_a_single_sample_is_missing(tmp_path: Path) -> None:
    chunk(tmp_path, "a", [row("a", samples=0)])
    with pytest.raises(ArtifactError, match="prompt a of eval has no samples"):
        read(tmp_path, "a")


def test_shards_without_a_single_chunk_are_no_crash(tmp_path: Path) -> None:
    write_manifest(tmp_path, DIGEST, summary={}, name="shard-00000-of-00001.manifest.json", files=[])
    with pytest.raises(ArtifactError, match="1 of 1 prompts have no samples"):
        SampleFiles(tmp_path, DIGEST).require(keys("a"))


def test_without_a_manifest_no_shard_has_ended(tmp_path: Path) -> None:
    (tmp_path / "chunk-a.jsonl").write_text(json.dumps(row("a")) + "\n")
    (tmp_path / ".shard-00000-of-00001.manifest.json.1-ab.partial").write_text("{}")
    with pytest.raises(ArtifactError, match="no shard has ended; the sample step has to run again"):
        SampleFiles(tmp_path, DIGEST)


@pytest.mark.parametrize("text", ["a\u2028b\u2029c", 'he said "x","set":"train"', "{}", "\n\r\n", "é" * 3000])
@pytest.mark.parametrize("dump", [{}, {"ensure_ascii": True}, {"separators": (", ", ": ")}, {"sort_keys": True}])
def test_rows_are_found_whatever_they_hold_and_however_they_are_written(text: str, dump: dict[str, Any], tmp_path: Path) -> None:
    chunk(tmp_path, "a", [row("a", text), row("b"), row('c "quoted"', text)], **dump)
    found = list(SampleFiles(tmp_path, DIGEST).read(keys("b", 'c "quoted"', "a")))
    assert found == [row("b"), row('c "quoted"', text), row("a", text)]


@pytest.mark.parametrize(
    ("line", "expected"), [("{oops", "line 2: no JSON"), ('{"id": 5}', "line 2: not the samples of a prompt")]
)
def test_a_damaged_row_is_named(line: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "chunk-a.jsonl"
    path.write_text(json.dumps(row("a")) + "\n" + line + "\n")
    write_manifest(tmp_path, DIGEST, summary={}, name="shard-00000-of-00001.manifest.json", files=[path])
    with pytest.raises(ArtifactError, match=rf"chunk-a\.jsonl, {expected}"):
        SampleFiles(tmp_path, DIGEST)
