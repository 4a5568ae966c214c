"""Whether the operator works, for whoever restarts it: told by the age of what it last did, not by the fact that it answers.

/healthz   200 while watches give signs of life, and lists and looks at runs come to an end in time
/readyz    200 once the caches were filled, and while this process waits for its Lease
/metrics   what Prometheus reads
"""

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Protocol

from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from tpt_operator.metrics import Measures

LISTS_MISSED = 3
"""So many lists may fail one after the other."""
WATCHES_MISSED = 3
"""So many requests of a watch may bring no sign of life one after the other."""
STUCK_SECONDS = 180.0
"""No look at a run takes so long: every request in it times out much earlier."""


class Work(Protocol):
    """What is asked about."""

    listed: float | None
    """When everything was last listed, on the monotonic clock; None: not yet."""
    begun: bool
    """Whether it works; False while it waits for its Lease."""
    resync_seconds: float
    watched: dict[str, float]
    """When the watch of each kind last gave a sign of life, on the monotonic clock; empty: they have not begun."""
    watch_seconds: int

    def looking_since(self) -> float | None:
        """Return since when the slowest look at a run takes; None if nothing is looked at."""


def ailments(work: Work, now: float) -> list[str]:
    """Return what is wrong; `now` is the monotonic clock's."""
    found = []
    if work.listed is not None and now - work.listed > (LISTS_MISSED + 1) * work.resync_seconds:
        found.append(f"nothing was listed for {now - work.listed:.0f} s")
    for plural, seen in sorted(work.watched.items()):
        if now - seen > WATCHES_MISSED * work.watch_seconds:
            found.append(f"the watch of {plural} gave no sign of life for {now - seen:.0f} s")
    since = work.looking_since()
    if since is not None and now - since > STUCK_SECONDS:
        found.append(f"one look at a run takes {now - since:.0f} s")
    return found


@contextlib.asynccontextmanager
async def serving(work: Work, measures: Measures, port: int | None) -> AsyncIterator[int | None]:
    """Serve on `port` for as long as the context lasts (0: any that is free; None: not at all), and yield the port."""
    if port is None:
        yield None
        return
    pages = _Pages(work, measures)
    app = web.Application()
    app.add_routes([web.get("/healthz", pages.healthz), web.get("/readyz", pages.readyz), web.get("/metrics", pages.metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, port=port)
        await site.start()
        yield next(address[1] for address in runner.addresses if len(address) == 2)  # IPv4's, where both were bound
    finally:
        await runner.cleanup()


class _Pages:
    """What is answered."""

    def __init__(self, work: Work, measures: Measures) -> None:
        self._work, self._measures = work, measures

    async def healthz(self, _: web.Request) -> web.Response:
        return _answer(ailments(self._work, time.monotonic()))

    async def readyz(self, _: web.Request) -> web.Response:
        return _answer(["nothing was listed yet"] if self._work.begun and self._work.listed is None else [])

    async def metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._measures.registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


def _answer(found: list[str]) -> web.Response:
    return web.Response(text="; ".join(found) or "ok", status=503 if found else 200)
