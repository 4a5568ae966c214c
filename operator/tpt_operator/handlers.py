"""Kopf's part: watches on runs and on the Jobs and pods that are ours, selected on the server. A handler only takes note.

There are event handlers only: they need no finalizer, write no annotation, and return nothing. When a watch fails for good, the
operator ends, to be started anew: nothing is worse than one that goes silent.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import kopf

from tpt_operator import labels
from tpt_operator.api import JOBS, PAGE, PODS, RUNS, Api, Kind
from tpt_operator.controller import Controller
from tpt_operator.settings import Settings
from tpt_runtime.core.crd import GROUP, PLURAL, VERSION

LOGIN_PAUSE = 5.0
"""Seconds: Kopf logs in anew as soon as it is refused, and a token that was taken back would have it do nothing else."""
LOGIN_AGAIN = timedelta(minutes=5)
"""A mounted token is replaced long before it expires; so often it is read again."""


class NoDiffs(kopf.DiffBaseStorage):
    """Kopf compares each object with what it was before, for handlers of changes: for none here, with a third of all CPU."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Return that nothing of an object counts."""
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        """Return that nothing was stored."""

    def store(self, **_: Any) -> None:
        """Store nothing."""


def watch_settings(settings: Settings) -> kopf.OperatorSettings:
    """Return how Kopf works here: nothing but watches, each with its time-outs."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.scanning.disabled = True  # our kinds and namespaces are known beforehand, and so no permission is needed
    chosen.peering.standalone = True
    chosen.persistence.diffbase_storage = NoDiffs()
    chosen.networking.request_timeout = settings.request_timeout_seconds
    chosen.networking.connect_timeout = settings.request_timeout_seconds
    chosen.watching.chunk_size = PAGE
    chosen.queueing.idle_timeout = 1.0  # each object that has changed has a task for so long
    chosen.watching.server_timeout = settings.watch_seconds
    chosen.watching.client_timeout = settings.watch_seconds + settings.request_timeout_seconds
    chosen.watching.label_selectors["batch", "v1", "jobs"] = labels.OURS
    chosen.watching.label_selectors["", "v1", "pods"] = labels.OURS
    return chosen


def registry(controller: Controller, api: Api, broken: "asyncio.Future[None]") -> kopf.OperatorRegistry:
    """Return the handlers: every event goes to `controller`.

    Where no login is possible any more Kopf goes silent and does not end: that is why `broken` is told of it.
    """
    handlers = kopf.OperatorRegistry()
    pace = Pace(LOGIN_PAUSE)

    @kopf.on.login(registry=handlers, errors=kopf.ErrorsMode.PERMANENT)  # else Kopf waits a minute, without watches
    async def login(**_: Any) -> kopf.AiohttpSession:
        await pace()
        try:
            return await session(api, controller.sign_of_life)
        except Exception as error:
            if not broken.done():
                broken.set_exception(error)
            raise

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers)
    async def on_run(event: kopf.RawEvent, **_: Any) -> None:
        _note(controller, RUNS, event)

    @kopf.on.event("batch", "v1", "jobs", registry=handlers)
    async def on_job(event: kopf.RawEvent, **_: Any) -> None:
        _note(controller, JOBS, event)

    @kopf.on.event("", "v1", "pods", registry=handlers)
    async def on_pod(event: kopf.RawEvent, **_: Any) -> None:
        _note(controller, PODS, event)

    @kopf.on.cleanup(registry=handlers)
    async def end_watches(**_: Any) -> None:
        """End the watches that Kopf leaves behind when another one has failed.

        Kopf cancels them together with what they wait by, and a watch that is just being asked for takes that for a pause: it
        goes on afterwards, and Kopf waits for its end for ever.
        """
        for task in asyncio.all_tasks():
            if task.get_name().startswith("watcher for "):
                task.cancel()

    return handlers


class Pace:
    """Waits until enough time has passed since it was last asked."""

    def __init__(self, seconds: float) -> None:
        """Let `seconds` pass in between; the first time is free."""
        self._seconds = seconds
        self._free_at = 0.0

    async def __call__(self) -> None:
        """Wait."""
        now = asyncio.get_running_loop().time()
        due = max(now, self._free_at)
        self._free_at = due + self._seconds
        await asyncio.sleep(due - now)


def _note(controller: Controller, kind: Kind, event: kopf.RawEvent) -> None:
    if event["type"] == "DELETED":
        controller.gone(kind, event["object"])
    else:
        controller.seen(kind, event["object"])


async def session(api: Api, opened: Callable[[str], None]) -> kopf.AiohttpSession:
    """Return how Kopf reaches the API server: as our own client does. `opened` is told the plural of every watch that begins.

    The server ends every watch after a while and Kopf begins the next one, so `opened` is told of a watch that works even when
    nothing happens.
    """
    info = await connection(api)
    trace = aiohttp.TraceConfig()

    async def answered(_session: Any, _context: Any, told: aiohttp.TraceRequestEndParams) -> None:
        if told.url.query.get("watch") == "true" and told.response.status == 200:
            opened(told.url.path.rpartition("/")[2])

    trace.on_request_end.append(answered)
    connector = aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context())
    made = aiohttp.ClientSession(connector=connector, headers=info.as_http_headers(), trace_configs=[trace])
    return kopf.AiohttpSession(server=info.server, aiohttp_session=made, expiration=datetime.now(UTC) + LOGIN_AGAIN)


async def connection(api: Api) -> kopf.ConnectionInfo:
    """Return the address and the credentials of our own client."""
    configuration = api.configuration
    told = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization") or ""
    token = told.rpartition(" ")[2]  # before it stands `Bearer`, or `bearer` where a pod's own account is read
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        scheme="Bearer" if token else None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )


def quieten() -> None:
    """Have Kopf say what is wrong, not every event that it has handed over."""
    for name in ("kopf", "kopf.objects"):
        logging.getLogger(name).setLevel(logging.WARNING)
