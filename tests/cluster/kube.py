"""The tests' own way to the API server: plain HTTP, so that what is tested is not tested with itself."""

import http.client
import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

Json = dict[str, Any]

RUNS = "/apis/tpt.dev/v1alpha1/namespaces/{}/selfimprovementruns"
JOBS = "/apis/batch/v1/namespaces/{}/jobs"
PODS = "/api/v1/namespaces/{}/pods"
EVENTS = "/api/v1/namespaces/{}/events"
SECRETS = "/api/v1/namespaces/{}/secrets"


class Refused(Exception):
    """The API server did not do it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


class Kube:
    """A client with one token; a connection for each request. Behind `kubectl proxy` it needs neither token nor certificate."""

    def __init__(self, url: str, authority: Path | None = None, token: str = "") -> None:
        self._address = urlsplit(url).netloc
        self._authority, self._token = authority, token

    def get(self, path: str, **query: str) -> Json:
        return self._ask("GET", path, query)

    def post(self, path: str, body: Json, **query: str) -> Json:
        return self._ask("POST", path, query, body)

    def put(self, path: str, body: Json) -> Json:
        return self._ask("PUT", path, {}, body)

    def patch(self, path: str, body: Json | list[Json], kind: str = "merge-patch+json", **query: str) -> Json:
        return self._ask("PATCH", path, query, body, f"application/{kind}")

    def delete(self, path: str, **options: Any) -> Json:
        return self._ask("DELETE", path, {}, {"kind": "DeleteOptions", "apiVersion": "v1", **options})

    def items(self, path: str, **query: str) -> list[Json]:
        found: list[Json] = self.get(path, **query)["items"]
        return found

    def text(self, path: str) -> str:
        return self._raw("GET", path, {}, None, "application/json").decode()

    def watch(self, path: str, seconds: float, **query: str) -> Iterator[Json]:
        """Yield events, the objects that are there first, for at most `seconds`."""
        deadline = time.monotonic() + seconds
        listed = self.get(path, **query)
        yield from ({"type": "ADDED", "object": item} for item in listed["items"])
        more = {**query, "watch": "true", "resourceVersion": listed["metadata"]["resourceVersion"]}
        connection = self._connect(max(0.01, deadline - time.monotonic()))
        try:
            connection.request("GET", f"{path}?{urlencode(more)}", headers=self._headers())
            response = connection.getresponse()
            while time.monotonic() < deadline:
                connection.sock.settimeout(max(0.01, deadline - time.monotonic()))
                line = response.readline()
                if not line:
                    return
                yield json.loads(line)
        except TimeoutError:
            return
        finally:
            connection.close()

    def _ask(self, method: str, path: str, query: dict[str, str], body: Any = None, kind: str = "application/json") -> Json:
        data: Json = json.loads(self._raw(method, path, query, body, kind))
        return data

    def _raw(self, method: str, path: str, query: dict[str, str], body: Any, kind: str) -> bytes:
        connection = self._connect(30.0)
        try:
            data = None if body is None else json.dumps(body)
            where = f"{path}?{urlencode(query)}" if query else path
            connection.request(method, where, body=data, headers={**self._headers(), "Content-Type": kind})
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status >= 300:
            raise Refused(response.status, answer.decode(errors="replace"))
        return answer

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        if self._authority is None:
            return http.client.HTTPConnection(self._address, timeout=timeout)
        context = ssl.create_default_context(cafile=str(self._authority))
        return http.client.HTTPSConnection(self._address, context=context, timeout=timeout)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}
