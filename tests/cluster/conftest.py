"""A control plane for the session, and for each test a namespace, an operator under its own account, and runs."""

import asyncio
import contextlib
import copy
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.aio import client

from tests.cluster import binaries
from tests.cluster.control_plane import ControlPlane, control_plane
from tests.cluster.kube import EVENTS, JOBS, PODS, RUNS, Json, Kube, Refused
from tests.cluster.kubelet import DONE, Kubelet, Script, index
from tests.cluster.kueue import script
from tests.core.corpus import BASE, patched
from tpt_operator.api import Api
from tpt_operator.running import operate
from tpt_operator.settings import Images, Settings
from tpt_runtime.core.crd import crd

ROOT = Path(__file__).parents[2]
RULES = yaml.safe_load((ROOT / "charts/tpt-operator/files/rbac-rules.yaml").read_text(encoding="utf-8"))
DEADLINE = 45.0
SETTINGS = Settings(images=Images("sampler:1", "pruner:1", "trainer:1"), resync_seconds=3600.0)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Function) -> None:
    """Leave out what lacks its programs, but not in CI; here and not in a fixture, so that one line tells of all tests."""
    why = binaries.find(os.environ)[1] if {"plane", "queued_plane"} & set(item.fixturenames) else ""
    if not why and "queued_plane" in item.fixturenames and script() is None:
        why = "no real Kueue to test with: TPT_E2E_CLUSTER names no folder with the program `kueue`"
    if why:
        (pytest.fail if binaries.in_ci(os.environ) else pytest.skip)(why)


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(binaries.find(os.environ)[0], tmp_path_factory.mktemp("plane")) as running:
        define(running.kube())
        yield running


def define(kube: Kube) -> None:
    """Have the API server know runs."""
    kube.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd())
    until(lambda: _served(kube))


def _served(kube: Kube) -> bool:
    try:
        kube.get("/apis/tpt.dev/v1alpha1/selfimprovementruns")
    except Refused:
        return False
    return True


def until(holds: Callable[[], Any], seconds: float = DEADLINE) -> Any:
    """Wait until `holds` is true, for what no watch tells."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := holds():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not true after {seconds:.0f} s: {holds}")


class Cluster:
    """One namespace, with what a test does in it."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane, self.namespace, self.kube = plane, namespace, plane.kube()
        self._stack = contextlib.ExitStack()

    def close(self) -> None:
        self._stack.close()

    def create(self, name: str = "example", **spec: Any) -> Json:
        """Create a run; `spec` is laid over the smallest one."""
        given = patched(copy.deepcopy(dict(BASE)), {"metadata": {"name": name}, "spec": spec})
        return self.kube.post(RUNS.format(self.namespace), given)

    def run(self, name: str = "example") -> Json:
        return self.kube.get(f"{RUNS.format(self.namespace)}/{name}")

    def change(self, name: str = "example", **spec: Any) -> Json:
        return self.kube.patch(f"{RUNS.format(self.namespace)}/{name}", {"spec": spec})

    def jobs(self) -> list[Json]:
        return self.kube.items(JOBS.format(self.namespace))

    def pod_of(self, step: str, shard: int = 0, number: int | None = None) -> Json:
        """Return the pod of one index of a step, of round `number` if that is given, once there is one."""
        selector = f"tpt.dev/step={step}" if number is None else f"tpt.dev/step={step},tpt.dev/round={number}"
        for event in self.kube.watch(PODS.format(self.namespace), DEADLINE, labelSelector=selector):
            if event["type"] != "DELETED" and index(event["object"]) == shard:
                found: Json = event["object"]
                return found
        raise AssertionError(f"no pod of {step}, index {shard}, after {DEADLINE:.0f} s")

    def write_pod(self, pod: Json, status: Json) -> None:
        """Lay `status` over that of a pod, as a kubelet or a scheduler would."""
        path = f"{PODS.format(self.namespace)}/{pod['metadata']['name']}/status"
        self.kube.patch(path, {"status": status})

    def said(self) -> list[str]:
        """Return the messages of all Events of runs."""
        fields = "involvedObject.kind=SelfImprovementRun"
        return [event["message"] for event in self.kube.items(EVENTS.format(self.namespace), fieldSelector=fields)]

    def kubelet(self, script: Script = lambda pod, before: DONE, *, placed: bool = False) -> Kubelet:
        """Have pods end as `script` says, where they are `placed` by a scheduler first; by default all goes well."""
        return self._stack.enter_context(Kubelet(self.kube, self.namespace, script, placed=placed))

    def operator(
        self, api: type[Api] = Api, plane: ControlPlane | None = None, *, restarts: bool = False, **settings: Any
    ) -> "Operator":
        """Start an operator for this namespace, which reaches the API server by `plane`."""
        chosen = replace(SETTINGS, namespace=self.namespace, **settings)
        made = Operator(plane or self.plane, account(self.kube, self.namespace), chosen, api, restarts=restarts)
        return self._stack.enter_context(made)

    def wait(self, holds: Callable[[Json], Any], what: str = "", seconds: float = DEADLINE) -> Json:
        """Wait, on a watch, until the run is as `holds` says."""
        last: Json = {}
        for event in self.kube.watch(RUNS.format(self.namespace), seconds):
            last = event["object"]
            if holds(last):
                return last
        raise AssertionError(f"the run is not {what or 'as expected'} after {seconds:.0f} s: {last.get('status')}")

    def wait_for(self, kind: str, status: str = "True", seconds: float = DEADLINE) -> Json:
        return self.wait(lambda run: condition(run, kind).get("status") == status, f"{kind}={status}", seconds)

    def wait_for_job(self, step: str, attempt: int = 1, seconds: float = DEADLINE) -> Json:
        selector = f"tpt.dev/step={step},tpt.dev/attempt={attempt}"
        for event in self.kube.watch(JOBS.format(self.namespace), seconds, labelSelector=selector):
            if event["type"] != "DELETED":
                found: Json = event["object"]
                return found
        raise AssertionError(f"no Job of {step}, attempt {attempt}, after {seconds:.0f} s")


