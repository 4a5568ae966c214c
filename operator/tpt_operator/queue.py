"""A keyed work queue: a key waits once however often it is added, is never worked on twice at a time, and backs off.

It knows nothing of runs. Time is asked of the event loop, so a test may bring a loop with a clock of its own.
"""

import asyncio
import heapq
import random
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class WorkQueue(Generic[Key]):
    """Keys that want attention, now or later."""

    def __init__(self, first_retry: float, longest_retry: float) -> None:
        """Back off from `first_retry` seconds up to `longest_retry`."""
        self._first, self._longest = first_retry, longest_retry
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._count = 0
        self._working: set[Key] = set()
        self._again: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._not_before: dict[Key, float] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Return how many keys are due now."""
        now = self._now()
        return sum(due <= now for due in self._due.values())

    def add(self, key: Key, delay: float = 0.0) -> None:
        """Have `key` attended to in `delay` seconds, not before it may be; the earlier one of two moments counts."""
        due = max(self._now() + delay, self._not_before.get(key, 0.0))
        if key in self._working:
            self._again[key] = min(due, self._again.get(key, due))
            return
        if key in self._due and self._due[key] <= due:
            return
        self._due[key] = due
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, key))
        self._changed.set()

    async def get(self) -> Key:
        """Return the next key that is due; it stays taken until `done` or `failed`."""
        while True:
            while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
                heapq.heappop(self._heap)  # it was moved to an earlier moment
            wait = self._heap[0][0] - self._now() if self._heap else None
            if wait is not None and wait <= 0:
                key = heapq.heappop(self._heap)[2]
                del self._due[key]
                self._working.add(key)
                return key
            await self._wait(wait)

    def done(self, key: Key) -> None:
        """Say that `key` was attended to; what was added meanwhile is due again."""
        self._failures.pop(key, None)
        self._not_before.pop(key, None)
        self._put_back(key)

    def failed(self, key: Key, at_least: float = 0.0) -> float:
        """Say that attending to `key` failed; return the seconds until it is tried again.

        It is not tried within `at_least` seconds, whatever is added meanwhile: somebody asked for that pause.
        """
        count = self._failures[key] = self._failures.get(key, 0) + 1
        delay: float = min(self._first * 2 ** min(count - 1, 20), self._longest) * random.uniform(0.75, 1.25)
        delay = max(delay, at_least * random.uniform(1.0, 1.25))
        self._not_before[key] = self._now() + delay if at_least else 0.0
        self._put_back(key)
        self.add(key, delay)
        return delay

    def _put_back(self, key: Key) -> None:
        self._working.discard(key)
        due = self._again.pop(key, None)
        if due is not None:
            self.add(key, max(0.0, due - self._now()))

    async def _wait(self, seconds: float | None) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
