"""An event loop whose clock is moved by hand."""

import asyncio
from typing import Any


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """Where others would wait, its clock jumps."""

    _ready: Any
    _scheduled: Any

    def __init__(self):
        super().__init__()
        self.moment = 0.0

    def time(self):
        return self.moment

    def _run_once(self):
        if not self._ready and self._scheduled:
            self.moment = max(self.moment, self._scheduled[0]._when)
        super()._run_once()  # type: ignore[misc]
