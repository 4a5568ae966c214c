"""An operator that dies at each of its writes, and an API server that fails: the run ends as if nothing had been."""

import asyncio
import json
import random
import re
import threading
from dataclasses import replace
from functools import partial

import pytest

from tests.cluster.conftest import SETTINGS, Operator, account, condition, essence, until
from tests.cluster.kubelet import label
from tpt_operator.api import Api, ApiError, Conflict


def mortal(deaths, dead, *, carried_out):
    """Return an API at whose every new write its operator is as good as dead: from then on it learns no answer any more.

    The write itself is `carried_out` or never sent. `deaths` remembers those writes by what they say; `dead` is set then.
    """

    class Mortal(Api):
        async def _ask(self, method, path, query=None, body=None, kind="application/json"):
            if dead.is_set():
                await asyncio.Event().wait()
            new = method != "GET" and "dryRun" not in (query or {}) and said(method, path, body) not in deaths
            if new and not carried_out:
                await self._die(method, path, body)
            answer = await super()._ask(method, path, query, body, kind)
            if new:
                await self._die(method, path, body)
            return answer

        async def _die(self, method, path, body):
            deaths[said(method, path, body)] = f"{method} {path}"
            dead.set()
            await asyncio.Event().wait()

    return Mortal


def said(method, path, body):
    """Return what a write says, whenever it is written and on whatever it is laid."""
    text = json.dumps([method, path, body], sort_keys=True)
    return re.sub(r'\d{4}-\d\d-\d\dT[\d:.]+Z|"resourceVersion": "\d+"', "", text)


@pytest.mark.parametrize("carried_out", [False, True], ids=["before it is carried out", "after it is carried out"])
def test_an_operator_killed_at_every_write_of_a_run_loses_nothing_and_makes_nothing_twice(cluster, calm, carried_out):
    kubelet = cluster.kubelet()
    cluster.create(maxRounds=1, sampling={"shards": 2}, training={"nodes": 2})
    deaths: dict[str, str] = {}
    token = account(cluster.kube, cluster.namespace)
    settings = replace(SETTINGS, namespace=cluster.namespace)
    while condition(cluster.run(), "Complete").get("status") != "True":
        dead = threading.Event()
        with Operator(cluster.plane, token, settings, mortal(deaths, dead, carried_out=carried_out)):
            until(partial(_dead_or_done, cluster, dead))
        assert len(deaths) < 200, sorted(deaths.values())
    assert {name.split()[0] for name in deaths.values()} == {"POST", "PUT", "PATCH"}
    assert len(deaths) >= 20
    assert essence(cluster.run()) == calm
    assert len(kubelet.ended) == len(set(kubelet.ended)), "a step ran twice"
    jobs = [(label(job, "step"), label(job, "round")) for job in cluster.jobs()]
    assert len(jobs) == len(set(jobs)), "a Job has a twin"


def _dead_or_done(cluster, dead):
    return dead.wait(0.2) or condition(cluster.run(), "Complete").get("status") == "True"


def flaky(seed):
    """Return an API of which every third request fails, half of them after they were carried out."""
    chance = random.Random(seed)

    class Flaky(Api):
        async def _ask(self, method, path, query=None, body=None, kind="application/json"):
            what = f"{method} {path}"
            fate = chance.choice(["well", "well", "well", "well", "lost", "late"])
            if fate == "lost":
                raise chance.choice(
                    [ApiError(what, 429, "too many", 1.0), ApiError(what, 500, "boom"), ApiError(what, 0, "reset")]
                )
            answer = await super()._ask(method, path, query, body, kind)
            if fate == "late":
                raise chance.choice([ApiError(what, 0, "connection reset"), Conflict(what, 409, "it has changed")])
            return answer

    return Flaky


def test_an_api_server_of_which_a_third_of_the_requests_fail_delays_a_run_and_changes_nothing(cluster, calm):
    cluster.operator(api=flaky(7), longest_retry_seconds=0.5)
    kubelet = cluster.kubelet()
    cluster.create(maxRounds=1, sampling={"shards": 2}, training={"nodes": 2})
    assert essence(cluster.wait_for("Complete", seconds=120)) == calm
    assert len(kubelet.ended) == len(set(kubelet.ended)), "a step ran twice"
