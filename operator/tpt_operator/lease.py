"""One active operator, and others that wait: the official client's leader election on a Lease, wrapped.

In the client a connection error escapes without ending the leader's work, and work that has died goes on being renewed. Here the
errors count as renewals that failed, and the end of either, work or Lease, ends the other; the process is then started anew. Two
active operators for a moment do no harm, since a lost Lease is noticed late.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord

from tpt_operator.api import LEASES, Api, ApiError, Json
from tpt_operator.settings import Lease

LOGGER = logging.getLogger(__name__)


class LeaseLost(Exception):
    """The Lease could not be renewed: another operator may be active by now."""


async def while_leading(api: Api, lease: Lease, work: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    """Wait for the Lease, unless `stop` is set, then do `work` while it is held; one that is not needed any more is given back.

    Raises:
        LeaseLost: it was lost; the work was cancelled.
    """
    lock = _Lock(api, lease)
    leading = asyncio.Event()

    async def begin() -> None:
        leading.set()

    config = Config(lock, lease.duration_seconds, lease.renew_seconds, lease.retry_seconds, begin, None)
    LOGGER.info("%s waits for the Lease %s/%s", lease.identity, lease.namespace, lease.name)
    campaign = asyncio.ensure_future(LeaderElection(config).run())
    tasks: list[asyncio.Future[Any]] = [campaign, *(asyncio.ensure_future(event.wait()) for event in (leading, stop))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set() and not leading.is_set():
            return
        if not campaign.done():
            LOGGER.info("%s holds the Lease", lease.identity)
            working = asyncio.ensure_future(work())
            tasks.append(working)
            await asyncio.wait([campaign, working], return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                await working
                await _end(campaign)
                await lock.give_back()
                return
        await campaign
        raise LeaseLost(f"{lease.identity} has lost the Lease {lease.namespace}/{lease.name}")
    finally:
        for task in tasks:
            await _end(task)


async def _end(task: "asyncio.Future[Any]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait([task])


class _Lock:
    """A lock as the client's election wants it, over our own API: the client's own cannot create a Lease in its release 37.0.

    Errors of connection are answers here, and requests end well before the Lease does.
    """

    def __init__(self, api: Api, lease: Lease) -> None:
        self._api, self._limit = api, lease.retry_seconds
        self.name, self.namespace, self.identity = lease.name, lease.namespace, lease.identity
        self._seen: Json = {}

    async def get(self, name: str, namespace: str) -> tuple[bool, Any]:
        """Return the Lease's record, or an error as the election reads it."""
        try:
            async with asyncio.timeout(self._limit):
                self._seen = await self._api.get(LEASES, namespace, name)
        except (ApiError, TimeoutError) as error:
            failed = ApiException(status=getattr(error, "status", 0), reason=str(error))
            failed.body = json.dumps({"code": failed.status})
            return False, failed
        spec = self._seen.get("spec") or {}
        times = spec.get("acquireTime"), spec.get("renewTime")
        return True, LeaderElectionRecord(spec.get("holderIdentity") or None, spec.get("leaseDurationSeconds"), *times)

    async def create(self, name: str, namespace: str, election_record: LeaderElectionRecord) -> bool:
        """Make the Lease; return whether that went well."""
        made = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, "namespace": namespace}}
        return await self._try(self._api.create(LEASES, made | {"spec": _spec(election_record)}))

    async def update(self, _name: str, _namespace: str, updated_record: LeaderElectionRecord) -> bool:
        """Write the Lease that was read last, unless it has changed since; return whether that went well."""
        return await self._try(self._api.replace(LEASES, self._seen | {"spec": _spec(updated_record)}))

    async def give_back(self) -> None:
        """Have the Lease be nobody's, so that the next one need not wait for its end."""
        held, record = await self.get(self.name, self.namespace)
        if held and record.holder_identity == self.identity:
            await self._try(self._api.replace(LEASES, self._seen | {"spec": {**self._seen["spec"], "holderIdentity": ""}}))

    async def _try(self, request: Awaitable[Json]) -> bool:
        try:
            async with asyncio.timeout(self._limit):
                await request
        except (ApiError, TimeoutError) as error:
            LOGGER.warning("the Lease was not written: %s", error)
            return False
        return True


def _spec(record: LeaderElectionRecord) -> Json:
    return {
        "holderIdentity": record.holder_identity,
        "leaseDurationSeconds": int(record.lease_duration),
        "acquireTime": _time(record.acquire_time),
        "renewTime": _time(record.renew_time),
    }


def _time(text: str) -> str:
    """Return a time of the election, which is local and has no zone, or of a Lease, as a Lease has it."""
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
