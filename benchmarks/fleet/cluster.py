"""A control plane for one side of the benchmark, on loopback, with KWOK's fake nodes; and what else lies in it."""

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.fleet.kube import Json, Kube

NAMESPACE: Final = "fleet"
NODES: Final = 10
CROWDED: Final = ("others", "pods-of-others")
"""Namespaces of others: one for their Jobs and one for their pods, since the Job controller compares every pod that belongs to no
Job with all Jobs of its namespace."""
PROGRAM_SECONDS: Final = 120.0
ROOMY: Final = {"GOGC": "800"}
"""For the control plane alone, on both sides: it collects its garbage seldom, or that takes a third of what two cores can do."""
READY_SECONDS: Final = 60.0


def programs() -> Path:
    """Return the folder of the programs that start a cluster.

    Raises:
        SystemExit: the environment does not say where they are.
    """
    named = os.environ.get("TPT_E2E_CLUSTER")
    folder = Path(named or "")
    if not named or not all((folder / name).is_file() for name in ("up", "down", "kwok", "jobset")):
        raise SystemExit("TPT_E2E_CLUSTER must name a folder with the programs up, down, kwok and jobset, which start a cluster")
    return folder


def say(text: str) -> None:
    """Tell whoever waits what goes on."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


async def until(holds: Callable[[], Awaitable[bool]], what: str, seconds: float = READY_SECONDS) -> None:
    """Wait until `holds` is true.

    Raises:
        TimeoutError: it is not, `seconds` later.
    """
    deadline = time.monotonic() + seconds
    while not await holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so after {seconds:.0f} s: {what}")
        await asyncio.sleep(0.1)


class Cluster:
    """A control plane that runs in a folder."""

    def __init__(self, folder: Path) -> None:
        """Use `folder` for its data and logs."""
        self.folder = folder

    async def program(self, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        """Run one of the programs on this cluster, with `environment` added to ours.

        Raises:
            RuntimeError: it failed.
        """
        command = [str(programs() / name), str(self.folder), *arguments]
        # What it starts in the background would keep a pipe open for ever: its words go to a file.
        with (self.folder / f"{name}.out").open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **(environment or {})}
            )
            async with asyncio.timeout(PROGRAM_SECONDS):
                code = await process.wait()
        if code:
            raise RuntimeError(f"{' '.join(command)} exited with {code}: {(self.folder / f'{name}.out').read_text()[-2000:]}")


@contextlib.asynccontextmanager
async def cluster() -> AsyncIterator[tuple[Cluster, Kube]]:
    """Start a control plane with fake nodes and one namespace; it is gone when the context ends."""
    running = Cluster(Path(tempfile.mkdtemp(prefix="tpt-fleet-")))
    say(f"starting a control plane in {running.folder}")
    try:
        await running.program("up", environment=ROOMY)
        await running.program("kwok", str(NODES))
        async with Kube(running.folder / "kubeconfig") as kube:
            await kube.post("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
            accounts = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
            await until(lambda: _has_items(kube, accounts), "the namespace has its account")
            yield running, kube
    finally:
        await running.program("down", "--delete")


async def _has_items(kube: Kube, path: str) -> bool:
    return bool((await kube.get(path))["items"])


async def crowd(kube: Kube, count: int, seconds: float) -> None:
    """Put `count` Jobs and as many pods of somebody else into the cluster."""
    for name in CROWDED:
        await kube.post("/api/v1/namespaces", {"metadata": {"name": name}})
        accounts = f"/api/v1/namespaces/{name}/serviceaccounts"
        await until(partial(_has_items, kube, accounts), "the namespace has its account")
    begun = time.monotonic()
    async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
        for first in range(24):
            group.create_task(_foreigners(kube, range(first, count, 24)))
    say(f"{count} Jobs and {count} pods of others made in {time.monotonic() - begun:.0f} s")


async def _foreigners(kube: Kube, numbers: range) -> None:
    for number in numbers:
        await kube.post(f"/apis/batch/v1/namespaces/{CROWDED[0]}/jobs", _foreign_job(number))
        await kube.post(f"/api/v1/namespaces/{CROWDED[1]}/pods", _foreign_pod(number))


def _template() -> Json:
    containers = [{"name": "main", "image": "other:1", "args": ["x" * 500]}]
    return {"restartPolicy": "Never", "schedulerName": "nobody", "containers": containers}


def _foreign_job(number: int) -> Json:
    """Return a Job that the Job controller leaves alone: with as many to look through it would be hours late for all others."""
    metadata = {"name": f"other-{number}", "labels": {"app.kubernetes.io/managed-by": "somebody-else"}}
    return {"metadata": metadata, "spec": {"managedBy": "example.com/somebody-else", "template": {"spec": _template()}}}


def _foreign_pod(number: int) -> Json:
    """Return a pod that no scheduler looks at."""
    return {
        "metadata": {"name": f"other-{number}", "labels": {"app.kubernetes.io/managed-by": "somebody-else"}},
        "spec": _template(),
    }
