"""Shows a run on a screen while it changes. It decides nothing but when the run is over."""

from collections.abc import Iterable

from tpt_runtime.core.errors import TptError
from tpt_runtime.local.screen import Screen
from tpt_viewer.seen import Seen, view


def follow(states: Iterable[tuple[Seen, list[str]]], screen: Screen) -> Seen:
    """Show states, with what was said at each, until one is over; return that one."""
    shown: str | None = None
    try:
        for run, words in states:
            for word in words:
                screen.say(word)
            current = view(run)
            key = current[0] if current else None
            if shown is not None and shown != key:
                screen.forget(shown)
            if current is not None:
                screen.show(*current)
            shown = key
            if run.over is not None:
                return run
    finally:
        screen.close()
    raise TptError("nothing more is told of the run")
