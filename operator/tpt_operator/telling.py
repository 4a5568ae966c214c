"""Tells people what happened, as Events of the run. Nothing reads them again, and a run never waits for one.

The same thing said twice under the same spec is one Event: its name is made from what it says.
"""

import hashlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tpt_operator.api import EVENTS, Api, ApiError, Conflict
from tpt_operator.cache import RunView
from tpt_runtime.core.actions import Event
from tpt_runtime.core.spec import API_VERSION, KIND

LOGGER = logging.getLogger(__name__)
COMPONENT = "tpt-operator"


def manifest(view: RunView, event: Event, now: datetime) -> dict[str, Any]:
    """Return the Event that says `event` of a run."""
    metadata = view.raw["metadata"]
    said = f"{view.uid}/{metadata.get('generation')}/{event.reason}/{event.message}"
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{view.name}.{hashlib.sha256(said.encode()).hexdigest()[:16]}",
            "namespace": view.key.namespace,
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": view.name,
            "namespace": view.key.namespace,
            "uid": view.uid,
            "resourceVersion": metadata["resourceVersion"],
        },
        "reason": event.reason.value,
        "message": event.message,
        "type": "Warning" if event.warning else "Normal",
        "source": {"component": COMPONENT},
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }


class Teller:
    """Says things once."""

    def __init__(self, api: Api, now: Callable[[], datetime]) -> None:
        """Say them through `api`."""
        self._api, self._now = api, now

    async def tell(self, view: RunView, event: Event) -> None:
        """Say `event` of a run, unless it was said already."""
        level = logging.WARNING if event.warning else logging.INFO
        LOGGER.log(level, "%s/%s: %s: %s", *view.key, event.reason, event.message)
        try:
            await self._api.create(EVENTS, manifest(view, event, self._now()))
        except Conflict:
            return
        except ApiError as error:
            LOGGER.warning("%s/%s: this Event was not written: %s", *view.key, error)
