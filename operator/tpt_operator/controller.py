"""Keeps looking: caches filled and replaced by lists, what changed put into the queue, workers that reconcile.

It is told by watches what changes (`seen`, `gone`), and does not depend on them: what they miss, the next list tells.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any

from tpt_operator import labels
from tpt_operator.api import JOBS, PODS, RUNS, Api, ApiError, Kind
from tpt_operator.apply import Stale
from tpt_operator.cache import Cache, RunKey, Shelf, run_of, run_view
from tpt_operator.metrics import Measures
from tpt_operator.progress import Http, Listener
from tpt_operator.queue import WorkQueue
from tpt_operator.reconcile import Reconciler
from tpt_operator.settings import Settings
from tpt_operator.views import job_view, pod_view, version

LOGGER = logging.getLogger(__name__)

VIEWS: Mapping[Kind, Callable[[Any], Any]] = {RUNS: run_view, JOBS: job_view, PODS: pod_view}
SELECTORS: Mapping[Kind, str] = {RUNS: "", JOBS: labels.OURS, PODS: labels.OURS}


def utc_now() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)


class Controller:
    """The operator without its watches."""

    def __init__(self, api: Api, settings: Settings, measures: Measures, now: Callable[[], datetime] = utc_now) -> None:
        """Work as `settings` say; nothing happens before `prime`."""
        self._api, self._settings, self._measures = api, settings, measures
        self.resync_seconds = settings.resync_seconds
        self.begun = False
        """Whether `prime` was called."""
        self.listed: float | None = None
        """When everything was last listed, on the monotonic clock."""
        self.watch_seconds = settings.watch_seconds
        self.watched: dict[str, float] = {}
        """When the watch of each kind last gave a sign of life, on the monotonic clock; empty before they begin."""
        self._looking: dict[RunKey, float] = {}
        self.cache = Cache()
        self.queue: WorkQueue[RunKey] = WorkQueue(settings.first_retry_seconds, settings.longest_retry_seconds)
        self._listener = Listener(self.cache, settings.progress_seconds, self.queue.add, measures.unanswered)
        self._reconciler = Reconciler(api, self.cache, settings, self._listener, now)

    async def prime(self) -> None:
        """Fill the caches, however long the API server cannot be asked; nothing is planned before."""
        self.begun = True
        delay = self._settings.first_retry_seconds
        while True:
            try:
                await self.list_all()
                break
            except ApiError as error:
                LOGGER.warning("the caches cannot be filled yet: %s", error)
                await asyncio.sleep(max(delay, error.retry_after or 0.0))
                delay = min(delay * 2, self._settings.longest_retry_seconds)
        LOGGER.info("%d runs, %d Jobs, %d pods", len(self.cache.runs), len(self.cache.jobs), len(self.cache.pods))

    def parts(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return what is to run, without end, once the caches are filled, by what it is to people."""
        self.watched = dict.fromkeys((kind.plural for kind in VIEWS), time.monotonic())
        workers = {f"worker {number}": self._work() for number in range(1, self._settings.workers + 1)}
        return {**workers, "the lists": self._keep_listing(), "the questions after progress": self._keep_asking()}

    def seen(self, kind: Kind, item: Mapping[str, Any]) -> None:
        """Take note of an object that a watch has shown."""
        self.sign_of_life(kind.plural)
        view = VIEWS[kind](item)
        if view is not None and self._shelf(kind).put(view):
            self.queue.add(run_of(view))

    def gone(self, kind: Kind, item: Mapping[str, Any]) -> None:
        """Take note of an object that a watch has shown to be deleted."""
        self.sign_of_life(kind.plural)
        view = VIEWS[kind](item)
        if view is not None and self._shelf(kind).remove(view):
            self.queue.add(run_of(view))

    def sign_of_life(self, plural: str) -> None:
        """Take note that the watch of a kind works."""
        self.watched[plural] = time.monotonic()

    def watch_age(self, plural: str) -> float:
        """Return the seconds since the watch of a kind last gave a sign of life; 0 before it begins."""
        now = time.monotonic()
        return now - self.watched.get(plural, now)

    async def list_all(self) -> None:
        """Replace every cache by what is there.

        Raises:
            ApiError: the API server could not be asked; the caches are as they were.
        """
        found: dict[Kind, list[Any]] = {}
        for kind in (RUNS, JOBS, PODS):
            items = found[kind] = []
            at = 0
            async for page in self._api.list(kind, self._settings.namespace, SELECTORS[kind]):
                at = at or version(page["metadata"])
                items += [view for view in map(VIEWS[kind], page["items"]) if view is not None]
            for view in self._shelf(kind).replace(items, at):
                self.queue.add(run_of(view))
        self._reconciler.listed(found[RUNS])
        self.listed = time.monotonic()

    def looking_since(self) -> float | None:
        """Return since when the slowest look at a run takes, on the monotonic clock; None if nothing is looked at."""
        return min(self._looking.values(), default=None)

    def _shelf(self, kind: Kind) -> Shelf[Any]:
        shelves: dict[Kind, Shelf[Any]] = {RUNS: self.cache.runs, JOBS: self.cache.jobs, PODS: self.cache.pods}
        return shelves[kind]

    async def _keep_listing(self) -> None:
        while True:
            await asyncio.sleep(self._settings.resync_seconds)
            try:
                await self.list_all()
            except ApiError as error:
                LOGGER.warning("the caches were not renewed: %s", error)

    async def _keep_asking(self) -> None:
        async with Http() as http:
            await self._listener.run(http.ask)

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            self._looking[key] = time.monotonic()
            try:
                with self._measures.reconciles.time():
                    delay = await self._reconciler.reconcile(key)
            except Stale as stale:
                LOGGER.debug("%s/%s: %s", *key, stale)
                self.queue.failed(key)
            except ApiError as error:
                self._measures.errors.inc()
                seconds = self.queue.failed(key, error.retry_after or 0.0)
                LOGGER.warning("%s/%s: tried again in %.1f s: %s", *key, seconds, error)
            except Exception:
                self._measures.errors.inc()
                seconds = self.queue.failed(key)
                LOGGER.exception("%s/%s: tried again in %.1f s", *key, seconds)
            else:
                self.queue.done(key)
                self._listener.follow(key)
                if delay is not None:
                    self.queue.add(key, delay)
            finally:
                del self._looking[key]
