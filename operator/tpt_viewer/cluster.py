"""The cluster as its user sees it, by the official client: KUBECONFIG, context and namespace as kubectl has them.

What the API server refuses, or that it does not answer, is said in words. Nothing here knows of artifacts.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tpt_runtime.core.crd import GROUP, PLURAL, VERSION
from tpt_runtime.core.errors import ConfigurationError, TptError
from tpt_viewer.access import Access

Json = dict[str, Any]

REQUEST_SECONDS = 30.0
READY_SECONDS = 180.0
"""How long a pod has to get ready."""
LAST_WORDS = 2000
"""Bytes of a failed program's standard error that are told."""
TEXT, BINARY, CLOSE = 1, 2, 8
"""Kinds of frames of a websocket (RFC 6455)."""
STDOUT: Final = 1
STDERR: Final = 2
WATCH_SECONDS = 20
"""How long one request of a watch lasts; after each the run is read anew, so that nothing is missed for longer."""


class Cluster:
    """One namespace of a cluster."""

    def __init__(self, client: Any, namespace: str, where: str) -> None:
        """Ask by `client`; `where` names the cluster in messages."""
        self.client, self.namespace, self.where = client, namespace, where

    def runs(self, *, everywhere: bool = False) -> list[Json]:
        """Return the runs of the namespace, or of all namespaces."""
        with self.asking(f"list {PLURAL}.{GROUP}"):
            if everywhere:
                found = self._custom.list_cluster_custom_object(GROUP, VERSION, PLURAL, _request_timeout=REQUEST_SECONDS)
            else:
                found = self._custom.list_namespaced_custom_object(
                    GROUP, VERSION, self.namespace, PLURAL, _request_timeout=REQUEST_SECONDS
                )
        items: list[Json] = found["items"]
        return items

    def run(self, name: str) -> Json:
        """Return a run as it is now.

        Raises:
            ConfigurationError: there is none of this name, or the user may not read it.
        """
        from kubernetes.client.exceptions import ApiException

        with self.asking(f"get {PLURAL}.{GROUP}"):
            try:
                found: Json = self._custom.get_namespaced_custom_object(
                    GROUP, VERSION, self.namespace, PLURAL, name, _request_timeout=REQUEST_SECONDS
                )
            except ApiException as error:
                if error.status != 404:
                    raise
                raise self._no_run(name) from error
        return found

    def watch(self, name: str) -> Iterator[Json]:
        """Yield a run as it is now, then after every change, and at least every `WATCH_SECONDS`.

        Raises:
            ConfigurationError: it is there no more, or the user may not watch it.
        """
        from kubernetes.client.exceptions import ApiException
        from kubernetes.watch import Watch

        while True:
            now = self.run(name)
            yield now
            options: Json = {
                "field_selector": f"metadata.name={name}",
                "resource_version": now["metadata"]["resourceVersion"],
                "timeout_seconds": WATCH_SECONDS,
                "_request_timeout": REQUEST_SECONDS + WATCH_SECONDS,
            }
            arguments = (self._custom.list_namespaced_custom_object, GROUP, VERSION, self.namespace, PLURAL)
            with self.asking(f"watch {PLURAL}.{GROUP}"):
                try:
                    for event in Watch().stream(*arguments, **options):
                        if event["type"] == "DELETED":
                            raise ConfigurationError(f"{name}: the run was deleted")
                        yield event["object"]
                except ApiException as error:
                    if error.status != 410:  # its version is too old to watch from: read it anew
                        raise

    def events(self, uid: str) -> list[Json]:
        """Return what was said of the run `uid`, the oldest first."""
        from kubernetes.client import CoreV1Api

        with self.asking("list events"):
            listed = CoreV1Api(self.client).list_namespaced_event(
                self.namespace,
                field_selector=f"involvedObject.uid={uid}",
                _request_timeout=REQUEST_SECONDS,
                _preload_content=False,
            )
            items: list[Json] = json.loads(listed.data)["items"]
        return sorted(items, key=lambda item: (item.get("lastTimestamp") or "", item["metadata"]["name"]))

    @contextmanager
    def pod(self, manifest: Json) -> Iterator[str]:
        """Make a pod, wait until it is ready, yield its name, and delete it.

        Raises:
            ConfigurationError: the user may not make pods here.
            TptError: it does not get ready in time.
        """
        from kubernetes.client import CoreV1Api

        core = CoreV1Api(self.client)
        with self.asking("create pods"):
            made = core.create_namespaced_pod(self.namespace, manifest, _request_timeout=REQUEST_SECONDS)
        name: str = made.metadata.name
        try:
            self._wait_for(core, name)
            yield name
        finally:
            with self.asking("delete pods"):
                core.delete_namespaced_pod(name, self.namespace, grace_period_seconds=0, _request_timeout=REQUEST_SECONDS)

    def _wait_for(self, core: Any, name: str) -> None:
        from kubernetes.watch import Watch

        why = "no word of it"
        options = {"field_selector": f"metadata.name={name}", "timeout_seconds": int(READY_SECONDS)}
        with self.asking("watch pods"):
            for event in Watch().stream(core.list_namespaced_pod, self.namespace, **options):
                status = event["raw_object"].get("status") or {}
                conditions = {item["type"]: item for item in status.get("conditions") or ()}
                if conditions.get("Ready", {}).get("status") == "True":
                    return
                why = _blocked(status, conditions) or why
                if status.get("phase") in ("Failed", "Succeeded"):
                    break
        raise TptError(f"the pod {name}, which was to read the claim, is not ready after {READY_SECONDS:.0f} s: {why}")

    def run_in(self, pod: str, container: str, command: list[str]) -> Iterator[bytes]:
        """Run a program in a pod and yield what it writes to its standard output, piece by piece.

        Raises:
            TptError: it failed, with its last words.
        """
        from kubernetes.client import CoreV1Api
        from kubernetes.stream import stream
        from websocket import WebSocketException

        said, ended = b"", b""
        try:
            with self.asking("get and create pods/exec"):
                socket = stream(
                    CoreV1Api(self.client).connect_get_namespaced_pod_exec,
                    pod,
                    self.namespace,
                    container=container,
                    command=command,
                    stdout=True,
                    stderr=True,
                    _preload_content=False,
                    binary=True,
                )
            try:
                for channel, data in _frames(socket.sock):
                    if channel == STDOUT:
                        yield data
                    elif channel == STDERR:
                        said = (said + data)[-LAST_WORDS:]
                    else:
                        ended += data
            finally:
                socket.sock.shutdown()  # the client's own close leaves the socket open where the other side has closed first
        except WebSocketException as error:
            raise TptError(f"{self.where}: the connection to the pod {pod} broke off ({error}); try again") from error
        status = json.loads(ended) if ended else {"message": "it was cut off"}
        if status.get("status") != "Success":
            words = said.decode(errors="replace").strip() or status.get("message", "")
            raise TptError(f"the pod {pod} could not send the claim's files: {words}")

    @contextmanager
    def asking(self, what: str) -> Iterator[None]:
        """Turn what the client raises into words; `what` is a verb and what it is done to."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ApiException as error:
            raise self._refused(what, error) from error
        except (HTTPError, OSError) as error:
            cause = getattr(error, "reason", None) or error
            raise TptError(f"{self.where} does not answer ({cause}); `kubectl cluster-info` asks the same address") from error

    @property
    def _custom(self) -> Any:
        from kubernetes.client import CustomObjectsApi

        return CustomObjectsApi(self.client)

    def _no_run(self, name: str) -> ConfigurationError:
        others = ", ".join(item["metadata"]["name"] for item in self.runs()[:10])
        hint = f"there are: {others}" if others else "there is none in it; -n names another namespace"
        return ConfigurationError(f"{name}: no such run in namespace {self.namespace} of {self.where}; {hint}")

    def _refused(self, what: str, error: Any) -> TptError:
        status, said = _answer(error)
        if status == 401:
            return ConfigurationError(f"{self.where} does not know you ({said}); renew the credentials of your kubeconfig")
        if status == 403:
            verb, _, kind = what.partition(" ")
            return ConfigurationError(
                f"{self.where} does not let you {what} in namespace {self.namespace} ({said}); "
                f"ask whoever runs it for the verb {verb} on {kind}"
            )
        if status == 404:
            return ConfigurationError(
                f"{self.where} has no {PLURAL}.{GROUP} ({said}): the operator's CustomResourceDefinition is not installed there"
            )
        return TptError(f"{self.where}: {what}: HTTP {status}: {said}")


def _blocked(status: Json, conditions: Json) -> str | None:
    """Return why a pod does not start: the scheduler's words, or the kubelet's."""
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return str(scheduled.get("message") or scheduled.get("reason"))
    for container in status.get("containerStatuses") or ():
        state = container.get("state") or {}
        held = state.get("waiting") or state.get("terminated")
        if held:
            return ": ".join(filter(None, (held.get("reason"), held.get("message"))))
    return None


def _frames(socket: Any) -> Iterator[tuple[int, bytes]]:
    """Yield what comes over a websocket, as channel and data, until it is closed.

    One frame at a time, unlike the client's own reader, which holds in memory whatever has arrived: a model has many gigabytes.
    """
    while True:
        kind, frame = socket.recv_data_frame(True)
        if kind == CLOSE:
            return
        if kind in (TEXT, BINARY) and len(frame.data) > 1:
            yield frame.data[0], frame.data[1:]


def _answer(error: Any) -> tuple[int, str]:
    """Return the status and the words of the API server's answer; a refused websocket is told by another exception."""
    shaken = error.__context__
    status = getattr(shaken, "status_code", None) or error.status or 0
    body = getattr(shaken, "resp_body", None) or error.body
    try:
        return status, str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return status, " ".join(str(body or error.reason or "no words").split())[:200]


