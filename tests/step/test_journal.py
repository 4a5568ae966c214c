"""Where a step's words go: JSON lines, or a bar on a terminal."""

import fcntl
import io
import json
import os
import pty
import struct
import sys
import termios
import threading
from pathlib import Path

import pytest

from tests.step.conftest import config
from tpt_runtime.step.journal import JsonJournal, TerminalJournal, open_journal


def on_a_terminal(run: str, folder: Path) -> str:
    """Run the small step on a terminal of its own, 100 columns wide, and return what it drew."""
    child, terminal = pty.fork()
    if not child:
        os.environ |= {"TERM": "xterm-256color", "TPT_TERMINATION_LOG": str(folder / "termination")}
        os.environ.pop("TPT_LOG", None)
        os.execv(sys.executable, [sys.executable, "-m", "tests.step.small_step", config(run, folder)])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    drawn = b""
    try:
        while data := os.read(terminal, 4096):
            drawn += data
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(terminal)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, drawn.decode()
    return drawn.decode()


def test_a_terminal_shows_a_bar_with_the_phase_and_how_far_it_is(tmp_path: Path) -> None:
    drawn = on_a_terminal("finish", tmp_path)
    assert "count" in drawn
    assert "3/3" in drawn
    assert "━" in drawn
    assert "done: " in drawn
    assert '{"time"' not in drawn
    assert json.loads((tmp_path / "termination").read_bytes())["kept"] == ["a"]


def test_a_terminal_shows_what_was_said_as_it_was_said() -> None:
    stream = io.StringIO()
    journal = TerminalJournal(stream)
    journal.event("phase", phase="train")
    journal.event("progress", completed=1, total=4, loss=0.5)
    journal.event("warning", message="[bold]not markup[/bold]")
    journal.close()
    assert "warning: [bold]not markup[/bold]" in stream.getvalue()
    assert "1/4" in stream.getvalue()


@pytest.mark.parametrize(("wanted", "kind"), [("json", JsonJournal), ("terminal", TerminalJournal), (None, JsonJournal)])
def test_the_environment_may_choose(wanted: str | None, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TPT_LOG", raising=False)
    if wanted:
        monkeypatch.setenv("TPT_LOG", wanted)
    journal = open_journal()
    assert isinstance(journal, kind)
    journal.close()


def test_every_line_is_one_json_object_whatever_is_said_and_by_how_many_threads() -> None:
    stream = io.StringIO()
    journal = JsonJournal(stream)

    def speak(number: int) -> None:
        for _ in range(200):
            journal.event("note", message="two\nlines and \u2028 é", number=number, path=Path("a"))

    threads = [threading.Thread(target=speak, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = stream.getvalue().split("\n")[:-1]
    assert len(lines) == 800
    assert {json.loads(line)["message"] for line in lines} == {"two\nlines and \u2028 é"}
