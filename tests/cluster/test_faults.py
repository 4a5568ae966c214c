"""An operator that dies after each of its writes, and an API server that fails: the run ends as if nothing had been."""

import asyncio
import hashlib
import json
import random
import threading
from dataclasses import replace
from functools import partial

from tests.cluster.conftest import SETTINGS, Operator, account, condition, until
from tests.cluster.kubelet import label
from tpt_operator.api import Api, ApiError, Conflict


def mortal(deaths, dead):
    """Return an API after whose every new write its operator is as good as dead: it learns no answer any more.

    `deaths` remembers those writes by what they said; `dead` is set then.
    """

    class Mortal(Api):
        async def _ask(self, method, path, query=None, body=None, kind="application/json"):
            if dead.is_set():
                await asyncio.Event().wait()
            answer = await super()._ask(method, path, query, body, kind)
            written = hashlib.sha256(json.dumps([method, path, body], sort_keys=True).encode()).hexdigest()
            if method != "GET" and "dryRun" not in (query or {}) and written not in deaths:
                deaths[written] = f"{method} {path}"
                dead.set()
                await asyncio.Event().wait()
            return answer

    return Mortal


def test_an_operator_killed_at_every_write_of_a_run_loses_nothing_and_makes_nothing_twice(cluster):
    kubelet = cluster.kubelet()
    cluster.create(maxRounds=1, training={"nodes": 2})
    deaths: dict[str, str] = {}
    token = account(cluster.kube, cluster.namespace)
    settings = replace(SETTINGS, namespace=cluster.namespace)
    while condition(cluster.run(), "Complete").get("status") != "True":
        dead = threading.Event()
        with Operator(cluster.plane, token, settings, mortal(deaths, dead)):
            until(partial(_dead_or_done, cluster, dead))
        assert len(deaths) < 200, sorted(deaths.values())
    assert {name.split()[0] for name in deaths.values()} == {"POST", "PUT", "PATCH"}
    assert len(deaths) >= 20
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


def test_an_api_server_of_which_a_third_of_the_requests_fail_delays_a_run_and_changes_nothing(cluster):
    cluster.operator(api=flaky(7), longest_retry_seconds=0.5)
    kubelet = cluster.kubelet()
    cluster.create(maxRounds=1)
    cluster.wait_for("Complete", seconds=120)
    assert len(kubelet.ended) == len(set(kubelet.ended)), "a step ran twice"
