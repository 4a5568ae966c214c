"""The operator under load, beside JobSet's `dependsOn`: hand-offs, API writes, CPU, memory, restarts, and others in the cluster.

    TPT_E2E_CLUSTER=FOLDER python -m benchmarks.operator [--runs 1,100,1000] [--rate 15] [--foreign 20000] [--no-peer]

Each side has a real control plane of its own (etcd, API server with RBAC, controller manager, scheduler), one after the other, on
loopback; KWOK's fake nodes run the pods. The operator is a process of its own under its own account with the chart's permissions,
and holds a Lease. The peer is a JobSet for each run: seven Jobs, each of which depends on the completion of the one before.

For each number of runs: that many are alive, each with a running pod. The operator is stopped, steps end that are due to be
handed over, and it is started again ("settled": all of them are handed over, and it uses less than a tenth of a core). Then
nothing happens ("idle"). Then the benchmark ends pods at the same steady rate on both sides, first to warm up (at the largest
size for longer than finished Jobs are kept), then measured. Runs that end are replaced, so writes and CPU of a step include its
share of a run's beginning and end. Metrics are scraped as Prometheus would do it.

A hand-off is the time from the moment that a watch tells of a Job's completion to the moment at which the same watch tells of the
run's next Job. CPU and memory are those of the process; writes are counted by the API server. "Busy" is the share of all cores
that any program used: where it is near 100 %, the machine is what is measured. With `--foreign`, the last size is measured again
after so many Jobs and pods of others were put into the cluster.

Goals, at 1,000 runs and 15 steps a second: p50 below 50 ms, p99 below 250 ms, at most 4 writes and 30 ms of CPU a step, below
200 MiB, idle CPU near zero, settled within 10 s of a restart; with others in the cluster no growth above 10 %.
"""

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import psutil

from benchmarks.fleet.cluster import cluster, crowd, programs, say, until
from benchmarks.fleet.figures import Sample, Window, difference, handoffs, quiet_since, requests, without_collection
from benchmarks.fleet.kube import Kube
from benchmarks.fleet.load import Fleet
from benchmarks.fleet.sides import JobSets, Operator, Side
from benchmarks.fleet.tables import Measured, tables

BLOCKS = 5
"""Parts of the measured time, each a repetition."""
IDLE_SECONDS = 10.0
DOWN_SECONDS = 5.0
"""So long steps ended while the operator was stopped."""
QUIET = (1.0, 0.1)
"""For so many seconds at most that share of a core: then a process is done with what it had to do."""
SCRAPE_SECONDS = 15.0
SHORT_WARM_UP_SECONDS = 10.0
FILL_SECONDS = 240.0
SETTLE_SECONDS = 120.0
CROWD_SECONDS = 300.0
HAND_OVER_SECONDS = 60.0
"""How long is waited for the hand-offs that are due at the end of the measured time."""


@dataclass(frozen=True)
class Options:
    """What is measured."""

    runs: tuple[int, ...]
    rate: float
    """Steps that end in a second."""
    warm_up: float
    """Seconds, at the largest size."""
    window: float
    foreign: int
    peer: bool


def main() -> int:
    """Measure, and print the tables."""
    options = _options()
    programs()
    measured = asyncio.run(measure(options))
    print(tables(measured, options.rate))
    return 0


def _options() -> Options:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", default="1,100,1000", help="how many runs are alive: one number or several, rising")
    parser.add_argument("--rate", type=float, default=15.0, help="steps that end in a second (fewer with few runs)")
    parser.add_argument("--warm-up", type=float, default=65.0, help="seconds, at the largest size; finished Jobs are kept for 60")
    parser.add_argument("--window", type=float, default=60.0, help="seconds that are measured")
    parser.add_argument("--foreign", type=int, default=0, help="Jobs, and as many pods, of others in a second measurement")
    parser.add_argument("--peer", action=argparse.BooleanOptionalAction, default=True, help="measure JobSet too")
    given = parser.parse_args()
    runs = tuple(sorted(int(count) for count in given.runs.split(",")))
    return Options(runs, given.rate, given.warm_up, given.window, given.foreign, given.peer)


async def measure(options: Options) -> list[Measured]:
    """Measure one side after the other."""
    found: list[Measured] = []
    async with cluster() as (running, kube):
        operator = Operator(running.folder / "log")
        try:
            await operator.set_up(kube)
            found += await _side(kube, operator, options)
        finally:
            operator.stop()
    if options.peer:
        async with cluster() as (running, kube):
            peer = JobSets()
            await peer.set_up(running, kube)
            found += await _side(kube, peer, options)
    return found


