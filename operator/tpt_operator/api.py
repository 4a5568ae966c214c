"""The one module that talks to the API server, Kopf's watches apart: plain JSON through the official client, with time-outs.

It decides nothing and keeps nothing. What the server answers is told apart only as far as somebody acts on it.
"""

import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from tpt_runtime.core.crd import GROUP, PLURAL, VERSION

Json = dict[str, Any]

PAGE: Final = 100
"""Objects of one page of a list: a Job takes ten times the memory of its text, until only its projection is left."""
MERGE: Final = "application/merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"
FIELD_MANAGER: Final = "tpt-operator"


class ApiError(Exception):
    """The API server refused, or could not be reached (status 0); trying again may help."""

    def __init__(self, what: str, status: int, message: str, retry_after: float | None = None) -> None:
        """Say what was asked, and what the answer was."""
        super().__init__(f"{what}: {status or 'no answer'}: {message}")
        self.what, self.status, self.message, self.retry_after = what, status, message, retry_after


class Forbidden(ApiError):
    """403: by a quota, an admission policy or missing permissions; trying again helps once somebody has changed that."""


class NotFound(ApiError):
    """404: there is no such object (any more)."""


class Conflict(ApiError):
    """409: the object is there already, or has changed since it was read."""


class Invalid(ApiError):
    """400 or 422: the object cannot be read, or breaks its schema; trying again cannot help."""


_ERRORS: Final[Mapping[int, type[ApiError]]] = {400: Invalid, 403: Forbidden, 404: NotFound, 409: Conflict, 422: Invalid}


class Kind(NamedTuple):
    """A kind of object, as its URLs have it."""

    prefix: str
    plural: str


RUNS: Final = Kind(f"/apis/{GROUP}/{VERSION}", PLURAL)
JOBS: Final = Kind("/apis/batch/v1", "jobs")
PODS: Final = Kind("/api/v1", "pods")
EVENTS: Final = Kind("/api/v1", "events")
SERVICES: Final = Kind("/api/v1", "services")
LEASES: Final = Kind("/apis/coordination.k8s.io/v1", "leases")
POLICIES: Final = Kind("/apis/networking.k8s.io/v1", "networkpolicies")


async def connect(request_timeout: float) -> "Api":
    """Return the API as the pod's service account; outside a cluster as KUBECONFIG says.

    Raises:
        kubernetes.aio.config.ConfigException: neither is there.
    """
    configuration = client.Configuration()
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        config.load_incluster_config(client_configuration=configuration)
    else:
        await config.load_kube_config(client_configuration=configuration)
    return Api(configuration, request_timeout)


class Api:
    """The API server."""

    def __init__(self, configuration: client.Configuration, request_timeout: float) -> None:
        """Talk as `configuration` says; no request takes longer than `request_timeout` seconds."""
        self.configuration = configuration
        # Else every request asks a thread for proxies, and another one for ~/.netrc; Kopf's watches ask neither.
        configuration.client_session_kwargs = {"trust_env": False}
        self._client = client.ApiClient(configuration)
        self.on_answer: Callable[[str, int], None] | None = None
        """Told of every request: its verb, and the status (0: no answer)."""
        self._timeout = aiohttp.ClientTimeout(total=request_timeout)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def get(self, kind: Kind, namespace: str, name: str) -> Json:
        """Return one object as it is now."""
        return await self._ask("GET", _path(kind, namespace, name))

    async def list(self, kind: Kind, namespace: str | None, selector: str = "", fields: str = "") -> AsyncIterator[Json]:
        """Yield a list page by page; every page has `items` and the `metadata.resourceVersion` that it was made at."""
        query = {"limit": str(PAGE), "labelSelector": selector, "fieldSelector": fields}
        while True:
            page = await self._ask("GET", _path(kind, namespace), query)
            yield page
            more = page["metadata"].get("continue")
            if not more:
                return
            query["continue"] = more

    async def create(self, kind: Kind, manifest: Json, *, dry_run: bool = False) -> Json:
        """Create an object; `dry_run` has the server only say what it thinks of it, of unknown fields too."""
        query = {"fieldManager": FIELD_MANAGER} | ({"dryRun": "All", "fieldValidation": "Strict"} if dry_run else {})
        return await self._ask("POST", _path(kind, manifest["metadata"]["namespace"]), query, manifest)

    async def apply(self, kind: Kind, manifest: Json) -> Json:
        """Make an object be as `manifest` says, whether it exists or not."""
        metadata = manifest["metadata"]
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._ask("PATCH", _path(kind, metadata["namespace"], metadata["name"]), query, manifest, APPLY)

    async def patch(self, kind: Kind, namespace: str, name: str, patch: Json) -> Json:
        """Lay a JSON merge patch over an object."""
        query = {"fieldManager": FIELD_MANAGER}
        return await self._ask("PATCH", _path(kind, namespace, name), query, patch, MERGE)

    async def replace(self, kind: Kind, item: Json) -> Json:
        """Write an object; a `Conflict` if it has changed since `item` was read."""
        metadata = item["metadata"]
        path = _path(kind, metadata["namespace"], metadata["name"])
        return await self._ask("PUT", path, {"fieldManager": FIELD_MANAGER}, item)

    async def replace_status(self, run: Json) -> Json:
        """Write the status of a run; a `Conflict` if the run has changed since `run` was read."""
        metadata = run["metadata"]
        path = f"{_path(RUNS, metadata['namespace'], metadata['name'])}/status"
        return await self._ask("PUT", path, {"fieldManager": FIELD_MANAGER}, run)

    async def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Delete a Job, its pods first; another one of the same name is left alone (`Conflict`)."""
        options = {"propagationPolicy": "Foreground", "preconditions": {"uid": uid}}
        await self._ask("DELETE", _path(JOBS, namespace, name), {}, options)

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        kind: str = "application/json",
    ) -> Json:
        given = urlencode({name: value for name, value in (query or {}).items() if value})
        what = f"{method} {path}"
        headers = {"Accept": "application/json", "Content-Type": kind, "User-Agent": FIELD_MANAGER}
        answered = 0
        try:
            await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
            url = f"{self.configuration.host}{path}{'?' if given else ''}{given}"
            response = await self._client.call_api(method, url, headers, body, _request_timeout=self._timeout)
            answered = response.status
            text = await response.read()
        except ApiException as error:
            answered = error.status or 0
            raise _refused(what, answered, error.body, error.headers) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(what, 0, f"{type(error).__name__}: {error}") from error
        finally:
            if self.on_answer is not None:
                self.on_answer(method, answered)
        if not 200 <= answered < 300:
            raise _refused(what, answered, text, response.headers)
        try:
            data: Json = json.loads(text)
        except ValueError as error:  # from something in between, such as a page to log in at
            raise ApiError(what, answered, f"the answer is no JSON: {text[:100].decode(errors='replace')}") from error
        return data


def _refused(what: str, status: int, body: Any, headers: Mapping[str, str] | None) -> ApiError:
    try:
        message = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        message = (body.decode(errors="replace") if isinstance(body, bytes) else str(body))[:300]
    after = (headers or {}).get("Retry-After", "")
    seconds = float(after) if after.isdecimal() else None
    return _ERRORS.get(status, ApiError)(what, status, message, seconds)


def _path(kind: Kind, namespace: str | None, name: str | None = None) -> str:
    parts = [kind.prefix, *(["namespaces", quote(namespace)] if namespace else []), kind.plural, *([quote(name)] if name else [])]
    return "/".join(parts)
