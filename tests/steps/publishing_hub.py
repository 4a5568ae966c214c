"""A double of the hub to which models are published: repositories are made, large files sent apart, commits appear whole.

It speaks the HTTP API as huggingface_hub 2.4 asks it, without Xet, which has a service of its own. The real hub was not tried.
"""

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote, urlparse

from tests.steps.hub_double import COMMIT, Hub, reply


@dataclass
class PublishingHub(Hub):
    """A hub with one head for all of its repositories."""

    head: str = COMMIT
    created: list[dict[str, Any]] = field(default_factory=list)
    """What was asked for when repositories were made."""
    commits: list[dict[str, Any]] = field(default_factory=list)
    """Header of every commit."""
    large: dict[str, bytes] = field(default_factory=dict)
    """Large files by their SHA-256."""
    refusing_commits: int | None = None
    """If set, commits are answered with this status."""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        path = unquote(urlparse(request.path).path)
        if self.token and not path.startswith("/large/") and request.headers.get("Authorization") != f"Bearer {self.token}":
            super().answer(request)
            return
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", path)
        batch = re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path)
        if not (found or batch or path in ("/api/repos/create", "/api/validate-yaml") or path.startswith("/large/")):
            super().answer(request)
            return
        self.requests.append(f"{request.command} {path}")
        body = _body(request)
        if path == "/api/repos/create":
            self._create(request, json.loads(body))
        elif path == "/api/validate-yaml":
            reply(request, 200, {"errors": [], "warnings": []})
        elif path.startswith("/large/"):
            self.large[path.removeprefix("/large/")] = body
            reply(request, 200, {})
        elif batch:
            self._batch(request, json.loads(body))
        elif found and found[2] == "preupload":
            modes = [
                {"path": file["path"], "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular"}
                for file in json.loads(body)["files"]
            ]
            reply(request, 200, {"files": [{**mode, "shouldIgnore": False} for mode in modes]})
        elif found:
            self._take(request, f"models/{found[1]}", [json.loads(line) for line in body.splitlines()])

    def _create(self, request: BaseHTTPRequestHandler, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        known = f"models/{name}" in self.repositories
        if not known:
            self.created.append(asked)
            self.repositories[f"models/{name}"] = {".gitattributes": b""}
        reply(request, 409 if known else 200, {"url": f"{self.url}/{name}", "id": name, "name": name})

    def _batch(self, request: BaseHTTPRequestHandler, asked: dict[str, Any]) -> None:
        objects = [
            item if item["oid"] in self.large else item | {"actions": {"upload": {"href": f"{self.url}/large/{item['oid']}"}}}
            for item in asked["objects"]
        ]
        reply(request, 200, {"transfer": "basic", "objects": objects}, {"Content-Type": "application/vnd.git-lfs+json"})

    def _take(self, request: BaseHTTPRequestHandler, repository: str, lines: list[dict[str, Any]]) -> None:
        header = lines[0]["value"]
        if self.refusing_commits:
            reply(request, self.refusing_commits, {"error": "Try later"})
            return
        if header.get("parentCommit") not in (None, self.head):
            reply(request, 412, {"error": "A commit has happened since. Please refresh and try again."})
            return
        files = dict(self.repositories[repository])
        for line in lines[1:]:
            value = line["value"]
            match line["key"]:
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.large[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        self.repositories[repository] = files
        self.commits.append(header)
        self.head = hashlib.sha1(f"{self.head}{len(self.commits)}".encode()).hexdigest()
        told = {"commitUrl": f"{self.url}/{repository.removeprefix('models/')}/commit/{self.head}", "commitOid": self.head}
        reply(request, 200, told)

    def _commit(self, revision: str | None) -> str:
        return self.head if revision in (None, "main") else str(revision)

    def _files(self, repository: str, commit: str) -> dict[str, bytes] | None:
        return self.repositories.get(repository) if commit == self.head else None


def _body(request: BaseHTTPRequestHandler) -> bytes:
    """Return what was sent, in chunks or at once."""
    if request.headers.get("Transfer-Encoding") != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    parts = []
    while size := int(request.rfile.readline(), 16):
        parts.append(request.rfile.read(size))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(parts)
