"""The whole operator in one event loop: its Lease, the controller, Kopf's watches, health and metrics, which end together."""

import asyncio
import threading
import time
from functools import partial

import kopf

from tpt_operator import handlers
from tpt_operator.api import Api
from tpt_operator.controller import Controller
from tpt_operator.health import serving
from tpt_operator.lease import while_leading
from tpt_operator.metrics import Measures
from tpt_operator.settings import Settings


async def operate(api: Api, settings: Settings, stop: threading.Event | None = None) -> None:
    """Run until `stop` is set, a signal comes, or any part fails.

    Raises:
        LeaseLost: another operator may be active by now.
        BaseExceptionGroup: the controller or the watches failed; the process is to be started anew.
    """
    measures = Measures()
    controller = Controller(api, settings, measures)
    _measure(api, controller, measures)
    handlers.quieten()
    work = partial(_work, api, settings, controller, stop)
    async with serving(controller, measures, settings.port):
        if settings.lease is None:
            await work()
        else:
            await while_leading(api, settings.lease, work)


def _measure(api: Api, controller: Controller, measures: Measures) -> None:
    api.on_answer = measures.answered
    measures.tell_of(controller.cache.runs)
    measures.depth.set_function(lambda: len(controller.queue))
    measures.list_age.set_function(lambda: 0.0 if controller.listed is None else time.monotonic() - controller.listed)


async def _work(api: Api, settings: Settings, controller: Controller, stop: threading.Event | None) -> None:
    async with asyncio.TaskGroup() as group:
        working = group.create_task(controller.run())
        # At its end Kopf waits for every task that was not there at its start.
        await controller.primed.wait()
        await kopf.operator(
            registry=handlers.registry(controller, api),
            settings=handlers.watch_settings(settings),
            standalone=True,
            clusterwide=settings.namespace is None,
            namespaces=[settings.namespace] if settings.namespace else [],
            stop_flag=stop,
        )
        working.cancel()
