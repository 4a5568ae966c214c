"""Keeps a number of runs alive, ends their pods at a steady pace, and writes down when Jobs completed and the next were made."""

import asyncio
import itertools
import random
import time
from collections import Counter, deque
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final

from benchmarks.fleet.cluster import NAMESPACE, say, until
from benchmarks.fleet.figures import Seen
from benchmarks.fleet.kube import Json, Kube
from benchmarks.fleet.sides import CHAIN, Side

JOBS: Final = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
PODS: Final = f"/api/v1/namespaces/{NAMESPACE}/pods"
EVENTS: Final = f"/api/v1/namespaces/{NAMESPACE}/events"
JOB_NAME: Final = "batch.kubernetes.io/job-name"
MADE_AT_ONCE: Final = 8
LATE_SECONDS: Final = 60.0
"""So much longer may a pace take than it should."""
ENDING_SECONDS: Final = 10.0
"""Steps end among the oldest runs, so many that each has one about every ten seconds: so every kind of step, beginnings and ends
of runs are in the figures, while all the others stay as they are, alive and watched."""


class Fleet:
    """The runs of one side."""

    def __init__(self, kube: Kube, side: Side) -> None:
        """Nothing happens before `watching`."""
        self._kube, self.side = kube, side
        self._chance = random.Random(0)
        self._numbers = itertools.count()
        self._missing: asyncio.Queue[None] = asyncio.Queue()
        """One for each run that has ended and is to be replaced."""
        self._live: dict[str, None] = {}
        """UIDs, the oldest first."""
        self._running: dict[str, Json] = {}
        """Pods that run, by their Job."""
        self._made: set[str] = set()
        """Names of Jobs."""
        self._completed: set[str] = set()
        self._latest: dict[str, str] = {}
        """The Job made last, by run."""
        self._done: Counter[str] = Counter()
        """Steps completed, by run."""
        self.seen: list[Seen] = []
        self.told: list[float] = []
        """When Events of what is carried out were written."""
        self.late = 0
        """Ends that were due while no pod ran that could be ended."""

    async def watch(self) -> None:
        """Take note of what happens, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_jobs())
            group.create_task(self._watch_pods())
            group.create_task(self._watch_events())
            group.create_task(self._replace())

    async def fill(self, count: int, seconds: float) -> None:
        """Have `count` runs be alive, each with a pod that runs."""
        begun = time.monotonic()
        missing = deque(range(count - len(self._live)))

        async def make() -> None:
            while missing:
                missing.popleft()
                await self._make()

        async with asyncio.timeout(seconds):
            async with asyncio.TaskGroup() as group:
                for _ in range(MADE_AT_ONCE):
                    group.create_task(make())
            await until(self._all_run, f"{count} pods run", seconds)
        say(f"{count} runs alive, {time.monotonic() - begun:.0f} s later")

    async def pace(self, rate: float, seconds: float) -> None:
        """End `rate` pods a second, for so many seconds."""
        due = time.perf_counter()
        over = due + seconds
        async with asyncio.timeout(seconds + LATE_SECONDS), asyncio.TaskGroup() as group:
            while due < over:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                chosen = self._choose(max(1, int(rate * ENDING_SECONDS)))
                if chosen is None:
                    self.late += 1
                else:
                    group.create_task(self._end(chosen))
                due += 1 / rate

    async def end_some(self, count: int) -> set[str]:
        """End the pods of up to `count` runs at once, wait until their Jobs have completed, and return the runs that go on."""
        chosen = [owner for owner in self._live if self._latest[owner] in self._running and self._done[owner] + 1 < len(CHAIN)]
        owners = set(chosen[:count])
        for owner in owners:
            await self._end(self._running[self._latest[owner]])

        async def all_completed() -> bool:
            return self.waiting(owners) == len(owners)

        await until(all_completed, f"{len(owners)} Jobs complete")
        return owners

    def waiting(self, owners: set[str]) -> int:
        """Return how many runs have no Job after the one that completed."""
        return sum(self._latest[owner] in self._completed for owner in owners)

    async def nothing_due(self) -> bool:
        """Return whether every run that is alive has a Job that has not completed."""
        return not self.waiting(set(self._live) & set(self._latest))

    async def _replace(self) -> None:
        """Make a new run for each that has ended."""
        while True:
            await self._missing.get()
            await self._make()

    async def _make(self) -> None:
        made = await self._kube.post(self.side.path, self.side.manifest(f"run-{next(self._numbers)}"))
        self._live[made["metadata"]["uid"]] = None

    async def _all_run(self) -> bool:
        return all(self._latest.get(owner) in self._running for owner in self._live)

    def _choose(self, among: int) -> Json | None:
        """Return a pod to end: one that runs, of the oldest runs."""
        oldest = itertools.islice(self._live, among)
        ready = [job for job in map(self._latest.get, oldest) if job in self._running]
        return self._running[self._chance.choice(ready)] if ready else None

    async def _end(self, pod: Json) -> None:
        """Have a pod end well, as a kubelet would say it."""
        metadata = pod["metadata"]
        self._running.pop(metadata["labels"][JOB_NAME], None)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ended = {
            "exitCode": 0,
            "reason": "Completed",
            "startedAt": now,
            "finishedAt": now,
            "message": self._message(metadata["labels"]),
        }
        container = {"name": "step", "image": "step:1", "imageID": "", "ready": False, "restartCount": 0}
        conditions = [{"type": kind, "status": "False", "reason": "PodCompleted"} for kind in ("Ready", "ContainersReady")]
        status = {"phase": "Succeeded", "containerStatuses": [{**container, "state": {"terminated": ended}}]}
        await self._kube.patch(f"{PODS}/{metadata['name']}/status", {"status": {**status, "conditions": conditions}})

    def _message(self, labels: Json) -> str:
        return self.side.messages.get(labels.get("tpt.dev/step", ""), "")

    async def _watch_jobs(self) -> None:
        async with aclosing(self._kube.watch(JOBS)) as events:
            async for at, event in events:
                if event["type"] != "DELETED":
                    self._see(at, event["object"])

    def _see(self, at: float, job: Json) -> None:
        name, owner = job["metadata"]["name"], job["metadata"]["ownerReferences"][0]["uid"]
        if name not in self._made:
            self._made.add(name)
            self._latest[owner] = name
            self.seen.append(Seen(owner, at, completed=False))
        if name not in self._completed and _is_complete(job):
            self._completed.add(name)
            self._done[owner] += 1
            self.seen.append(Seen(owner, at, completed=True))
            if self._done[owner] == len(CHAIN):
                del self._live[owner]
                self._missing.put_nowait(None)

    async def _watch_pods(self) -> None:
        async with aclosing(self._kube.watch(PODS, fieldSelector="status.phase=Running")) as events:
            async for _, event in events:
                pod = event["object"]
                job = pod["metadata"]["labels"][JOB_NAME]
                if event["type"] == "DELETED":
                    self._running.pop(job, None)
                elif job not in self._completed:
                    kept = {name: pod["metadata"][name] for name in ("name", "labels")}
                    self._running[job] = {"metadata": kept}

    async def _watch_events(self) -> None:
        async with aclosing(self._kube.watch(EVENTS, fieldSelector=f"involvedObject.kind={self.side.kind}")) as events:
            async for at, _ in events:
                self.told.append(at)


def _is_complete(job: Json) -> bool:
    conditions = job.get("status", {}).get("conditions", ())
    return any(condition["type"] == "Complete" and condition["status"] == "True" for condition in conditions)
