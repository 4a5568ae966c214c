"""A proxy between the operator and the API server that breaks what it is told to: answers, connections, watches.

It speaks plain HTTP to the operator and passes everything else on as it is, so what is tested is the operator's real client and
Kopf's real watches against a server that misbehaves on the wire.
"""

import contextlib
import http.client
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.cluster.control_plane import ControlPlane


@dataclass(frozen=True)
class Asked:
    """A request."""

    method: str
    path: str
    watch: bool
    dry: bool
    """Whether it only asks what the server thinks of something."""
    at: float = field(default_factory=time.monotonic, compare=False)

    @property
    def writes(self) -> bool:
        return self.method != "GET" and not self.dry


@dataclass(frozen=True)
class Answer:
    """Answered by the proxy itself; the API server does not hear of it."""

    status: int
    reason: str
    retry_after: int | None = None


@dataclass(frozen=True)
class Dropped:
    """The connection is reset instead of an answer."""

    carried_out: bool
    """Whether the API server has heard of it."""


@dataclass(frozen=True)
class Broken:
    """A watch that ends after some events."""

    events: int
    last: bytes | None
    """What is sent as the last line; None: half of the next event, and a reset."""


Fault = Answer | Dropped | Broken
Faults = Callable[[Asked], Fault | None]


def error_event(code: int, reason: str) -> bytes:
    """Return the event by which an API server ends a watch."""
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason}
    return json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"


class Proxy:
    """Passes requests on to `plane`, save for the faults."""

    def __init__(self, plane: ControlPlane, faults: Faults) -> None:
        self._upstream = urlsplit(plane.url).netloc
        self._context = ssl.create_default_context(cafile=str(plane.authority))
        self._faults, self._lock = faults, threading.Lock()
        self.asked: list[Asked] = []
        self.broken: list[tuple[Asked, Fault]] = []
        """What was disturbed, and how."""
        self.url = ""

    @contextlib.contextmanager
    def serving(self) -> Iterator["Proxy"]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Be quiet."""

            def handle_one_request(self) -> None:
                with contextlib.suppress(ConnectionError):  # the operator has gone
                    super().handle_one_request()
                    return
                self.close_connection = True

            def answer(self) -> None:
                proxy.answer(self)

        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            setattr(Handler, f"do_{method}", Handler.answer)
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads, server.block_on_close = True, False
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        where, query = urlsplit(request.path), parse_qs(urlsplit(request.path).query)
        asked = Asked(request.command, where.path, "watch" in query, "dryRun" in query)
        with self._lock:
            fault = self._faults(asked)
            self.asked.append(asked)
            if fault is not None:
                self.broken.append((asked, fault))
        if isinstance(fault, Answer):
            _refuse(request, fault)
        elif isinstance(fault, Dropped) and not fault.carried_out:
            _reset(request)
        else:
            self._pass_on(request, asked, body, fault)

    def _pass_on(self, request: BaseHTTPRequestHandler, asked: Asked, body: bytes, fault: Fault | None) -> None:
        upstream = http.client.HTTPSConnection(self._upstream, context=self._context, timeout=600)
        try:
            kept = {name: value for name, value in request.headers.items() if name.lower() not in ("host", "accept-encoding")}
            try:
                upstream.request(request.command, request.path, body=body or None, headers=kept)
                response = upstream.getresponse()
            except (OSError, http.client.HTTPException) as error:
                _send(request, 502, f"the API server: {error!r}".encode(), {"Content-Type": "text/plain"})
                return
            if isinstance(fault, Dropped):
                response.read()
                _reset(request)
            elif asked.watch and response.status == 200:
                _stream(request, response, fault if isinstance(fault, Broken) else None)
            else:
                _send(request, response.status, response.read(), {"Content-Type": response.getheader("Content-Type", "")})
        finally:
            upstream.close()


def _send(request: BaseHTTPRequestHandler, status: int, content: bytes, headers: dict[str, str]) -> None:
    request.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(content))}.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(content)


def _refuse(request: BaseHTTPRequestHandler, answer: Answer) -> None:
    headers = {"Content-Type": "application/json"}
    if answer.retry_after is not None:
        headers["Retry-After"] = str(answer.retry_after)
    said = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": answer.status}
    content = json.dumps(said | {"reason": answer.reason, "message": f"injected: {answer.reason}"})
    _send(request, answer.status, content.encode(), headers)


def _reset(request: BaseHTTPRequestHandler) -> None:
    """Have the other side see a connection that was reset."""
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.close_connection = True


def _stream(request: BaseHTTPRequestHandler, response: http.client.HTTPResponse, fault: Broken | None) -> None:
    request.send_response(response.status)
    request.send_header("Content-Type", response.getheader("Content-Type", ""))
    request.send_header("Transfer-Encoding", "chunked")
    request.send_header("Connection", "close")
    request.end_headers()
    sent = 0
    while line := response.readline():
        if fault is not None and sent == fault.events:
            _chunk(request, fault.last or line[: len(line) // 2])
            if fault.last is None:
                _reset(request)
                return
            break
        _chunk(request, line)
        sent += 1
    _chunk(request, b"")
    request.close_connection = True


def _chunk(request: BaseHTTPRequestHandler, data: bytes) -> None:
    request.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
