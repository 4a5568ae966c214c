"""Files appear whole or not at all, whenever the process ends and whatever the storage refuses."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.artifacts.mortal import every_death
from tpt_runtime.artifacts import files
from tpt_runtime.artifacts.files import (
    begin_folder,
    fresh_folder,
    json_bytes,
    partial_folder,
    publish_folder,
    read_rows,
    write_atomic,
    write_json,
    write_rows,
)
from tpt_runtime.core.errors import ArtifactError, Interrupted, StepFailed

OLD, NEW = b"old", b"new" * 5000


def visible(folder: Path) -> dict[str, bytes]:
    """What a reader finds: hidden files are nobody's."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_file_is_old_or_new_wherever_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    seen = set()

    def look(number: int) -> None:
        assert visible(tmp_path) in ({"file": OLD}, {"file": NEW})
        seen.add(path.read_bytes())

    points = every_death(lambda: write_atomic(path, NEW), tmp_path, before=lambda: path.write_bytes(OLD), after=look)
    assert points >= 4, "at least: open, flush, rename, flush the folder"
    assert seen == {OLD, NEW}, "some points lie before the rename, some after it"


def test_rows_are_old_or_new_wherever_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"n": n, "text": "x" * 1000} for n in range(50)]

    def look(number: int) -> None:
        if path.exists():
            assert list(read_rows(path)) == rows

    every_death(lambda: write_rows(path, rows), tmp_path, before=lambda: path.unlink(missing_ok=True), after=look)
    assert list(read_rows(path)) == rows


