"""How far the step in progress is: asked of the metrics port of its first pod, now and then, beside everything else.

No reconcile waits for an answer. An answer that is new has its run looked at, which writes it into the status: once in so many
seconds at most, since nobody is asked more often. That a pod does not answer is no event: it may not serve yet, or a network may
not let us through.
"""

import asyncio
import logging
import re
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import aiohttp

from tpt_operator.cache import Cache, RunKey
from tpt_operator.pods import METRICS_PORT
from tpt_operator.queue import WorkQueue
from tpt_operator.views import JobView, PodView
from tpt_runtime.core.status import Reported

LOGGER = logging.getLogger(__name__)

Ask = Callable[[str], Awaitable[Reported | None]]
"""From a pod's address to what it says; None: it is up, and has nothing to say yet."""

WORKERS: Final = 4
"""So many pods are asked at the same time, however many do not answer."""
ANSWER_SECONDS: Final = 3.0
ANSWER_BYTES: Final = 1 << 18
GAUGES: Final = ("tpt_step_completed", "tpt_step_total")
_NUMBER: Final = r"[-+]?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:e[-+]?[0-9]{1,3})?"
_LINE: Final = re.compile(rf"^({'|'.join(GAUGES)}) ({_NUMBER})$", re.MULTILINE)
_MOST: Final = 2.0**53


class Unanswered(Exception):
    """A pod did not say how far it is."""


class Counter(Protocol):
    """What failures are counted with."""

    def inc(self) -> None:
        """Count one."""


class Listener:
    """Asks the runs that it follows."""

    def __init__(self, cache: Cache, seconds: float, tell: Callable[[RunKey], None], failures: Counter) -> None:
        """Ask a run's pod every `seconds`; `tell` of a run whose answer is new, and count `failures`."""
        self._cache, self._seconds, self._tell, self._failures = cache, seconds, tell, failures
        self._due: WorkQueue[RunKey] = WorkQueue(seconds, seconds)
        self._followed: set[RunKey] = set()
        self._said: dict[RunKey, tuple[str, Reported]] = {}

    def follow(self, key: RunKey) -> None:
        """Begin to ask a run, if there is a pod to ask; a run that is followed already is not asked any sooner."""
        if key not in self._followed and self._pod(key) is not None:
            self._followed.add(key)
            self._due.add(key, self._first(key))

    def said(self, job: JobView) -> Reported | None:
        """Return what the first pod of a Job said last."""
        uid, progress = self._said.get(RunKey(job.names.namespace, job.names.run), ("", None))
        return progress if uid == job.uid else None

    async def run(self, ask: Ask) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work(ask))

    async def _work(self, ask: Ask) -> None:
        while True:
            key = await self._due.get()
            pod = self._pod(key)
            if pod is not None:
                await self._listen(ask, key, *pod)
                self._due.add(key, self._seconds)
            else:
                self._followed.discard(key)
                self._said.pop(key, None)
            self._due.done(key)

    async def _listen(self, ask: Ask, key: RunKey, job: JobView, pod: PodView) -> None:
        try:
            progress = await ask(pod.address or "")
        except Unanswered as error:
            self._failures.inc()
            LOGGER.debug("%s/%s: %s does not say how far it is: %s", *key, pod.name, error)
            return
        if progress is not None and self._said.get(key) != (job.uid, progress):
            self._said[key] = (job.uid, progress)
            self._tell(key)

    def _pod(self, key: RunKey) -> tuple[JobView, PodView] | None:
        """Return the live Job of a run and its first pod, if that can be asked."""
        run = self._cache.runs.get(*key)
        if run is None:
            return None
        live = {job.name: job for job in self._cache.jobs.of(run.uid) if job.ending is None and job.deleting_since is None}
        pods = self._cache.pods.of(run.uid)
        found = (pod for pod in pods if pod.job in live and pod.index == 0 and pod.address and pod.deleting_since is None)
        return next(((live[pod.job], pod) for pod in found), None)

    def _first(self, key: RunKey) -> float:
        """Return when to ask first: not before the pod can have begun to serve, and not all runs at once after a restart."""
        spread = zlib.crc32("/".join(key).encode()) % 1000 / 1000
        return self._seconds * (1 + 2 * spread) / 3


def remembered(run: Mapping[str, Any], job: JobView) -> Reported | None:
    """Return what a run's status says of a Job: it stands until the Job's pod says something else, over a restart of ours."""
    status = run.get("status") or {}
    steps = (step for entry in status.get("rounds", ()) for step in entry.get("steps", ()))
    if not any(step.get("jobName") == job.name for step in steps):
        return None
    progress = status.get("progress") or {}
    found = progress.get("firstShard") if job.sharded else progress
    return Reported(completed=found["completed"], total=found["total"]) if found else None


class Http:
    """Asks pods by HTTP; a context manager."""

    def __init__(self, port: int = METRICS_PORT, seconds: float = ANSWER_SECONDS) -> None:
        """Ask on `port`; no answer takes longer than `seconds`."""
        self._port, self._timeout = port, aiohttp.ClientTimeout(total=seconds)

    async def __aenter__(self) -> "Http":
        """Begin; a connection is closed after every answer, because the next question is far off."""
        self._session = aiohttp.ClientSession(timeout=self._timeout, connector=aiohttp.TCPConnector(force_close=True))
        return self

    async def __aexit__(self, *_: object) -> None:
        """End."""
        await self.close()

    async def close(self) -> None:
        """Close what is open."""
        await self._session.close()

    async def ask(self, address: str) -> Reported | None:
        """Return what the pod at `address` says.

        Raises:
            Unanswered: it did not answer in time, or not with metrics of a step.
        """
        host = f"[{address}]" if ":" in address else address
        try:
            async with self._session.get(f"http://{host}:{self._port}/metrics", allow_redirects=False) as response:
                if response.status != 200:
                    raise Unanswered(f"it answers {response.status}")
                return read(await _text(response))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unanswered(f"{type(error).__name__}: {error}") from error


async def _text(response: aiohttp.ClientResponse) -> str:
    data = b""
    async for chunk in response.content.iter_any():
        data += chunk
        if len(data) > ANSWER_BYTES:
            raise Unanswered(f"its answer is longer than {ANSWER_BYTES} bytes")
    return data.decode(errors="replace")


def read(text: str) -> Reported | None:
    """Return what the metrics of a step say; None while nothing is to be done yet.

    Two lines are looked for, and the rest is passed over: what a pod serves is not to be trusted.

    Raises:
        Unanswered: these are no metrics of a step.
    """
    found = {name: float(value) for name, value in _LINE.findall(text)}
    missing = [name for name in GAUGES if name not in found]
    if missing:
        raise Unanswered(f"no {' and '.join(missing)}")
    if not all(abs(value) < _MOST for value in found.values()):
        raise Unanswered("numbers beyond all measure")
    completed, total = (int(found[name]) for name in GAUGES)
    if completed < 0 or total <= 0:
        return None
    return Reported(completed=min(completed, total), total=total)
