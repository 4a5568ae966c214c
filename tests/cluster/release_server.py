"""A server of releases that are small and not real, laid out as the real ones; it can break off, or know no ranges."""

import hashlib
import io
import re
import tarfile
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.cluster.binaries import ETCD, KUBERNETES

SERVER = f"/kubernetes/v{KUBERNETES}/kubernetes-server-linux-amd64.tar.gz"
STEM = f"etcd-v{ETCD}-linux-amd64"
SUMS = f"/etcd/v{ETCD}/SHA256SUMS"


def tarball(members: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def release() -> dict[str, bytes]:
    """Return all files of both releases by their path."""
    programs = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kubelet")
    server = tarball({f"kubernetes/server/bin/{name}": f"the {name}".encode() * 5000 for name in programs})
    etcd = tarball({f"{STEM}/etcd": b"the etcd", f"{STEM}/README.md": b"read me"})
    sums = f"{'0' * 64}  etcd-v{ETCD}-linux-s390x.tar.gz\n{hashlib.sha256(etcd).hexdigest()}  {STEM}.tar.gz\n"
    return {
        SERVER: server,
        f"{SERVER}.sha512": f"{hashlib.sha512(server).hexdigest()}\n".encode(),
        f"/etcd/v{ETCD}/{STEM}.tar.gz": etcd,
        SUMS: sums.encode(),
    }


@dataclass
class Releases:
    """What is served, and what was asked for."""

    files: dict[str, bytes] = field(default_factory=release)
    ranges: bool = True
    break_off: int | None = None
    """An answer of more bytes than these ends there."""
    requests: list[str] = field(default_factory=list)
    """PATH, or PATH@BEGIN of what was asked for from its middle."""
    url: str = ""

    def serve(self) -> ThreadingHTTPServer:
        """Serve on a free port of the loopback interface."""
        releases = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                """Be quiet."""

            def do_GET(self) -> None:
                releases.answer(self)

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        begin = int(asked[1]) if asked else 0
        self.requests.append(request.path + (f"@{begin}" if asked else ""))
        content = self.files.get(request.path)
        if content is None:
            request.send_error(404)
            return
        if self.ranges and begin >= len(content) > 0 and asked:
            request.send_error(416)
            return
        request.send_response(206 if asked and self.ranges else 200)
        left = content[begin:] if self.ranges else content
        request.send_header("Content-Length", str(len(left)))
        request.end_headers()
        request.wfile.write(left if self.break_off is None else left[: self.break_off])
