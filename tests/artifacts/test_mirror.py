"""An object store as the home of artifacts: whole or not at all, once fetched and compared, and what two attempts make of one."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.object_store import Answer, Bucket, Request, Wire, refusal
from tpt_runtime.artifacts import objects
from tpt_runtime.artifacts.files import write_atomic
from tpt_runtime.artifacts.manifest import Manifest, write_manifest
from tpt_runtime.artifacts.mirror import Mirror
from tpt_runtime.artifacts.objects import ObjectUri, ask_nobody
from tpt_runtime.core.errors import ArtifactError, Interrupted, StepFailed

DIGEST = "1111111111111111"
FOLDER = f"round-001/prune-{DIGEST}"
FILES = {"grades.jsonl": b"grades", "model/weights": b"w" * 1000, "model/sub/config.json": b"{}", "empty": b""}

MirrorOf = Callable[[str], Mirror]


@pytest.fixture
def mirror_of(tmp_path: Path, bucket: Bucket, wire: Wire) -> MirrorOf:
    """Return a function that gives another machine's mirror of the same run."""
    uri = ObjectUri.parse("spec.storage.uri", f"s3://{bucket.name}/runs/team/example")
    return lambda machine: Mirror(uri, tmp_path / machine, ask_nobody)


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "RETRIES", {"max_retries": 0})


def written(mirror: Mirror, files: dict[str, bytes] = FILES, folder: str = FOLDER) -> tuple[Path, Manifest]:
    """Write an artifact into the cache, as a step does before it has it kept."""
    for name, data in files.items():
        write_atomic(mirror.cache / folder / name, data)
    return mirror.cache / folder, write_manifest(mirror.cache / folder, DIGEST, summary={"said": mirror.cache.name})


def stored(bucket: Bucket) -> dict[str, bytes]:
    """Return what lies in the store, manifests apart."""
    found = bucket.files(f"runs/team/example/{FOLDER}/")
    return {name: data for name, data in found.items() if name != "manifest.json"}


def in_cache(mirror: Mirror) -> dict[str, bytes]:
    folder = mirror.cache / FOLDER
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def fetched(mirror: Mirror) -> dict[str, bytes]:
    mirror.fetch(mirror.cache / FOLDER)
    return in_cache(mirror)


def test_what_one_machine_keeps_another_fetches(mirror_of: MirrorOf, bucket: Bucket) -> None:
    here, there = mirror_of("here"), mirror_of("there")
    folder, manifest = written(here)
    assert there.finished(there.cache / FOLDER, DIGEST) is None
    assert here.complete(folder, manifest) is manifest
    assert stored(bucket) == FILES
    assert there.finished(there.cache / FOLDER, DIGEST) == manifest
    assert in_cache(there) == {}, "to know that it is done nothing is fetched"
    assert fetched(there) == FILES


def test_the_manifest_is_put_last(mirror_of: MirrorOf, wire: Wire) -> None:
    here = mirror_of("here")
    here.complete(*written(here))
    assert wire.puts()[-1].endswith(f"{FOLDER}/manifest.json")
    assert len(wire.puts()) == len(FILES) + 1


def test_nothing_is_fetched_twice_and_a_part_alone_if_that_is_asked_for(mirror_of: MirrorOf, wire: Wire) -> None:
    here, there = mirror_of("here"), mirror_of("there")
    here.complete(*written(here))
    there.fetch(there.cache / FOLDER, "model")
    assert in_cache(there) == {name: data for name, data in FILES.items() if name.startswith("model/")}
    wire.seen.clear()
    assert fetched(there) == FILES
    assert [name.rpartition("/")[2] for name in wire.gets() if not name.endswith("manifest.json")] == ["grades.jsonl"]
    (there.cache / FOLDER / "grades.jsonl").write_bytes(b"gradeZ")
    assert fetched(there) == FILES, "what is not as the manifest says is fetched again"


