"""One process under its warden: nothing that a step starts outlives it, and nothing that it was told is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tpt_runtime.local.processes import Exit, Launch, Process, lives, started, termination
from tpt_runtime.local.warden import ALIVE, PROCESS

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DEADLINE = 20.0
"""Seconds after which a test has failed; nothing here takes a tenth of it."""

HEEDLESS = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
POLITE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
print('up', flush=True)
time.sleep(60)
"""
PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)
print('child', child.pid, flush=True)
if len(sys.argv) > 1:
    time.sleep(60)
"""

STARTER = """
import os, sys, time
from datetime import UTC, datetime
from pathlib import Path
from tpt_runtime.local.processes import Launch, Process
folder, command = Path(sys.argv[1]), (sys.executable, '-c', sys.argv[2])
Process(Launch(folder, folder / 'log', command, dict(os.environ), 10.0), datetime.now(UTC))
time.sleep(60)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    begun: list[Process] = []

    def begin(program: str, *arguments: str, grace: float = 10.0) -> Process:
        command = (sys.executable, "-c", program, *arguments)
        begun.append(Process(Launch(tmp_path / "job" / "0", tmp_path / "log", command, dict(os.environ), grace), NOW))
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.close()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def up(process: Process) -> str:
    """Return what the process says first, once it has said it."""
    until(lambda: process.log.exists() and b"\n" in process.log.read_bytes())
    return process.log.read_text().splitlines()[0]


def exists(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_an_exit_code_is_recorded(start: Callable[..., Process]) -> None:
    process = start("import sys; sys.exit(64)")
    until(lambda: process.ended)
    ended = Exit.read(process.folder)
    assert ended is not None
    assert (ended.code, ended.stopped) == (64, False)
    assert not lives(process.folder)


def test_a_start_is_recorded(start: Callable[..., Process]) -> None:
    process = start(POLITE)
    up(process)
    assert started(process.folder) == NOW
    assert exists(json.loads((process.folder / PROCESS).read_text())["pid"])
    assert Exit.read(process.folder) is None
    assert lives(process.folder)


def test_output_goes_to_the_log_after_what_stands_there(start: Callable[..., Process], tmp_path: Path) -> None:
    (tmp_path / "log").write_text("before\n")
    process = start("import sys; print('out', flush=True); print('err', file=sys.stderr)")
    until(lambda: process.ended)
    assert process.log.read_text() == "before\nout\nerr\n"


def test_a_process_that_is_asked_to_stop_ends_itself(start: Callable[..., Process]) -> None:
    process = start(POLITE)
    up(process)
    process.stop()
    until(lambda: process.ended)
    ended = Exit.read(process.folder)
    assert ended is not None
    assert (ended.code, ended.stopped) == (143, True)


def test_a_process_that_does_not_stop_is_killed_when_its_grace_is_over(start: Callable[..., Process]) -> None:
    process = start(HEEDLESS, grace=0.2)
    up(process)
    process.stop()
    until(lambda: process.ended)
    ended = Exit.read(process.folder)
    assert ended is not None
    assert (ended.code, ended.stopped) == (-signal.SIGKILL, True)


def test_grace_is_given_before_the_kill(start: Callable[..., Process]) -> None:
    process = start(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), sys.exit(7)))\n"
        "print('up', flush=True); time.sleep(60)",
        grace=15.0,
    )
    up(process)
    process.stop()
    until(lambda: process.ended)
    ended = Exit.read(process.folder)
    assert ended is not None
    assert ended.code == 7


def test_a_second_request_ends_a_process_at_once(start: Callable[..., Process]) -> None:
    process = start(HEEDLESS, grace=600.0)
    up(process)
    process.stop()
    process.kill()
    until(lambda: process.ended)
    ended = Exit.read(process.folder)
    assert ended is not None
    assert ended.code == -signal.SIGKILL


def test_a_signal_from_elsewhere_is_no_request_of_ours(start: Callable[..., Process]) -> None:
    process = start(POLITE)
    up(process)
    os.kill(json.loads((process.folder / PROCESS).read_text())["pid"], signal.SIGKILL)
    until(lambda: process.ended)
    ended = Exit.read(process.folder)
    assert ended is not None
    assert (ended.code, ended.stopped) == (-signal.SIGKILL, False)


@pytest.mark.skipif(sys.platform != "linux", reason="orphans in other sessions are found on Linux only")
class TestNothingIsLeftBehind:
    def test_what_a_step_leaves_in_a_session_of_its_own_is_ended(self, start: Callable[..., Process]) -> None:
        process = start(PARENT)
        pid = int(up(process).split()[1])
        until(lambda: process.ended)
        assert not exists(pid)

    def test_what_a_killed_step_started_is_ended_with_it(self, start: Callable[..., Process]) -> None:
        process = start(PARENT, "stay")
        pid = int(up(process).split()[1])
        process.kill()
        until(lambda: process.ended)
        assert not exists(pid)

    def test_a_step_ends_when_its_warden_is_killed(self, start: Callable[..., Process]) -> None:
        process = start(POLITE)
        up(process)
        pid = json.loads((process.folder / PROCESS).read_text())["pid"]
        os.kill(int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
        until(lambda: process.ended and not exists(pid))
        assert Exit.read(process.folder) is None
        assert process.warden_code == -signal.SIGKILL


def test_a_step_does_not_outlive_the_run_that_was_killed(tmp_path: Path) -> None:
    folder = tmp_path / "0"
    with subprocess.Popen([sys.executable, "-c", STARTER, str(folder), POLITE]) as run:
        until(lambda: (folder / "log").exists() and b"up" in (folder / "log").read_bytes())
        assert lives(folder)
        run.kill()
    until(lambda: not lives(folder))
    ended = Exit.read(folder)
    assert ended is not None
    assert (ended.code, ended.stopped) == (143, True)


def test_a_folder_where_nothing_was_started_does_not_live(tmp_path: Path) -> None:
    assert not lives(tmp_path)


def test_a_lock_file_that_nobody_holds_does_not_live(tmp_path: Path) -> None:
    (tmp_path / ALIVE).touch()
    assert not lives(tmp_path)


@pytest.mark.parametrize("text", ["", "no JSON", "[1]", '{"cut": '])
def test_a_termination_file_that_is_no_object_counts_as_missing(tmp_path: Path, text: str) -> None:
    (tmp_path / "termination").write_text(text)
    assert termination(tmp_path) is None


def test_a_termination_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "termination").write_text('{"step": "prune"}')
    assert termination(tmp_path) == {"step": "prune"}
