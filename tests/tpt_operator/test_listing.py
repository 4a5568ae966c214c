"""Lists that fail half-way: what is remembered stays as it was, and the next list is tried."""

import asyncio
import contextlib

import pytest
from kubernetes.aio import client

from tests.tpt_operator.runs import IMAGES, run
from tpt_operator.api import RUNS, Api, ApiError
from tpt_operator.controller import Controller
from tpt_operator.metrics import Measures
from tpt_operator.settings import Settings

LISTS = {
    "runs": "/apis/tpt.dev/v1alpha1/namespaces/team/selfimprovementruns",
    "jobs": "/apis/batch/v1/namespaces/team/jobs",
    "pods": "/api/v1/namespaces/team/pods",
}
EXPIRED = {"kind": "Status", "message": "the continue token is too old"}


def page(*items, more=""):
    return {"items": list(items), "metadata": {"resourceVersion": "100", "continue": more}}


def listed(name):
    made = run().full_wire()
    metadata = {"name": name, "namespace": "team", "uid": name, "resourceVersion": "9", "generation": 1}
    return {"apiVersion": made["apiVersion"], "kind": made["kind"], "metadata": metadata, "spec": made["spec"]}


@pytest.fixture
async def api(kmock):
    api = Api(client.Configuration(host=str(kmock.url).rstrip("/")), request_timeout=2.0)
    yield api
    await api.close()


@pytest.fixture
def controller(api):
    settings = Settings(images=IMAGES, namespace="team", resync_seconds=3600.0, first_retry_seconds=0.01)
    return Controller(api, settings, Measures())


async def test_a_list_that_breaks_off_changes_nothing_that_is_remembered(kmock, controller):
    for name in ("one", "two"):
        controller.seen(RUNS, listed(name))
    kmock[f"get {LISTS['runs']}?continue=more"] << 410 << EXPIRED
    kmock[f"get {LISTS['runs']}"] << page(listed("one"), more="more")
    with pytest.raises(ApiError, match="410"):
        await controller.list_all()
    assert {view.name for view in controller.cache.runs} == {"one", "two"}
    assert controller.listed is None


async def test_nothing_is_planned_before_every_list_has_succeeded(kmock, api, controller):
    kmock[f"get {LISTS['runs']}"] << page(listed("one"))
    kmock[f"get {LISTS['jobs']}"] << page()
    kmock[f"get {LISTS['pods']}"] << 500 << EXPIRED
    failed = asyncio.Semaphore(0)
    api.on_answer = lambda verb, status: failed.release() if status == 500 else None
    working = asyncio.ensure_future(controller.prime())
    for _ in range(3):
        await failed.acquire()
    assert not working.done()
    assert controller.listed is None
    assert {request.method.value for request in kmock} == {"GET"}
    working.cancel()
    await asyncio.wait([working])


@pytest.mark.parametrize(("answer", "expected"), [(page(), [["one"]]), (None, [])])
async def test_the_jobs_of_a_run_are_known_once_they_were_listed_after_it(kmock, controller, monkeypatch, answer, expected):
    told = []
    monkeypatch.setattr(controller._reconciler, "listed", lambda runs: told.append([view.name for view in runs]))
    kmock[f"get {LISTS['runs']}"] << page(listed("one"))
    if answer is None:
        kmock[f"get {LISTS['jobs']}"] << 500 << EXPIRED
    else:
        kmock[f"get {LISTS['jobs']}"] << answer
    kmock[f"get {LISTS['pods']}"] << page()
    with contextlib.nullcontext() if expected else pytest.raises(ApiError, match="500"):
        await controller.list_all()
    assert told == expected
