"""An API server in memory, as far as a reconcile asks it: versions that rise, conflicts, and a list of what was asked."""

import copy
import itertools
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tpt_operator.api import Api, Conflict, Json, NotFound


class Memory(Api):
    """Objects by their path."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.asked: list[str] = []
        """VERB KIND of each request, such as `PUT selfimprovementruns/status`, `POST jobs?dryRun`."""
        self._versions = itertools.count(1)

    def count(self) -> Counter[str]:
        """Return what was asked since the last count."""
        asked, self.asked = self.asked, []
        return Counter(asked)

    def put(self, path: str, item: Json) -> Json:
        """Store an object as its next version."""
        stored = copy.deepcopy(item)
        metadata = stored["metadata"]
        metadata.setdefault("uid", f"uid-of-{metadata['name']}")
        metadata.setdefault("creationTimestamp", "2026-01-01T00:00:59Z")
        metadata["resourceVersion"] = str(next(self._versions))
        self.objects[path] = stored
        return copy.deepcopy(stored)

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        kind: str = "application/json",
    ) -> Json:
        dry = bool((query or {}).get("dryRun"))
        parts = path.removeprefix("/").split("/")
        kinds = parts[parts.index("namespaces") + 2 :]
        what = "/".join([kinds[0], *kinds[2:]])
        self.asked.append(f"{method} {what}{'?dryRun' if dry else ''}")
        if dry:
            return body or {}
        place = path.removesuffix("/status")
        match method:
            case "GET" if len(kinds) == 1:
                fields = [field for field in (query or {}).get("fieldSelector", "").split(",") if field]
                there = [item for at, item in self.objects.items() if at.startswith(f"{path}/")]
                items = [item for item in there if all(_says(item, *field.split("=")) for field in fields)]
                return {"metadata": {"resourceVersion": "0"}, "items": copy.deepcopy(items)}
            case "GET":
                return copy.deepcopy(self._there(place))
            case "POST":
                return self._create(f"{path}/{(body or {})['metadata']['name']}", body or {})
            case "PUT":
                return self._replace(place, body or {})
            case "PATCH":
                return self.put(place, _laid_over(self.objects.get(place, {}), body or {}))
        raise AssertionError(f"{method} {path} is not expected")

    def _there(self, place: str) -> Json:
        if place not in self.objects:
            raise NotFound(place, 404, "there is none")
        return self.objects[place]

    def _create(self, place: str, body: Json) -> Json:
        if place in self.objects:
            raise Conflict(place, 409, "it is there")
        return self.put(place, body)

    def _replace(self, place: str, body: Json) -> Json:
        there = self._there(place)
        if there["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise Conflict(place, 409, "it has changed")
        return self.put(place, {**there, "status": body["status"]})


def _says(item: Json, field: str, value: str) -> bool:
    """Return whether a field, such as `involvedObject.kind`, has a value."""
    found: Any = item
    for name in field.split("."):
        found = found.get(name, {})
    return bool(found == value)


def _laid_over(item: Any, patch: Json) -> Json:
    result = dict(item) if isinstance(item, dict) else {}
    for name, value in patch.items():
        result[name] = _laid_over(result.get(name), value) if isinstance(value, dict) else value
    return result
