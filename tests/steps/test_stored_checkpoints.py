"""train: checkpoints at home in an object store."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.object_store import Bucket, Wire
from tpt_runtime.artifacts.objects import Objects, ObjectUri
from tpt_runtime.train.checkpoints import MARKER, Topology, resume_from
from tpt_runtime.train.stored import StoredCheckpoints

TWO = Topology(digest="abc", engine="DeepSpeed", zero_stage=2, offload=False, processes=2)
BELOW = "round-001/train-1/checkpoints"
KEYS = f"run/{BELOW}"


@pytest.fixture
def attempt(bucket: Bucket, wire: Wire) -> Callable[[int], StoredCheckpoints]:
    """Return a function that gives the checkpoints as one attempt sees them."""
    uri = ObjectUri.parse("spec.storage.uri", f"s3://{bucket.name}/run")
    return lambda number: StoredCheckpoints(Objects(uri), BELOW, number)


@pytest.fixture
def said() -> list[str]:
    return []


def node_saves(folder: Path, rank: int, text: str = "") -> Path:
    (folder / "global_step").mkdir(parents=True, exist_ok=True)
    (folder / "global_step" / f"rank_{rank}.pt").write_text(f"{folder.name} of {rank}{text}")
    return folder


def save(checkpoints: StoredCheckpoints, tmp_path: Path, step: int, topology: Topology = TWO) -> None:
    """Save a checkpoint as two nodes do that share no disk."""
    nodes = [node_saves(tmp_path / f"node-{rank}" / f"checkpoint-{step}", rank) for rank in range(2)]
    for folder in nodes:
        checkpoints.bring(folder)
    checkpoints.conclude(nodes[0], topology)
    for folder in nodes:
        checkpoints.leave(folder)
        assert not folder.exists()


def fetched(checkpoints: StoredCheckpoints, root: Path, said: list[str], topology: Topology = TWO) -> dict[str, str]:
    """Return what a node goes on from: every file but the marker."""
    checkpoints.fetch(root, topology, said.append)
    found = resume_from(root, topology, said.append)
    if found is None:
        assert not list(root.iterdir())
        return {}
    files = [path for path in root.rglob("*") if path.is_file() and path.name != MARKER]
    return {path.relative_to(root).as_posix(): path.read_text() for path in files}


def whole(step: int) -> dict[str, str]:
    return {f"checkpoint-{step}/global_step/rank_{rank}.pt": f"checkpoint-{step} of {rank}" for rank in range(2)}


def test_the_next_attempt_goes_on_from_the_last_checkpoint_with_the_files_of_all_nodes(attempt, tmp_path, said) -> None:
    for step in (9, 10, 100):
        save(attempt(1), tmp_path, step)
    (tmp_path / "here" / "checkpoint-7").mkdir(parents=True)
    assert fetched(attempt(2), tmp_path / "here", said) == whole(100)
    assert said == []


def test_without_checkpoints_it_begins_at_the_beginning(attempt, tmp_path, said) -> None:
    assert fetched(attempt(1), tmp_path / "here", said) == {}


def test_a_checkpoint_that_not_every_node_brought_is_never_taken_and_removed(attempt, bucket, tmp_path, said) -> None:
    save(attempt(1), tmp_path, 10)
    attempt(1).bring(node_saves(tmp_path / "node-0" / "checkpoint-20", 0))
    assert fetched(attempt(2), tmp_path / "here", said) == whole(10)
    assert said == [f"{BELOW}/a1/checkpoint-20 is incomplete (the training was ended while it was written) and is removed"]
    assert not [name for name in bucket.names() if "checkpoint-20" in name]


@pytest.mark.parametrize("damage", ["truncated", "missing", "marker cut off"])
def test_a_damaged_checkpoint_is_passed_over(damage, attempt, bucket, tmp_path, said) -> None:
    save(attempt(1), tmp_path, 10)
    save(attempt(1), tmp_path, 20)
    key = f"{KEYS}/a1/checkpoint-20/global_step/rank_1.pt"
    match damage:
        case "truncated":
            bucket.put(key, bucket.get(key)[:-1])
        case "missing":
            bucket.delete(key)
        case "marker cut off":
            bucket.put(f"{KEYS}/a1/checkpoint-20/{MARKER}", b'{"topology": ')
    assert fetched(attempt(2), tmp_path / "here", said) == whole(10)
    assert "is incomplete" in said[0]


def test_another_topologys_checkpoints_are_left_aside_with_a_word_and_count_among_nobody_elses(
    attempt, bucket, tmp_path, said
) -> None:
    save(attempt(1), tmp_path, 50)
    one = replace(TWO, processes=1)
    assert fetched(attempt(2), tmp_path / "here", said, one) == {}
    assert "a1/checkpoint-50 is of DeepSpeed, ZeRO 2, 2 process(es)" in said[0]
    assert "it is left aside" in said[0]
    for step in (10, 20, 30):
        save(attempt(2), tmp_path, step, one)
    assert fetched(attempt(3), tmp_path / "here", said, one) == whole(30)
    assert fetched(attempt(3), tmp_path / "here", said, TWO) == whole(50)


def test_no_more_than_two_are_kept_whichever_attempts_they_are_of(attempt, bucket, tmp_path) -> None:
    save(attempt(1), tmp_path, 5)
    save(attempt(1), tmp_path, 10)
    save(attempt(2), tmp_path, 15)
    left = {name.split("/checkpoints/")[1].rpartition("/global_step/")[0] for name in bucket.names() if name.endswith(".pt")}
    assert left == {"a1/checkpoint-10", "a2/checkpoint-15"}
    assert len(bucket.names()) == 6


def test_attempts_never_write_into_each_others_checkpoints(attempt, tmp_path, said) -> None:
    save(attempt(1), tmp_path, 10)
    attempt(2).bring(node_saves(tmp_path / "node-0" / "checkpoint-10", 0, " by somebody who was thought dead"))
    assert fetched(attempt(3), tmp_path / "here", said) == whole(10)


def test_a_pod_replaced_within_the_attempt_makes_the_checkpoint_incomplete_before_it_touches_it(
    attempt, bucket, wire, tmp_path
) -> None:
    save(attempt(1), tmp_path, 10)
    wire.seen.clear()
    attempt(1).bring(node_saves(tmp_path / "node-0" / "checkpoint-10", 0))
    assert f"{KEYS}/a1/checkpoint-10/{MARKER}" not in bucket.names()
    assert [request.method for request in wire.seen] == ["POST", "PUT"], "the marker goes first"