@contextmanager
def connect(access: Access) -> Iterator[Cluster]:
    """Open the cluster that the command line and KUBECONFIG name.

    Raises:
        ConfigurationError: there is no kubeconfig, or it has no such context.
    """
    try:
        from kubernetes import client, config
    except ModuleNotFoundError as error:
        raise ConfigurationError("the Kubernetes client is not installed: pip install 'tpt-operator[viewer]'") from error
    path = _kubeconfig(access)
    try:
        contexts, current = config.list_kube_config_contexts(path)
        configuration = client.Configuration()
        config.load_kube_config(path, context=access.context, client_configuration=configuration)
    except config.ConfigException as error:
        raise ConfigurationError(f"{path}: {error}; `kubectl config get-contexts` lists what there is") from error
    named = next((item for item in contexts if item["name"] == access.context), current)
    namespace = access.namespace or named["context"].get("namespace") or "default"
    with client.ApiClient(configuration) as opened:
        yield Cluster(opened, namespace, f"the cluster {configuration.host} (context {named['name']})")


def _kubeconfig(access: Access) -> str:
    """Return the path of the kubeconfig, or several as KUBECONFIG has them.

    Raises:
        ConfigurationError: none of them is there.
    """
    given = str(access.kubeconfig) if access.kubeconfig else os.environ.get("KUBECONFIG", "")
    path = given or str(Path.home() / ".kube" / "config")
    if any(Path(part).is_file() for part in path.split(os.pathsep)):
        return path
    found = f"{path} is not there" if given else f"KUBECONFIG is not set, and {path} is not there"
    raise ConfigurationError(
        f"no cluster to ask: {found}; name a kubeconfig by KUBECONFIG or --kubeconfig, or give a work folder of `tpt run`"
    )
