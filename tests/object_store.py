"""Object stores for tests: moto's server, and versitygw, a real one, where TPT_E2E_CLUSTER says where it is; a wire to either.

The wire passes requests on; a test may look at each of them, hold it, or answer in the store's place.
"""

import os
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

KEY, SECRET = "a-key", "a-secret-that-nobody-may-see"
READY_SECONDS = 20.0
STORES = ("moto", "versitygw")

Answer = tuple[int, bytes]


def refusal(status: int, code: str) -> Answer:
    """Return an answer as S3 words it, with what it may hold that is nobody's business."""
    return status, f"<Error><Code>{code}</Code><Message>no</Message><AWSAccessKeyId>{KEY}</AWSAccessKeyId></Error>".encode()


@dataclass(frozen=True)
class Request:
    """One request to the store."""

    method: str
    name: str
    """Key of the object, without its bucket; empty for a listing."""
    query: str


@dataclass
class Wire:
    """What stands between the steps and the store."""

    target: str
    seen: list[Request] = field(default_factory=list)
    rule: Callable[[Request], Answer | None] = lambda request: None
    """Called before a request is passed on; an answer is given in the store's place."""
    url: str = ""

    def puts(self) -> list[str]:
        """Return the keys of the objects that were put, in order."""
        return [request.name for request in self.seen if request.method == "PUT"]

    def gets(self) -> list[str]:
        return [request.name for request in self.seen if request.method == "GET" and request.name]

    def serve(self) -> ThreadingHTTPServer:
        wire = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Be quiet."""

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):  # whatever the method
                    return lambda: wire.pass_on(self)
                raise AttributeError(name)

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def pass_on(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        url = urlsplit(handler.path)
        request = Request(handler.command, url.path.lstrip("/").partition("/")[2], url.query)
        self.seen.append(request)
        answer = self.rule(request)
        if answer is not None:
            _reply(handler, answer[0], {"Content-Type": "application/xml"}, answer[1])
            return
        connection = HTTPConnection(urlsplit(self.target).netloc)
        connection.request(handler.command, handler.path, body, dict(handler.headers))
        response = connection.getresponse()
        content = response.read()
        headers = {
            k: v for k, v in response.getheaders() if k.lower() not in ("transfer-encoding", "connection", "date", "server")
        }
        _reply(handler, response.status, headers, content)
        connection.close()


def _reply(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], content: bytes) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        if name.lower() != "content-length" or handler.command == "HEAD":
            handler.send_header(name, value)
    if handler.command != "HEAD":
        handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(content)


@dataclass
class Bucket:
    """An empty bucket."""

    name: str
    url: str
    client: Any

    def environment(self, wire: Wire | None = None) -> dict[str, str]:
        """Return what a step finds in its environment."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": wire.url if wire else self.url,
        }

    def put(self, name: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=name, Body=data)

    def delete(self, name: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=name)

    def names(self, below: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=below)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def get(self, name: str) -> bytes:
        return bytes(self.client.get_object(Bucket=self.name, Key=name)["Body"].read())

    def files(self, below: str) -> dict[str, bytes]:
        """Return every object below a prefix."""
        return {name.removeprefix(below).lstrip("/"): self.get(name) for name in self.names(below)}


@contextmanager
def _moto() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@contextmanager
def _versitygw(folder: Path) -> Iterator[str]:
    assets = os.environ.get("TPT_E2E_CLUSTER")
    if not assets:
        pytest.skip("TPT_E2E_CLUSTER is not set: the tests on a real object store are left out")
    found = subprocess.run([f"{assets}/assets", "peers"], check=True, capture_output=True, text=True).stdout.strip()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    folder.mkdir()
    where = ["--port", f"127.0.0.1:{port}", "--access", KEY, "--secret", SECRET]
    command = [f"{found}/versitygw", *where, "--quiet", "posix", str(folder)]
    with (folder.parent / "versitygw.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise RuntimeError("the object store did not start")


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Return a function that starts a store, once, and returns its URL."""
    from contextlib import ExitStack

    started: dict[str, str] = {}
    with ExitStack() as stack:

        def start(kind: str) -> str:
            if kind not in started:
                made = _moto() if kind == "moto" else _versitygw(tmp_path_factory.mktemp("store") / "objects")
                started[kind] = stack.enter_context(made)
            return started[kind]

        yield start


def make_bucket(url: str) -> Bucket:
    import boto3

    client = boto3.client("s3", endpoint_url=url, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="us-east-1")
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    return Bucket(name, url, client)


@pytest.fixture(params=STORES)
def bucket(request: pytest.FixtureRequest, stores: Callable[[str], str]) -> Bucket:
    """An empty bucket in each store."""
    return make_bucket(stores(request.param))


@pytest.fixture
def wire(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """The wire to the bucket; this process's environment leads to it."""
    made = Wire(bucket.url)
    server = made.serve()
    for name, value in bucket.environment(made).items():
        monkeypatch.setenv(name, value)
    yield made
    server.shutdown()
    server.server_close()