async def _side(kube: Kube, side: Side, options: Options) -> list[Measured]:
    found = []
    fleet = Fleet(kube, side)
    async with _watching(fleet):
        for count in options.runs:
            await fleet.fill(count, FILL_SECONDS)
            found.append(await _at_one_size(kube, fleet, count, options))
        if options.foreign and isinstance(side, Operator):
            await crowd(kube, options.foreign, CROWD_SECONDS)
            found.append(await _at_one_size(kube, fleet, options.runs[-1], options, options.foreign))
    return found


@contextlib.asynccontextmanager
async def _watching(fleet: Fleet) -> AsyncIterator[None]:
    """Have the fleet watched while the context lasts; a watch that fails ends it."""
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(fleet.watch())
        try:
            yield
        finally:
            watching.cancel()


async def _at_one_size(kube: Kube, fleet: Fleet, count: int, options: Options, foreign: int = 0) -> Measured:
    side, rate = fleet.side, min(options.rate, 2.0 * count)
    what = f"{side.name}, {count} runs" + (f", {foreign} Jobs and pods of others" if foreign else "")
    settled = None
    if isinstance(side, Operator):
        say(f"{what}: restart")
        settled = await _restart(fleet, side, max(1, min(count // 2, int(rate * DOWN_SECONDS))))
        say(f"{what}: settled {settled:.1f} s after the restart")
    idle = await _idle(side)
    warm_up = options.warm_up if count == options.runs[-1] else min(options.warm_up, SHORT_WARM_UP_SECONDS)
    say(f"{what}: idle at {idle:.1%} of a core; warming up for {warm_up:.0f} s")
    async with _scraping(side):
        await fleet.pace(rate, warm_up)
        say(f"{what}: measuring for {options.window:.0f} s")
        window = await _window(kube, fleet, rate, options.window)
    say(f"{what}: {len(window.ended)} steps, {len(window.handoffs)} hand-offs, {fleet.late} ends late so far")
    return Measured(side.name, count, foreign, window, idle, settled)


async def _restart(fleet: Fleet, operator: Operator, count: int) -> float:
    """Stop the operator while steps end, start it again, and return how many seconds later it is done with what that left."""
    operator.stop()
    owners = await fleet.end_some(count)
    begun = time.perf_counter()
    operator.start()
    process, samples = operator.process, []
    handed_over: float | None = None
    async with asyncio.timeout(SETTLE_SECONDS):
        while True:
            await asyncio.sleep(0.1)
            samples.append(sample(operator))
            if handed_over is None and not fleet.waiting(owners):
                handed_over = samples[-1].at
            quiet = quiet_since(samples, *QUIET)
            if handed_over is not None and quiet is not None and process.is_running():
                return max(handed_over, quiet) - begun


async def _idle(side: Side) -> float:
    """Return the share of a core that a side uses while nothing ends."""
    first = sample(side)
    await asyncio.sleep(IDLE_SECONDS)
    last = sample(side)
    return (last.cpu - first.cpu) / (last.at - first.at)


async def _window(kube: Kube, fleet: Fleet, rate: float, seconds: float) -> Window:
    """Measure while steps end."""
    before = requests(await kube.text("/metrics"))
    samples = [sample(fleet.side)]
    psutil.cpu_percent()
    for _ in range(BLOCKS):
        await fleet.pace(rate, seconds / BLOCKS)
        samples.append(sample(fleet.side))
    busy = psutil.cpu_percent() / 100
    writes = fleet.side.own(without_collection(difference(requests(await kube.text("/metrics")), before)))
    begin, end = samples[0].at, samples[-1].at
    await until(fleet.nothing_due, "everything that was due is handed over", HAND_OVER_SECONDS)
    due = tuple(handoff for handoff in handoffs(fleet.seen) if begin <= handoff.at < end)
    ended = tuple(event.at for event in fleet.seen if event.completed and begin <= event.at < end)
    events = sum(begin <= at < end for at in fleet.told)
    return Window(begin, end, due, ended, tuple(samples), writes, events, busy)


def sample(side: Side) -> Sample:
    """Return what a side's process has used up to now."""
    with side.process.oneshot():
        times = side.process.cpu_times()
        return Sample(time.perf_counter(), times.user + times.system, side.process.memory_info().rss)


@contextlib.asynccontextmanager
async def _scraping(side: Side) -> AsyncIterator[None]:
    """Read the operator's metrics now and then, as Prometheus does."""
    if not isinstance(side, Operator):
        yield
        return

    async def scrape() -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                await asyncio.sleep(SCRAPE_SECONDS)
                async with session.get(f"http://127.0.0.1:{side.port}/metrics") as response:
                    await response.read()

    async with asyncio.TaskGroup() as group:
        scraping = group.create_task(scrape())
        try:
            yield
        finally:
            scraping.cancel()


if __name__ == "__main__":
    sys.exit(main())
