"""The whole operator in one event loop: the controller and Kopf's watches, which end together."""

import asyncio
import threading

import kopf

from tpt_operator import handlers
from tpt_operator.api import Api
from tpt_operator.controller import Controller
from tpt_operator.settings import Settings


async def operate(api: Api, settings: Settings, stop: threading.Event | None = None) -> None:
    """Run until `stop` is set, a signal comes, or either part fails.

    Raises:
        BaseExceptionGroup: the controller or the watches failed; the process is to be started anew.
    """
    controller = Controller(api, settings)
    handlers.quieten()
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