def test_an_artifact_whose_manifest_was_never_put_is_not_there(mirror_of: MirrorOf, wire: Wire, bucket: Bucket) -> None:
    here, there = mirror_of("here"), mirror_of("there")
    wire.rule = lambda request: refusal(500, "InternalError") if request.method == "PUT" and "manifest" in request.name else None
    with pytest.raises(StepFailed, match="the object store failed"):
        here.complete(*written(here, FILES | {"model/leftover": b"of an attempt that made more files"}))
    assert len(stored(bucket)) == len(FILES) + 1
    assert there.finished(there.cache / FOLDER, DIGEST) is None
    with pytest.raises(ArtifactError, match=rf"s3://{bucket.name}/runs/team/example/{FOLDER}: no manifest\.json"):
        there.fetch(there.cache / FOLDER)
    wire.rule = lambda request: None
    there.complete(*written(there))
    assert stored(bucket) == FILES, "what the interrupted attempt left is gone"


def test_a_cache_that_remembers_what_the_store_has_no_more_counts_for_nothing(mirror_of: MirrorOf, bucket: Bucket) -> None:
    here = mirror_of("here")
    here.complete(*written(here))
    bucket.delete(f"runs/team/example/{FOLDER}/manifest.json")
    assert here.finished(here.cache / FOLDER, DIGEST) is None
    with pytest.raises(ArtifactError, match="has to run again"):
        here.fetch(here.cache / FOLDER)


@pytest.mark.parametrize("damage", ["truncated", "edited", "missing"])
def test_a_damaged_object_is_noticed_and_named_with_the_way_out(damage: str, mirror_of: MirrorOf, bucket: Bucket) -> None:
    here, there = mirror_of("here"), mirror_of("there")
    here.complete(*written(here))
    key = f"runs/team/example/{FOLDER}/model/weights"
    match damage:
        case "truncated":
            bucket.put(key, b"w" * 999)
        case "edited":
            bucket.put(key, b"w" * 999 + b"W")
        case "missing":
            bucket.delete(key)
    expected = {"truncated": "has 999 bytes", "edited": "SHA-256", "missing": "is missing"}[damage]
    with pytest.raises(ArtifactError, match=expected) as caught:
        fetched(there)
    assert f"s3://{bucket.name}/{key}" in str(caught.value)
    assert f"delete it and s3://{bucket.name}/runs/team/example/{FOLDER}/manifest.json" in str(caught.value)
    assert not (there.cache / FOLDER / "model" / "weights").exists()
    if damage != "edited":
        with pytest.raises(ArtifactError, match=expected):
            there.finished(there.cache / FOLDER, DIGEST)


def test_a_manifest_of_another_configuration_or_none_at_all_is_refused(mirror_of: MirrorOf, bucket: Bucket) -> None:
    here = mirror_of("here")
    here.complete(*written(here))
    with pytest.raises(ArtifactError, match="is of configuration 1111111111111111, expected 2222222222222222"):
        here.finished(here.cache / FOLDER, "2222222222222222")
    bucket.put(f"runs/team/example/{FOLDER}/manifest.json", b"{")
    with pytest.raises(ArtifactError, match="unreadable manifest"):
        here.finished(here.cache / FOLDER, DIGEST)


def meanwhile(wire: Wire, point: Callable[[Request], bool], work: Callable[[], object]) -> None:
    """Do `work` once, just before the first request that is `point` is passed on."""
    done: list[bool] = []

    def rule(request: Request) -> Answer | None:
        if not done and point(request):
            done.append(True)
            work()
        return None

    wire.rule = rule


SLOW = {name: data.swapcase() for name, data in FILES.items()}
"""What a slower attempt makes of the same work: as many bytes, others."""


def overtaken(mirrors: tuple[Mirror, Mirror], wire: Wire, method: str, point: str) -> Manifest:
    """Let one attempt end the work in the middle of another's, just before a request of that kind; return what that one gets."""
    slow, quick = mirrors
    ours, mine = written(slow, SLOW)
    theirs, expected = written(quick)
    requests = iter(range(1, 99))
    met = 3 if method == "HEAD" else 1
    meanwhile(
        wire,
        lambda request: (request.method, request.name.endswith(point)) == (method, True) and next(requests) == met,
        lambda: quick.complete(theirs, expected),
    )
    in_force = slow.complete(ours, mine)
    assert in_force == expected
    return in_force