def order_of(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record flushes and renames by name; files and folders are told apart."""
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def flush(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink()
        done.append(f"flush {'folder' if name.is_dir() else 'file'}")
        fsync(descriptor)

    def rename(path: Path, target: Path) -> Path:
        done.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(Path, "replace", rename)
    return done


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="names of open files are read from /proc")
def test_content_is_on_the_disk_before_its_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = order_of(monkeypatch)
    write_atomic(tmp_path / "file", NEW)
    assert done == ["flush file", "rename", "flush folder"]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="names of open files are read from /proc")
def test_a_folder_is_published_after_all_that_is_in_it_was_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partial = fresh_folder(tmp_path / "partial")
    (partial / "below").mkdir()
    (partial / "below" / "copied").write_bytes(NEW)
    done = order_of(monkeypatch)
    publish_folder(partial, tmp_path / "final")
    assert done == ["flush folder", "flush folder", "flush file", "rename", "flush folder"]


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"

    def slow() -> Iterator[dict[str, int]]:
        yield {"n": 1}
        write_rows(path, [{"n": 2}])
        yield {"n": 3}

    assert write_rows(path, slow()) == 2
    assert list(read_rows(path)) == [{"n": 1}, {"n": 3}]
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.jsonl"]


def test_what_goes_wrong_while_rows_are_made_is_raised_as_it_is(tmp_path: Path) -> None:
    def rows(error: Exception) -> Iterator[dict[str, int]]:
        yield {"n": 1}
        raise error

    for error in (
        Interrupted("stop"),
        BlockingIOError(errno.EAGAIN, "no more processes"),
        PermissionError(errno.EACCES, "input"),
    ):
        with pytest.raises(type(error)) as caught:
            write_rows(tmp_path / "rows.jsonl", rows(error))
        assert caught.value is error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["fsync", "open", "replace", "flush_folder"])
def test_a_storage_that_refuses_is_told_in_words_and_leaves_what_was_there(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    holder: Any = {"fsync": os, "flush_folder": files}.get(call, Path)
    with monkeypatch.context() as patch:
        patch.setattr(holder, call, refuse)
        with pytest.raises(StepFailed, match=r"file: No space left on device; nothing that was complete is lost"):
            write_atomic(path, NEW)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == (NEW if call == "flush_folder" else OLD)


def test_a_file_system_that_flushes_no_folders_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def refuse_folders(descriptor: int) -> None:
        if os.fstat(descriptor).st_mode & 0o040000:
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    write_atomic(tmp_path / "file", NEW)
    assert (tmp_path / "file").read_bytes() == NEW


def test_nan_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_rows(tmp_path / "rows.jsonl", [{"n": 1.0}, {"n": float("nan")}])
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "value.json", {"n": float("inf")})
    assert list(tmp_path.iterdir()) == []


ODD_TEXTS = {
    "line separators": "one\u2028two\u2029three\u0085four\x1cfive\x0bsix\rseven\r\neight",
    "half of a surrogate pair": "broken \ud83d emoji",
    "a whole one": "fine 😀",
    "null and escape": "\x00\x1b[31m",
    "nothing": "",
}


@pytest.mark.parametrize("name", ODD_TEXTS)
def test_any_text_that_a_model_may_write_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    path, rows = tmp_path / "rows.jsonl", [{"text": ODD_TEXTS[name]}, {"text": "next"}]
    assert write_rows(path, rows) == 2
    assert list(read_rows(path)) == rows
    assert path.read_bytes().count(b"\n") == 2
    path.read_bytes().decode("utf-8")


def test_only_what_needs_it_is_escaped() -> None:
    assert json_bytes({"a": "é😀"}) == '{"a":"é😀"}'.encode()
    assert json_bytes({"a": "é\ud800"}) == b'{"a":"\\u00e9\\ud800"}'
    assert json.loads(json_bytes({"a": [1]}, indent=2)) == {"a": [1]}


BAD_ROWS = {
    "cut off": (b'{"n": 1}\n{"n": 2', r"rows\.jsonl, line 2: no JSON .*; the file was cut off or edited"),
    "an empty line": (b'{"n": 1}\n\n{"n": 2}\n', r"line 2: no JSON"),
    "a list": (b"[1]\n", r"line 1: expected a JSON object, found list"),
    "no UTF-8": (b'{"n": 1}\n{"text": "\xff"}\n', r"line 2: no JSON \('utf-8' codec can't decode"),
    "nested without end": (b"[" * 100_000 + b"\n", r"line 1: no JSON"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_named_by_file_and_line(name: str, tmp_path: Path) -> None:
    content, expected = BAD_ROWS[name]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=expected):
        list(read_rows(path))


def test_missing_rows_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"rows\.jsonl: missing; the step that writes it has to run again"):
        list(read_rows(tmp_path / "rows.jsonl"))


def make(final: Path, attempt: int = 1) -> None:
    """Make a small artifact as steps do."""
    folder = begin_folder(final, attempt)
    write_rows(folder / "rows.jsonl", [{"n": n} for n in range(3)])
    (folder / "below").mkdir()
    (folder / "below" / "copied").write_bytes(NEW)
    publish_folder(folder, final)


WHOLE = {"rows.jsonl": b'{"n":0}\n{"n":1}\n{"n":2}\n', "below/copied": NEW}


@pytest.mark.parametrize("leftover", [None, {"below/copied": OLD, "manifest.json": OLD, "rows.jsonl": OLD}])
def test_a_folder_is_published_whole_wherever_the_process_is_killed(leftover: dict[str, bytes] | None, tmp_path: Path) -> None:
    root = tmp_path / "root"
    final = root / "thing"

    def set_up() -> None:
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        for name, content in (leftover or {}).items():
            (final / name).parent.mkdir(parents=True, exist_ok=True)
            (final / name).write_bytes(content)

    def look(number: int) -> None:
        assert visible(final) in ({}, leftover or {}, WHOLE)
        make(final, attempt=2)
        assert visible(final) == WHOLE
        assert [entry.name for entry in root.iterdir()] == ["thing"], "nothing of the killed attempt stays"

    assert every_death(lambda: make(final), root, before=set_up, after=look) > 15


def test_an_attempt_begins_with_an_empty_folder_of_its_own(tmp_path: Path) -> None:
    final = tmp_path / "thing-0123"
    for attempt in (1, 2):
        (partial_folder(final, attempt) / "below").mkdir(parents=True)
    (tmp_path / "thing-4567.partial-a1").mkdir()
    folder = begin_folder(final, 3)
    assert list(folder.iterdir()) == []
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["thing-0123.partial-a3", "thing-4567.partial-a1"]


def test_whatever_stands_in_the_way_of_a_fresh_folder_goes(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_bytes(OLD)
    link, file = tmp_path / "link", tmp_path / "file"
    link.symlink_to(elsewhere)
    file.write_bytes(OLD)
    for path in (link, file):
        assert list(fresh_folder(path).iterdir()) == []
        assert not path.is_symlink()
    assert (elsewhere / "kept").exists(), "a link is removed, not what it leads to"


def test_what_a_link_leads_to_is_published_as_a_link_and_stays_untouched(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights").write_bytes(NEW)
    model.chmod(0o555)
    partial, final = tmp_path / "thing.partial-a1", tmp_path / "thing"
    partial.mkdir()
    (partial / "model").symlink_to("../model", target_is_directory=True)
    (partial / "later").symlink_to("nowhere")
    publish_folder(partial, final)
    assert (final / "model").is_symlink()
    assert (final / "later").is_symlink()
    fresh_folder(final)
    assert (model / "weights").read_bytes() == NEW
