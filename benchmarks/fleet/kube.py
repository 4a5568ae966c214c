"""The benchmark's own way to the API server: connections are kept, and watches say when they heard something."""

import json
import ssl
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import yaml

Json = dict[str, Any]

LONGEST_LINE = 2**22
"""Bytes of one event of a watch."""


class Refused(Exception):
    """The API server did not do it."""

    def __init__(self, what: str, status: int, message: str) -> None:
        """Say what was asked, and what the answer was."""
        super().__init__(f"{what}: {status}: {message[:500]}")
        self.status = status


class Kube:
    """The API server, as the administrator of its kubeconfig sees it."""

    def __init__(self, kubeconfig: Path) -> None:
        """Read where it is; nothing is asked before the context is entered."""
        config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        self.cluster: Json = config["clusters"][0]["cluster"]
        self._url: str = self.cluster["server"]
        if not self._url.startswith("https://127.0.0.1:"):
            raise ValueError(f"the load is meant for a control plane on loopback only, not for {self._url}")
        self._ssl = ssl.create_default_context(cafile=self.cluster["certificate-authority"])
        self._headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Kube":
        """Open the connections."""
        connector = aiohttp.TCPConnector(ssl=self._ssl, limit=64)
        timeout = aiohttp.ClientTimeout(total=60)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=LONGEST_LINE)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close them."""
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str, **query: str) -> Json:
        """Return an object or a list."""
        return _read(await self._ask("GET", path, query))

    async def post(self, path: str, body: Json, *, exists: bool = False) -> Json:
        """Create an object; `exists`: it may be there already."""
        try:
            return _read(await self._ask("POST", path, {}, body))
        except Refused as refused:
            if refused.status == 409 and exists:
                return {}
            raise

    async def patch(self, path: str, body: Json) -> Json:
        """Lay a JSON merge patch over an object."""
        return _read(await self._ask("PATCH", path, {}, body, "application/merge-patch+json"))

    async def text(self, path: str) -> str:
        """Return a page."""
        return (await self._ask("GET", path, {})).decode()

    async def watch(self, path: str, **query: str) -> AsyncGenerator[tuple[float, Json], None]:
        """Yield events and when each was heard, for as long as somebody listens; what is there already is left out.

        Raises:
            Refused: the watch ended: whoever listens would miss something.
        """
        listed = await self.get(path, **query, limit="1")
        version = listed["metadata"]["resourceVersion"]
        more = {**query, "watch": "true", "resourceVersion": version, "timeoutSeconds": "7200"}
        async with self._opened().get(
            f"{self._url}{path}?{urlencode(more)}", headers=self._headers, timeout=aiohttp.ClientTimeout(total=None)
        ) as response:
            async for line in response.content:
                at = time.perf_counter()
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise Refused(f"watch {path}", event["object"].get("code", 0), event["object"].get("message", ""))
                yield at, event
        raise Refused(f"watch {path}", 0, "it has ended")

    async def _ask(
        self, method: str, path: str, query: dict[str, str], body: Json | None = None, kind: str = "application/json"
    ) -> bytes:
        url = f"{self._url}{path}{'?' if query else ''}{urlencode(query)}"
        data = None if body is None else json.dumps(body)
        headers = {**self._headers, "Content-Type": kind}
        async with self._opened().request(method, url, data=data, headers=headers) as response:
            answer = await response.read()
            if response.status >= 300:
                raise Refused(f"{method} {path}", response.status, answer.decode(errors="replace"))
            return answer

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("enter the context first")
        return self._session


def _read(answer: bytes) -> Json:
    data: Json = json.loads(answer)
    return data
