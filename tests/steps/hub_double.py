"""A double of the hub's HTTP API: enough of it for the client libraries to resolve a revision, list files and download them."""

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlparse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Repositories by `models/ORG/NAME` or `datasets/ORG/NAME`, each a folder of files: what is there now, at `COMMIT`."""

    repositories: dict[str, dict[str, bytes]]
    tags: dict[str, str] = field(default_factory=dict)
    """Names of other commits."""
    past: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    """Files by those commits and repository."""
    failing: int | None = None
    """If set, every request is answered with this status."""
    gated: set[str] = field(default_factory=set)
    token: str | None = None
    """If set, requests without it are refused."""
    requests: list[str] = field(default_factory=list)
    url: str = ""

    def start(self) -> ThreadingHTTPServer:
        """Serve on a free port of the loopback interface."""
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                """Be quiet."""

            def do_GET(self) -> None:
                hub.answer(self)

            def do_HEAD(self) -> None:
                hub.answer(self)

            def do_POST(self) -> None:
                hub.answer(self)

            def do_PUT(self) -> None:
                hub.answer(self)

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        path = unquote(urlparse(request.path).path)
        self.requests.append(f"{request.command} {path}")
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        if self.failing:
            reply(request, self.failing, {"error": "Try later"})
        elif self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            reply(
                request, 401, {"error": "Invalid credentials"}, {"X-Error-Message": "Invalid credentials in Authorization header"}
            )
        elif found := re.fullmatch(
            r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.+))?)?", path
        ):
            self._api(request, found.groups(), body)
        elif found := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            kind = "datasets" if found[1] else "models"
            self._file(request, f"{kind}/{found[2]}", found[3], found[4])
        else:
            reply(request, 404, {"error": "Not found"})

    def _api(self, request: BaseHTTPRequestHandler, parts: tuple[Any, ...], body: bytes) -> None:
        kind, name, what, revision, below = parts
        commit = self._commit(revision)
        files = self._files(f"{kind}/{name}", commit)
        if f"{kind}/{name}" not in self.repositories:
            reply(request, 404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        elif files is None:
            reply(request, 404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
        elif what == "tree" and below:
            reply(request, 404, {"error": f"{below} does not exist"}, {"X-Error-Code": "EntryNotFound"})
        elif what == "tree":
            reply(request, 200, [_entry(path, data) for path, data in files.items()])
        elif what == "paths-info":
            wanted = json.loads(body)["paths"]
            reply(request, 200, [_entry(path, files[path]) for path in wanted if path in files])
        else:
            siblings = [{"rfilename": path} for path in files]
            reply(request, 200, {"id": name, "sha": commit, "siblings": siblings, "private": False, "tags": [], "downloads": 0})

    def _commit(self, revision: str | None) -> str:
        """Return the commit that a revision is at; one that nobody knows is no repository's."""
        named = revision or "main"
        return COMMIT if named == "main" else self.tags.get(named, named)

    def _files(self, repository: str, commit: str) -> dict[str, bytes] | None:
        return self.repositories.get(repository) if commit == COMMIT else self.past.get(commit, {}).get(repository)

    def _file(self, request: BaseHTTPRequestHandler, repository: str, revision: str, path: str) -> None:
        commit = self._commit(revision)
        data = (self._files(repository, commit) or {}).get(path)
        if repository in self.gated:
            reply(request, 403, {"error": "gated"}, {"X-Error-Code": "GatedRepo"})
        elif data is None:
            reply(request, 404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        else:
            headers = {"ETag": f'"{_oid(data)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
            reply(request, 200, data, headers)


def _oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _entry(path: str, data: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": len(data), "oid": _oid(data)}


def reply(request: BaseHTTPRequestHandler, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
    """Answer a request: bytes as they are, anything else as JSON."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    request.send_response(status)
    for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(data)
