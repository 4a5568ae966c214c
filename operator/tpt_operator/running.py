"""The whole operator in one event loop: its Lease, the controller, Kopf's watches, health and metrics, which end together."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from typing import Any, Final

import kopf

from tpt_operator import handlers
from tpt_operator.api import Api
from tpt_operator.controller import VIEWS, Controller
from tpt_operator.ending import until_any_ends
from tpt_operator.health import serving
from tpt_operator.lease import while_leading
from tpt_operator.metrics import Measures
from tpt_operator.settings import Settings

KOPF_SECONDS: Final = 5.0
"""So long may Kopf take to end what it has begun."""
Future = asyncio.Future[Any]


async def operate(
    api: Api, settings: Settings, stop: asyncio.Event | None = None, ending: Callable[[], None] = lambda: None
) -> None:
    """Run until `stop` is set, a signal comes, or any part ends; `ending` is called when that begins.

    Raises:
        LeaseLost: another operator may be active by now.
        Ended: a part has ended though nobody asked for it, or does not end.
        BaseException: a part failed; the process is to be started anew.
    """
    stop = stop or asyncio.Event()
    measures = Measures()
    controller = Controller(api, settings, measures)
    _measure(api, controller, measures)
    handlers.quieten()
    _heed_signals(stop)
    work = partial(_work, api, settings, controller, stop, ending)
    async with serving(controller, measures, settings.port):
        if settings.lease is None:
            await work()
        else:
            await while_leading(api, settings.lease, work, stop)


def _measure(api: Api, controller: Controller, measures: Measures) -> None:
    api.on_answer = measures.answered
    measures.tell_of(controller.cache.runs)
    measures.depth.set_function(lambda: len(controller.queue))
    for kind in VIEWS:
        measures.watch_age.labels(kind.plural).set_function(partial(controller.watch_age, kind.plural))
    measures.list_age.set_function(lambda: 0.0 if controller.listed is None else time.monotonic() - controller.listed)


async def _work(api: Api, settings: Settings, controller: Controller, stop: asyncio.Event, ending: Callable[[], None]) -> None:
    if not await _unless(stop, controller.prime()):
        return
    parts = {name: asyncio.create_task(part) for name, part in controller.parts().items()}
    parts["the watches"] = asyncio.create_task(_watch(api, settings, controller, stop))
    await until_any_ends(parts, stop, ending)


async def _unless(stop: asyncio.Event, what: Coroutine[Any, Any, None]) -> bool:
    """Do something; return whether it came to its end before `stop` was set."""
    doing, asked = asyncio.ensure_future(what), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([doing, asked], return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            return False
        await doing
        return True
    finally:
        for task in (doing, asked):
            task.cancel()


async def _watch(api: Api, settings: Settings, controller: Controller, stop: asyncio.Event) -> None:
    """Have Kopf watch. At its end it waits for the tasks that were not there at its start."""
    await asyncio.sleep(0)
    there = asyncio.all_tasks()
    broken = asyncio.get_running_loop().create_future()
    tasks = await kopf.spawn_tasks(
        registry=handlers.registry(controller, api, broken),
        settings=handlers.watch_settings(settings),
        standalone=True,
        clusterwide=settings.namespace is None,
        namespaces=[settings.namespace] if settings.namespace else [],
        stop_flag=stop,
    )
    _heed_signals(stop)  # Kopf has taken them
    await _until_one_ends([broken, *tasks], asyncio.ensure_future(kopf.run_tasks(tasks, ignored=there)), stop)


async def _until_one_ends(signs: Collection[Future], running: Future, stop: asyncio.Event) -> None:
    """Wait for Kopf's end, `running`, or for the first of the `signs` of one: its tasks, and that no login is possible.

    When one of its tasks fails Kopf ends the others, and may wait for ever: those that log in anew wait for one that has ended.
    """
    for future in (running, *signs):
        future.add_done_callback(_heard)
    try:
        done, _ = await asyncio.wait([running, *signs], return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            await running
        for future in done:
            if not future.cancelled():
                future.result()
    finally:
        running.cancel()
        await asyncio.wait([running], timeout=KOPF_SECONDS)


def _heard(future: Future) -> None:
    """Take note of how something ended: of several failures the first is told, and Kopf has logged all of them."""
    if not future.cancelled():
        future.exception()


def _heed_signals(stop: asyncio.Event) -> None:
    """Have the signals that ask a process to stop set `stop`."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
