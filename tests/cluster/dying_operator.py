"""An operator of which one part dies once it works: `python dying_operator.py HOW FLAGS...`. Run by `test_endings.py`."""

import asyncio
import sys
import threading
from typing import Any

from tpt_operator import ending, handlers
from tpt_operator.__main__ import main
from tpt_operator.controller import Controller
from tpt_operator.reconcile import Reconciler


class Death(BaseException):
    """No ordinary error: nothing is made to survive it."""


async def _death(*_: object) -> None:
    raise Death("a worker has died")


async def _exit(*_: object) -> None:
    raise SystemExit(0)


async def _nothing(*_: object) -> None:
    """End at once, where no end is meant to be."""


async def _deaf(*_: object) -> None:
    """Die of nothing, and swallow every cancellation."""
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


async def _login(*_: object) -> None:
    raise PermissionError("no credentials")


def _note(*_: object) -> None:
    raise Death("a handler has died")


def _prepare(how: str) -> None:
    for owner, name, by in WAYS[how]:
        setattr(owner, name, by)


async def _hang_a_thread(*_: object) -> None:
    """Have a thread of the event loop's pool hang, which the loop waits for at its end."""
    asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)
    raise Death("a worker has died")


DEATH = (Reconciler, "reconcile", _death)
WAYS: dict[str, list[tuple[Any, str, Any]]] = {
    "a worker dies": [DEATH],
    "a worker exits": [(Reconciler, "reconcile", _exit)],
    "a worker just ends": [(Controller, "_work", _nothing)],
    "a worker dies and another part does not listen": [DEATH, (Controller, "_keep_listing", _deaf)],
    "a worker dies and a thread hangs": [(Controller, "_work", _hang_a_thread)],
    "a handler dies": [(handlers, "_note", _note)],
    "Kopf cannot log in": [(handlers, "connection", _login)],
}


if __name__ == "__main__":
    ending.PARTS_SECONDS = 2.0  # type: ignore[misc]
    defaults = ending.LastResort.__init__.__defaults__ or ()
    ending.LastResort.__init__.__defaults__ = (4.0, *defaults[1:])
    _prepare(sys.argv.pop(1))
    main()
