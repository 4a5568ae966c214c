"""A real S3 server on this machine, which pods reach by the node's address: versitygw over a folder."""

import contextlib
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from tests.cluster.kube import Json

READY_SECONDS = 30.0
BUCKET = "runs"


@dataclass(frozen=True)
class ObjectStore:
    """A running server with one bucket."""

    endpoint: str
    access: str
    secret: str

    def manifest(self, name: str) -> Json:
        """Return the Secret that runs name."""
        keys = {
            "AWS_ACCESS_KEY_ID": self.access,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
        }
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": keys}

    def client(self) -> Any:
        keys = {"aws_access_key_id": self.access, "aws_secret_access_key": self.secret}
        return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1", **keys)

    def upload(self, folder: Path, prefix: str) -> int:
        """Copy every file below `folder` and return how many there are."""
        paths = [path for path in folder.rglob("*") if path.is_file()]
        client = self.client()
        for path in paths:
            client.upload_file(str(path), BUCKET, f"{prefix}/{path.relative_to(folder).as_posix()}")
        return len(paths)

    def read(self, key: str) -> str:
        text: str = self.client().get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
        return text


@contextlib.contextmanager
def object_store(program: str, address: str, folder: Path) -> Iterator[ObjectStore]:
    """Serve `folder` at `address` for as long as the context lasts."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "objects" / BUCKET).mkdir(parents=True)
    with socket.create_server((address, 0)) as held:
        port = held.getsockname()[1]
    store = ObjectStore(f"http://{address}:{port}", secrets.token_hex(8), secrets.token_hex(16))
    keys = ["--access", store.access, "--secret", store.secret]
    command = [program, "--port", f"{address}:{port}", *keys, "posix", str(folder / "objects")]
    with (folder / "versitygw.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        _wait(address, port, process, folder / "versitygw.log")
        yield store
    finally:
        process.kill()
        process.wait()


def _wait(address: str, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
            return
        time.sleep(0.1)
    raise AssertionError(f"the object store is not ready after {READY_SECONDS:.0f} s: {log.read_text()}")