def condition(run: Json, kind: str) -> Json:
    found = [item for item in run.get("status", {}).get("conditions", ()) if item["type"] == kind]
    return found[0] if found else {}


def record(run: Json, number: int, step: str) -> Json:
    """Return what the status remembers of a step."""
    rounds = {entry["round"]: entry for entry in run["status"]["rounds"]}
    return next(item for item in rounds[number]["steps"] if item["name"] == step)


def account(kube: Kube, namespace: str) -> str:
    """Return the token of the operator's account in `namespace`, which may do what the shipped rules say there."""
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "tpt-operator"}}
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    binding = {
        "kind": "RoleBinding",
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tpt-operator"},
        "subjects": [{"kind": "ServiceAccount", "name": "tpt-operator", "namespace": namespace}],
    }
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    for path, body in (
        (accounts, {"metadata": {"name": "tpt-operator"}}),
        (f"{rbac}/roles", {**role, "kind": "Role", "rules": RULES}),
        (f"{rbac}/rolebindings", {**role, **binding}),
    ):
        try:
            kube.post(path, body)
        except Refused as refused:
            if refused.status != 409:
                raise
    token: str = kube.post(f"{accounts}/tpt-operator/token", {"spec": {}})["status"]["token"]
    return token


class Operator:
    """The operator in a thread with an event loop of its own; one that `restarts` is started again when it has failed."""

    def __init__(
        self, plane: ControlPlane, token: str, settings: Settings, api: type[Api] = Api, *, restarts: bool = False
    ) -> None:
        self._plane, self._token, self._settings, self._api = plane, token, settings, api
        self._restarts, self._stopping = restarts, False
        self.restarted = 0
        self._stop: Callable[[], object] = lambda: None
        self._running = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Operator":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._thread.start()
        assert self._running.wait(DEADLINE), "the operator does not start"

    def stop(self) -> None:
        self._stopping = True
        with contextlib.suppress(RuntimeError):  # its event loop has ended by itself
            self._stop()
        self.join()
        if self._error is not None:
            raise self._error

    def join(self) -> None:
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "the operator does not end"

    def _run(self) -> None:
        while not self._stopping:
            try:
                asyncio.run(self._operate())
                return
            except BaseException as error:  # noqa: BLE001 - handed over to the test
                self._running.set()
                if not self._restarts:
                    self._error = error
                    return
                self.restarted += 1

    async def _operate(self) -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(stop.set)
        if self._stopping:
            return
        self._running.set()
        configuration = client.Configuration(host=self._plane.url, ssl_ca_cert=str(self._plane.authority))
        configuration.api_key = {"BearerToken": f"Bearer {self._token}"}
        api = self._api(configuration, self._settings.request_timeout_seconds)
        try:
            await operate(api, self._settings, stop)
        finally:
            await api.close()
            await asyncio.sleep(0.25)  # aiohttp closes what is encrypted a moment after its session


def essence(run: Json) -> Json:
    """Return what a run has come to, without what may differ from one to the next: times, names, versions."""
    status = run["status"]
    rounds = [{**entry, "steps": [_counts(step) for step in entry["steps"]]} for entry in status["rounds"]]
    told = {name: status.get(name) for name in ("phase", "round", "bestRound", "bestMetric", "resolved")}
    states = [(item["type"], item["status"], item["reason"], item["message"]) for item in status["conditions"]]
    return told | {"rounds": rounds, "conditions": states}


def _counts(step: Json) -> Json:
    return {name: step.get(name, 0) for name in ("name", "attempts", "failures", "disruptions", "missingSummaries")}


@pytest.fixture(scope="module")
def calm(plane: ControlPlane) -> Json:
    """Return what a run of one round with two shards and two nodes comes to when nothing goes wrong."""
    with namespace_of(plane) as cluster:
        cluster.operator()
        cluster.kubelet()
        cluster.create(maxRounds=1, sampling={"shards": 2}, training={"nodes": 2})
        return essence(cluster.wait_for("Complete"))


@pytest.fixture
def cluster(plane: ControlPlane) -> Iterator[Cluster]:
    with namespace_of(plane) as made:
        yield made


@pytest.fixture
def processes(cluster: Cluster, tmp_path: Path) -> Iterator[Any]:
    from tests.cluster.processes import Processes

    made = Processes(cluster, tmp_path)
    yield made
    made.close()


@contextlib.contextmanager
def namespace_of(plane: ControlPlane) -> Iterator[Cluster]:
    """Make a namespace on a control plane for as long as the context lasts."""
    kube = plane.kube()
    made = kube.post("/api/v1/namespaces", {"metadata": {"generateName": "test-"}})
    namespace: str = made["metadata"]["name"]
    until(lambda: kube.items(f"/api/v1/namespaces/{namespace}/serviceaccounts"))
    cluster = Cluster(plane, namespace)
    try:
        yield cluster
    finally:
        cluster.close()
        kube.delete(f"/api/v1/namespaces/{namespace}")
