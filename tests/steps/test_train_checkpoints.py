"""train: which checkpoint a training goes on from."""

from dataclasses import replace
from pathlib import Path

import pytest

from tpt_runtime.train.checkpoints import MARKER, Topology, mark_complete, remove_older, resume_from

TWO = Topology(digest="abc", engine="DeepSpeed", zero_stage=2, offload=False, processes=2)


@pytest.fixture
def said() -> list[str]:
    return []


def checkpoint(root: Path, step: int, topology: Topology | None = TWO) -> Path:
    """Write a checkpoint; without a topology it is left unmarked."""
    folder = root / f"checkpoint-{step}"
    (folder / "global_step").mkdir(parents=True)
    (folder / "global_step" / "shard.pt").write_bytes(b"weights")
    if topology:
        mark_complete(folder, topology)
    return folder


def test_a_training_goes_on_from_the_last_complete_checkpoint(tmp_path: Path, said: list[str]) -> None:
    for step in (9, 10, 100):
        checkpoint(tmp_path, step)
    assert resume_from(tmp_path, TWO, said.append) == tmp_path / "checkpoint-100"
    assert said == []


def test_without_checkpoints_it_begins_at_the_beginning(tmp_path: Path, said: list[str]) -> None:
    assert resume_from(tmp_path / "checkpoints", TWO, said.append) is None
    assert said == []


def test_an_unmarked_checkpoint_is_passed_over_and_removed(tmp_path: Path, said: list[str]) -> None:
    good, bad = checkpoint(tmp_path, 10), checkpoint(tmp_path, 20, None)
    assert resume_from(tmp_path, TWO, said.append) == good
    assert not bad.exists()
    assert "checkpoint-20 is incomplete" in said[0]


@pytest.mark.parametrize("damage", ["truncated", "missing", "marker cut off", "marker of something else"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, said: list[str], damage: str) -> None:
    good, bad = checkpoint(tmp_path, 10), checkpoint(tmp_path, 20)
    shard, marker = bad / "global_step" / "shard.pt", bad / MARKER
    match damage:
        case "truncated":
            shard.write_bytes(b"wei")
        case "missing":
            shard.unlink()
        case "marker cut off":
            marker.write_bytes(marker.read_bytes()[:30])
        case "marker of something else":
            marker.write_text('{"topology": {"engine": "Torch"}, "files": {}}')
    assert resume_from(tmp_path, TWO, said.append) == good


@pytest.mark.parametrize(
    "change", [{"processes": 1}, {"zero_stage": 3}, {"offload": True}, {"engine": "Torch"}, {"digest": "other"}]
)
def test_a_checkpoint_of_another_topology_is_set_aside_with_a_word(tmp_path: Path, said: list[str], change: dict) -> None:
    checkpoint(tmp_path, 10)
    assert resume_from(tmp_path, replace(TWO, **change), said.append) is None
    assert (tmp_path / "set-aside-checkpoint-10" / MARKER).exists()
    assert "set aside as set-aside-checkpoint-10" in said[0]
    assert "DeepSpeed, ZeRO 2, 2 process(es)" in said[0]


def test_what_was_set_aside_neither_hides_nor_is_counted_among_newer_checkpoints(tmp_path: Path, said: list[str]) -> None:
    checkpoint(tmp_path, 50)
    one = replace(TWO, processes=1)
    resume_from(tmp_path, one, said.append)
    checkpoint(tmp_path, 10, one)
    remove_older(tmp_path, keep=1)
    assert resume_from(tmp_path, one, said.append) == tmp_path / "checkpoint-10"


def test_where_nothing_is_sharded_the_number_of_processes_is_free(tmp_path: Path, said: list[str]) -> None:
    whole = replace(TWO, zero_stage=0)
    folder = checkpoint(tmp_path, 10, whole)
    assert resume_from(tmp_path, replace(whole, processes=8), said.append) == folder


def test_no_more_than_two_checkpoints_are_kept(tmp_path: Path) -> None:
    for step in (5, 10, 15, 120):
        checkpoint(tmp_path, step)
    remove_older(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-120", "checkpoint-15"]


def test_a_marker_lists_every_file_with_its_size(tmp_path: Path) -> None:
    marker = (checkpoint(tmp_path, 10) / MARKER).read_text()
    assert '"global_step/shard.pt": 7' in marker