@pytest.mark.parametrize("method", ["HEAD", "PUT"])
def test_of_two_attempts_the_first_to_end_wins_and_the_other_takes_over_its_result(
    method: str, mirror_of: MirrorOf, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tpt_runtime.artifacts.mirror.in_parallel", lambda work, items: [work(item) for item in items])
    in_force = overtaken((mirror_of("slow"), mirror_of("quick")), wire, method, "manifest.json")
    reader = mirror_of("reader")
    assert fetched(reader) == FILES
    assert reader.finished(reader.cache / FOLDER, DIGEST) == in_force


def test_an_object_that_the_slower_attempt_was_just_sending_is_noticed_by_whoever_reads_it(
    mirror_of: MirrorOf, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tpt_runtime.artifacts.mirror.in_parallel", lambda work, items: [work(item) for item in items])
    overtaken((mirror_of("slow"), mirror_of("quick")), wire, "PUT", "grades.jsonl")
    with pytest.raises(ArtifactError, match="SHA-256"):
        fetched(mirror_of("reader"))


def test_a_file_of_another_attempt_among_mine_is_noticed_before_the_manifest_is_put(
    mirror_of: MirrorOf, wire: Wire, bucket: Bucket
) -> None:
    here = mirror_of("here")
    key = f"runs/team/example/{FOLDER}/grades.jsonl"
    meanwhile(wire, lambda request: request.method == "GET" and not request.name, lambda: bucket.put(key, b"others"))
    with pytest.raises(StepFailed, match=r"grades\.jsonl: not what was just put there; another attempt is at the same work"):
        here.complete(*written(here))
    assert not [name for name in wire.puts() if name.endswith("manifest.json")]


def test_an_artifact_of_another_ending_is_replaced(mirror_of: MirrorOf, bucket: Bucket) -> None:
    here, there = mirror_of("here"), mirror_of("there")
    here.complete(*written(here, {"report.html": b"old", "gone": b"x"}))
    for name, data in {"report.html": b"new"}.items():
        write_atomic(there.cache / FOLDER / name, data)
    manifest = write_manifest(there.cache / FOLDER, "2222222222222222", summary={})
    assert there.complete(there.cache / FOLDER, manifest) is manifest
    assert stored(bucket) == {"report.html": b"new"}


@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_files_go_up_and_come_down_several_at_a_time(method: str, mirror_of: MirrorOf, wire: Wire) -> None:
    here, there = mirror_of("here"), mirror_of("there")
    files = {f"part-{number}": b"x" for number in range(4)}
    folder, manifest = written(here, files)
    if method == "GET":
        here.complete(folder, manifest)
    together = threading.Barrier(4, timeout=20)

    def rule(request: Request) -> Answer | None:
        if request.method == method and "part-" in request.name:
            together.wait()
        return None

    wire.rule = rule
    if method == "PUT":
        here.complete(folder, manifest)
    else:
        assert fetched(there) == files


def test_a_large_object_comes_down_in_pieces(mirror_of: MirrorOf, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "PIECE", 5 << 20)
    here, there = mirror_of("here"), mirror_of("there")
    large = {"weights": bytes(range(256)) * (12 << 12)}
    here.complete(*written(here, large))
    assert fetched(there) == large
    assert len([name for name in wire.gets() if name.endswith("weights")]) == 3


def test_an_object_that_is_replaced_while_it_comes_down_is_not_mixed(
    mirror_of: MirrorOf, wire: Wire, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PIECE", 1 << 20)
    monkeypatch.setattr(objects, "PARALLEL", 1)
    key = "runs/team/example/weights"
    bucket.put(key, b"a" * (3 << 20))
    here = mirror_of("here")
    entry = here.objects.stat("weights")
    assert entry is not None
    gets = iter(range(9))
    meanwhile(wire, lambda request: request.method == "GET" and next(gets) == 1, lambda: bucket.put(key, b"b" * (3 << 20)))
    with pytest.raises(StepFailed, match="PreconditionFailed"):
        here.objects.download([("weights", entry, here.cache / "weights")])
    assert not list(here.cache.iterdir()), "nothing half copied is left"


def test_a_download_ends_when_the_step_is_asked_to_stop(mirror_of: MirrorOf, tmp_path: Path) -> None:
    here = mirror_of("here")
    here.complete(*written(here))

    def stop() -> None:
        raise Interrupted("stopped on request")

    stopped = Mirror(here.objects.uri, tmp_path / "stopped", stop)
    with pytest.raises(Interrupted):
        stopped.fetch(stopped.cache / FOLDER)


def test_single_files_are_kept_as_they_come_and_found_by_their_names(mirror_of: MirrorOf) -> None:
    here, there = mirror_of("here"), mirror_of("there")
    folder = there.cache / FOLDER
    for name in ("chunk-1.jsonl", "chunk-2.jsonl"):
        write_atomic(here.cache / FOLDER / name, name.encode())
        here.keep(here.cache / FOLDER / name)
    here.objects.write(f"{FOLDER}/below/chunk-3.jsonl", b"not asked for")
    write_atomic(folder / "chunk-0.jsonl", b"of another time")
    there.fetch_files(folder, "chunk-*.jsonl")
    assert in_cache(there) == {"chunk-1.jsonl": b"chunk-1.jsonl", "chunk-2.jsonl": b"chunk-2.jsonl"}


def test_all_shards_samples_are_fetched_and_compared(mirror_of: MirrorOf, bucket: Bucket) -> None:
    here, there = mirror_of("here"), mirror_of("there")
    folder = here.cache / FOLDER
    for shard in ("shard-0", "shard-1"):
        write_atomic(folder / f"{shard}.jsonl", shard.encode())
        here.keep(folder / f"{shard}.jsonl")
        name = f"{shard}.manifest.json"
        manifest = write_manifest(folder, DIGEST, summary={}, name=name, files=[folder / f"{shard}.jsonl"])
        assert here.conclude(folder, name, manifest) is manifest
    write_atomic(there.cache / FOLDER / "shard-7.manifest.json", b"{}")
    there.fetch_samples(there.cache / FOLDER, "shard-*.manifest.json")
    assert sorted(path.name for path in (there.cache / FOLDER).iterdir()) == [
        *("shard-0.jsonl", "shard-0.manifest.json", "shard-1.jsonl", "shard-1.manifest.json")
    ]
    bucket.put(f"runs/team/example/{FOLDER}/shard-1.jsonl", b"shard-X")
    with pytest.raises(ArtifactError, match=r"shard-1\.jsonl: SHA-256"):
        mirror_of("another").fetch_samples(mirror_of("another").cache / FOLDER, "shard-*.manifest.json")


def test_a_second_manifest_of_a_shard_leaves_the_first_in_force(mirror_of: MirrorOf) -> None:
    here, there = mirror_of("here"), mirror_of("there")
    first = written(here, {"chunk-1": b"1"})[1]
    second = written(there, {"chunk-2": b"2"})[1]
    assert here.conclude(here.cache / FOLDER, "shard.manifest.json", first) is first
    assert there.conclude(there.cache / FOLDER, "shard.manifest.json", second) == first


def test_a_part_that_is_removed_is_out_of_the_manifest_first(mirror_of: MirrorOf, wire: Wire, bucket: Bucket) -> None:
    here = mirror_of("here")
    folder, manifest = written(here)
    here.complete(folder, manifest)
    assert here.holds(folder, "model")
    here.rewrite(folder, manifest.model_copy(update={"files": {}}))
    assert not here.holds(folder, "model")
    here.remove(folder / "model")
    here.remove(folder / "model")
    assert sorted(stored(bucket)) == ["empty", "grades.jsonl"]
    assert not (folder / "model").exists()
    assert here.finished(folder, DIGEST) is not None


def test_messages_name_the_store_where_a_path_in_the_cache_would_say_nothing(mirror_of: MirrorOf, bucket: Bucket) -> None:
    here = mirror_of("here")
    assert here.shown(f"{here.cache}/a/b: bad") == f"s3://{bucket.name}/runs/team/example/a/b: bad"
