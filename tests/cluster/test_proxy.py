"""An API server that misbehaves on the wire, by a proxy: refusals, lost connections and broken watches delay a run, no more."""

from collections import Counter
from dataclasses import replace

import pytest

from tests.cluster.conftest import essence
from tests.cluster.kubelet import label
from tests.cluster.proxy import Answer, Broken, Dropped, Proxy, error_event


def every(number, fault, chosen):
    """Return faults: of the requests that are `chosen`, by method and path, the first of each `number` meets `fault`."""
    count: Counter[tuple[str, str]] = Counter()

    def faults(asked):
        if not chosen(asked):
            return None
        count[asked.method, asked.path] += 1
        return fault if count[asked.method, asked.path] % number == 1 % number else None

    return faults


def ever_fewer(fault, chosen):
    """Return faults: of the requests that are `chosen`, by path, the first, second, fourth, eighth and so on meet `fault`.

    Where a fault has the operator start anew, a fixed rhythm may meet the same request after every start.
    """
    count: Counter[str] = Counter()

    def faults(asked):
        if not chosen(asked):
            return None
        count[asked.path] += 1
        return fault if count[asked.path].bit_count() == 1 else None

    return faults


def writes(asked):
    return asked.writes


def reads(asked):
    return asked.method == "GET" and not asked.watch and "/namespaces/" in asked.path


def requests(asked):
    return not asked.watch


def watches(asked):
    return asked.watch


FAULTS = {
    "a conflict at writes": every(2, Answer(409, "Conflict"), writes),
    "reads of what is gone": ever_fewer(Answer(410, "Expired"), reads),
    "too many requests": every(2, Answer(429, "TooManyRequests", retry_after=1), writes),
    "an internal error": every(2, Answer(500, "InternalError"), requests),
    "writes that get lost": every(2, Dropped(carried_out=False), writes),
    "writes whose answer gets lost": every(2, Dropped(carried_out=True), writes),
    "reads whose answer gets lost": every(2, Dropped(carried_out=True), reads),
    "watches that are too old": every(1, Broken(2, error_event(410, "Expired")), watches),
    "watches with another error": every(2, Broken(3, error_event(500, "InternalError")), watches),
    "watches cut amid an event": every(1, Broken(2, None), watches),
    "watches that are refused": every(2, Answer(410, "Gone"), watches),
}
FATAL = {"reads of what is gone", "watches with another error", "watches that are refused"}
"""Kopf's watches do not survive these: the operator ends, and is started again by whatever runs it."""


@pytest.mark.parametrize("kind", FAULTS)
def test_whatever_the_api_server_does_a_run_ends_as_it_would_have(cluster, calm, kind):
    with Proxy(cluster.plane, FAULTS[kind]).serving() as proxy:
        operator = cluster.operator(plane=replace(cluster.plane, url=proxy.url), restarts=True, longest_retry_seconds=0.3)
        kubelet = cluster.kubelet()
        cluster.create(maxRounds=1, sampling={"shards": 2}, training={"nodes": 2})
        run = cluster.wait_for("Complete", seconds=120)
        operator.stop()
    assert essence(run) == calm
    assert len(kubelet.ended) == len(set(kubelet.ended)), "a step ran twice"
    jobs = [(label(job, "step"), label(job, "round")) for job in cluster.jobs()]
    assert len(jobs) == len(set(jobs)), "a Job has a twin"
    assert len(proxy.broken) >= 3, proxy.asked
    assert bool(operator.restarted) is (kind in FATAL)


def test_a_pause_that_the_api_server_asks_for_is_kept(cluster):
    with Proxy(cluster.plane, every(2, Answer(429, "TooManyRequests", retry_after=2), creates_jobs)).serving() as proxy:
        operator = cluster.operator(plane=replace(cluster.plane, url=proxy.url))
        cluster.create()
        cluster.wait_for_job("prepare")
        operator.stop()
    refused, made = [asked for asked in proxy.asked if creates_jobs(asked)]
    assert made.at - refused.at >= 2.0


def creates_jobs(asked):
    return asked.method == "POST" and asked.path.endswith("/jobs") and not asked.dry
