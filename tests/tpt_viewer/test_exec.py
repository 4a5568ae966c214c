"""What a program in a pod writes comes whole over the official client's websocket; the API server is a double of its exec."""

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from kubernetes import client

from tpt_runtime.artifacts.manifest import write_manifest
from tpt_runtime.core.errors import ConfigurationError, TptError
from tpt_viewer import reader
from tpt_viewer.claims import Claim
from tpt_viewer.cluster import Cluster

STARTED_SECONDS = 20.0


class ExecServer:
    """Runs what it is asked to run in a pod as a process here, and sends its output as a kubelet does."""

    def __init__(self) -> None:
        self.refuses = False
        self.breaks_off = False
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "ExecServer":
        self._thread.start()
        assert self._started.wait(STARTED_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STARTED_SECONDS)

    def _serve(self) -> None:
        async def start() -> web.AppRunner:
            app = web.Application()
            app.router.add_get("/api/v1/namespaces/team/pods/reader-1/exec", self._exec)
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            return runner

        runner = self._loop.run_until_complete(start())
        self._started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        if self.refuses:
            return web.json_response({"message": "pods/exec is forbidden"}, status=403)
        socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await socket.prepare(request)
        command = request.query.getall("command")
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command[1:], stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stderr is not None
        while data := await process.stdout.read(30_000):
            await socket.send_bytes(b"\1" + data)
            if self.breaks_off:
                process.kill()
                await process.wait()
                await socket.close()
                return socket
        await socket.send_bytes(b"\2" + await process.stderr.read())
        code = await process.wait()
        failed = {"status": "Failure", "message": f"command terminated with exit code {code}"}
        await socket.send_bytes(b"\3" + json.dumps(failed if code else {"status": "Success"}).encode())
        await socket.close()
        return socket


@pytest.fixture
def server() -> Iterator[ExecServer]:
    with ExecServer() as running:
        yield running


@pytest.fixture
def cluster(server: ExecServer) -> Iterator[Cluster]:
    configuration = client.Configuration(host=server.url)
    with client.ApiClient(configuration) as opened:
        yield Cluster(opened, "team", "the cluster")


def claim(cluster: Cluster, root: Path, cache: Path) -> Claim:
    def send(names: list[str], patterns: Any) -> Iterator[bytes]:
        return cluster.run_in("reader-1", reader.CONTAINER, reader.command(str(root), names, patterns))

    return Claim(cache, send)


def test_files_come_as_they_are(cluster: Cluster, tmp_path: Path) -> None:
    folder = tmp_path / "claim" / "round-001" / "train-1"
    (folder / "model").mkdir(parents=True)
    weights = bytes(range(256)) * 20_000
    (folder / "model" / "model.safetensors").write_bytes(weights)
    (folder / "model" / "empty").touch()
    write_manifest(folder, "1", summary={})
    home = claim(cluster, tmp_path / "claim", tmp_path / "cache")
    here = tmp_path / "cache" / "round-001" / "train-1"
    home.fetch(here, "model")
    assert (here / "model" / "model.safetensors").read_bytes() == weights
    assert (here / "model" / "empty").read_bytes() == b""
    assert sorted(path.name for path in (here / "model").iterdir()) == ["empty", "model.safetensors"]


def test_a_program_that_fails_is_told_with_its_last_words(cluster: Cluster) -> None:
    with pytest.raises(TptError, match="could not send the claim's files: no such volume"):
        list(cluster.run_in("reader-1", "reader", ["python", "-c", "import sys; sys.exit('no such volume')"]))


def test_a_connection_that_ends_before_the_program_is_told(server: ExecServer, cluster: Cluster) -> None:
    server.breaks_off = True
    with pytest.raises(TptError, match="could not send the claim's files: it was cut off"):
        list(cluster.run_in("reader-1", "reader", ["python", "-c", "print('x' * 100000)"]))


def test_who_may_not_run_programs_in_pods_is_told_what_to_ask_for(server: ExecServer, cluster: Cluster) -> None:
    server.refuses = True
    with pytest.raises(ConfigurationError, match="does not let you get and create pods/exec in namespace team"):
        list(cluster.run_in("reader-1", "reader", ["python", "-c", ""]))
