"""What a person sees."""

import io

import pytest

from tpt_runtime.core.status import Progress
from tpt_runtime.local.screen import BarScreen, LineScreen, View, open_screen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def view(phase: str = "generate", completed: int | None = None) -> View:
    progress = None if completed is None else Progress(completed=completed, total=10)
    return View("round 1 sample", phase, progress, (("tokens_per_second", 1234.5678),) if progress else ())


class TestLines:
    @pytest.fixture(autouse=True)
    def screen(self) -> None:
        self.now = 100.0
        self.stream = io.StringIO()
        self.lines = LineScreen(self.stream, lambda: self.now)

    @property
    def shown(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    def test_a_new_phase_is_a_line(self) -> None:
        self.lines.show("a", view("start"))
        self.lines.show("a", view("generate"))
        assert self.shown == ["round 1 sample: start", "round 1 sample: generate"]

    def test_the_same_phase_is_quiet_for_a_while(self) -> None:
        self.lines.show("a", view())
        self.now += 14.9
        self.lines.show("a", view(completed=3))
        assert len(self.shown) == 1
        self.now += 0.1
        self.lines.show("a", view(completed=4))
        assert self.shown[1] == "round 1 sample: generate 4/10 (tokens per second 1,235)"

    def test_processes_do_not_silence_one_another(self) -> None:
        self.lines.show("a", view())
        self.lines.show("b", view())
        assert len(self.shown) == 2

    def test_one_that_was_forgotten_begins_anew(self) -> None:
        self.lines.show("a", view())
        self.lines.forget("a")
        self.lines.show("a", view())
        assert len(self.shown) == 2


class TestBars:
    def test_bars_and_lines_are_drawn_and_cleared_away(self) -> None:
        terminal = Terminal()
        bars = BarScreen(terminal)
        bars.show("a", view(completed=3))
        bars.say("[not markup] said")
        bars.forget("a")
        bars.forget("never shown")
        bars.close()
        assert "[not markup] said" in terminal.getvalue()

    def test_a_bar_says_how_far_it_is(self) -> None:
        terminal = Terminal()
        bars = BarScreen(terminal)
        bars.show("a", view(completed=3))
        bars.close()
        assert "3/10" in terminal.getvalue()


@pytest.mark.parametrize(
    ("value", "shown"), [(0.31257, "0.3126"), (1e-6, "1e-06"), (12, "12"), (15770.4, "15,770"), (-2048.0, "-2,048")]
)
def test_figures_are_short(value: float, shown: str) -> None:
    assert View("x", "y", None, (("loss", value),)).words == f"loss {shown}"


def test_only_a_terminal_gets_bars() -> None:
    bars = open_screen(Terminal())
    assert isinstance(bars, BarScreen)
    bars.close()
    assert isinstance(open_screen(io.StringIO()), LineScreen)
