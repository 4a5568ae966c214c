"""The end of the operator: whichever part ends first, all of them end, within a bound, and the process says so by its exit code.

A process that is half dead is worse than one that has ended, because nothing starts it anew.
"""

import asyncio
import faulthandler
import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

LOGGER = logging.getLogger(__name__)

PARTS_SECONDS: Final = 16.0
"""So long may the parts take to end."""
PROCESS_SECONDS: Final = 25.0
"""So long may the process take: a pod that is to stop has 30 s."""
EXIT_STUCK: Final = 70
"""Exit code of a process that had to be ended from outside its event loop."""

Part = asyncio.Task[Any]


class Ended(Exception):
    """A part has ended though nobody asked for it, or does not end though somebody did."""


class LastResort:
    """Ends the process if it does not end by itself: a part may swallow its cancellation, a thread may hang."""

    def __init__(self, seconds: float = PROCESS_SECONDS, leave: Callable[[int], Any] = os._exit) -> None:
        """Have `leave` called `seconds` after the first call of `arm`."""
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._leave = leave

    def arm(self) -> None:
        """Begin to count, unless that was done before."""
        if self._timer.ident is None:
            self._timer.start()

    def _end(self) -> None:
        try:
            LOGGER.critical("the operator does not end by itself; this is where its threads are")
            faulthandler.dump_traceback()
        finally:
            self._leave(EXIT_STUCK)


async def until_any_ends(parts: Mapping[str, Part], stop: asyncio.Event, begin: Callable[[], None]) -> None:
    """Wait until one of `parts` ends or `stop` is set, then end the others.

    Args:
        parts: Tasks that never end by themselves, by what they are to people; the last one ends once `stop` is set.
        stop: Set when all are to end.
        begin: Called when the end begins.

    Raises:
        Ended: a part has ended though nobody asked for it, or does not end.
        BaseException: what a part failed of.
    """
    asked = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({*parts.values(), asked}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        begin()
        asked.cancel()
        first = next((name for name, part in parts.items() if part.done()), None)
        late = await _end(parts, gently=stop.is_set())
    for part in parts.values():
        if part.done() and not part.cancelled() and (error := part.exception()) is not None:
            raise error
    if late:
        raise Ended(f"{', '.join(late)}: not ended within {PARTS_SECONDS:.0f} s")
    if not stop.is_set():
        raise Ended(f"{first}: ended though nobody asked for it")


async def _end(parts: Mapping[str, Part], *, gently: bool) -> list[str]:
    """End all parts, the last one by itself if that is to be done `gently`; return those that do not end."""
    *others, last = parts.values()
    for part in others:
        part.cancel()
    if gently:
        await asyncio.wait([last], timeout=PARTS_SECONDS / 2)
    last.cancel()
    await asyncio.wait(parts.values(), timeout=PARTS_SECONDS / 2)
    return [name for name, part in parts.items() if not part.done()]
