"""A manifest means that everything it lists is complete; every kind of mismatch is noticed and named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.artifacts.mortal import every_death
from tpt_runtime.artifacts import manifest as module
from tpt_runtime.artifacts.files import begin_folder, publish_folder, write_json, write_rows
from tpt_runtime.artifacts.manifest import file_entry, finished, read_manifest, verified, verified_file, write_manifest
from tpt_runtime.core.errors import ArtifactError

DIGEST = "0123456789abcdef"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "thing"
    (folder / "below").mkdir(parents=True)
    (folder / "rows.jsonl").write_bytes(b"rows")
    (folder / "below" / "weights").write_bytes(b"weights")
    write_manifest(folder, DIGEST, summary={"examples": 2}, counts={"rows": 1})
    return folder


def test_a_finished_folder_gives_its_summary_back(folder: Path) -> None:
    for ask in (finished, verified):
        found = ask(folder, DIGEST)
        assert found is not None
        assert found.summary == {"examples": 2}
        assert found.counts == {"rows": 1}


def test_without_a_manifest_nothing_is_finished(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    assert finished(folder, DIGEST) is None
    assert finished(folder / "nowhere", DIGEST) is None
    assert finished(folder / "rows.jsonl", DIGEST) is None
    with pytest.raises(ArtifactError, match=r"no manifest\.json, so the step that writes it has not ended; it has to run again"):
        verified(folder, DIGEST)


def change(**fields: Any) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        path = folder / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return damage


def replace_by_folder(folder: Path) -> None:
    (folder / "below" / "weights").unlink()
    (folder / "below" / "weights").mkdir()


SIZE = r"but its manifest says 7 bytes; delete it and .*/thing/manifest\.json, and what it held is made again"
MISMATCHES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a truncated file": (lambda f: (f / "below/weights").write_bytes(b"weigh"), rf"below/weights: has 5 bytes, {SIZE}"),
    "a longer file": (lambda f: (f / "below/weights").write_bytes(b"weights."), rf"below/weights: has 8 bytes, {SIZE}"),
    "a missing file": (lambda f: (f / "below/weights").unlink(), rf"below/weights: is missing, {SIZE}"),
    "a missing folder": (lambda f: shutil.rmtree(f / "below"), rf"below/weights: is missing, {SIZE}"),
    "a folder in a file's place": (replace_by_folder, rf"below/weights: is missing, {SIZE}"),
    "another configuration": (change(digest="another"), "its manifest is of configuration another, expected 0123456789abcdef"),
    "a manifest that is no JSON": (
        lambda f: (f / "manifest.json").write_bytes(b'{"dig'),
        "unreadable manifest .*delete .*thing to",
    ),
    "a manifest that is empty": (lambda f: (f / "manifest.json").write_bytes(b""), "unreadable manifest"),
    "a manifest that is no text": (lambda f: (f / "manifest.json").write_bytes(b"\xff\xfe"), "unreadable manifest"),
    "a manifest of something else": (change(digest=5), "unreadable manifest"),
    "a manifest with unknown fields": (change(more=1), "unreadable manifest"),
    "a manifest with an odd entry": (change(files={"rows.jsonl": {"size": "four"}}), "unreadable manifest"),
}


@pytest.mark.parametrize("case", MISMATCHES)
def test_a_mismatch_is_noticed_without_reading_the_files(case: str, folder: Path) -> None:
    damage, expected = MISMATCHES[case]
    damage(folder)
    for ask in (finished, verified):
        with pytest.raises(ArtifactError, match=expected):
            ask(folder, DIGEST)


def test_an_edit_of_the_same_length_is_noticed_by_whoever_reads(folder: Path) -> None:
    (folder / "below" / "weights").write_bytes(b"wEights")
    assert finished(folder, DIGEST) is not None
    with pytest.raises(
        ArtifactError, match=r"below/weights: SHA-256 \w{12}…, but its manifest says \w{12}…: the file was edited"
    ):
        verified(folder, DIGEST)


@pytest.mark.parametrize("damage", [b"edited", b"", None])
def test_a_reader_of_one_file_notices_that_it_was_changed(damage: bytes | None, folder: Path) -> None:
    file = folder / "rows.jsonl"
    assert verified_file(file) == file
    (folder / "below" / "weights").unlink()
    assert verified_file(file) == file, "the others are not looked at"
    file.unlink() if damage is None else file.write_bytes(damage)
    with pytest.raises(ArtifactError, match=r"rows\.jsonl: .* but its manifest .*; put back what was there, or delete .*/thing,"):
        verified_file(file)


def test_a_file_without_a_manifest_is_taken_as_it_is(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    (folder / "rows.jsonl").write_bytes(b"edited")
    assert verified_file(folder / "rows.jsonl").read_bytes() == b"edited"


def test_a_file_that_nobody_listed_is_nobodys_business(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    verified(folder, DIGEST)


def test_hidden_files_manifests_and_what_lies_behind_links_are_not_listed(tmp_path: Path) -> None:
    folder, model = tmp_path / "thing", tmp_path / "model"
    for path in (folder / ".cache" / "a", folder / ".rows.jsonl.1-ab.partial", folder / "kept", folder / "shard-0.manifest.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    model.mkdir()
    (model / "weights").write_bytes(b"x")
    (folder / "model").symlink_to(model)
    assert list(write_manifest(folder, DIGEST, summary={}).files) == ["kept"]


def test_a_hidden_folder_above_does_not_hide_what_is_in_it(tmp_path: Path) -> None:
    folder = tmp_path / ".runs" / "thing"
    folder.mkdir(parents=True)
    (folder / "kept").write_bytes(b"x")
    assert list(write_manifest(folder, DIGEST, summary={}).files) == ["kept"]


def test_a_linked_file_counts_as_the_file(tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(b"weights")
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "weights").symlink_to(blob)
    write_manifest(tmp_path / "thing", DIGEST, summary={})
    blob.write_bytes(b"weigh")
    with pytest.raises(ArtifactError, match="weights: has 5 bytes"):
        finished(tmp_path / "thing", DIGEST)


def test_what_is_known_already_is_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = file_entry(folder / "below" / "weights")
    read: list[str] = []

    def spy(path: Path) -> module.FileEntry:
        read.append(path.name)
        return file_entry(path)

    monkeypatch.setattr(module, "file_entry", spy)
    written = write_manifest(folder, DIGEST, summary={}, known={"below/weights": entry, "model/to-come": entry})
    assert read == ["rows.jsonl"]
    assert list(written.files) == ["below/weights", "model/to-come", "rows.jsonl"]


def test_a_folder_may_have_several_manifests(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        write_manifest(tmp_path, DIGEST, summary={"name": name}, name=f"shard-{name}.manifest.json", files=[tmp_path / name])
    (tmp_path / "b").unlink()
    assert verified(tmp_path, DIGEST, "shard-a.manifest.json").summary == {"name": "a"}
    with pytest.raises(ArtifactError, match=r"b: is missing, .* delete it and .*/shard-b\.manifest\.json"):
        finished(tmp_path, DIGEST, "shard-b.manifest.json")
    assert read_manifest(tmp_path) is None


def test_an_artifact_is_finished_or_absent_wherever_its_maker_is_killed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    final = root / "thing"

    def make() -> None:
        folder = begin_folder(final, 1)
        write_rows(folder / "rows.jsonl", [{"n": n} for n in range(3)])
        write_json(folder / "report.json", {"n": 3})
        write_manifest(folder, DIGEST, summary={"n": 3})
        publish_folder(folder, final)

    def look(number: int) -> None:
        if finished(final, DIGEST) is not None:
            verified(final, DIGEST)
        else:
            assert not final.exists()

    root.mkdir()
    assert every_death(make, root, before=lambda: shutil.rmtree(final, ignore_errors=True), after=look) > 20
    assert [entry.name for entry in root.iterdir()] == ["thing"]
