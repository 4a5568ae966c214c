"""How far a step is: asked now and then, beside everything else, and of no consequence if nobody answers."""

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web

from tests.tpt_operator.faketime import FakeTimeLoop
from tests.tpt_operator.runs import IMAGES, UID, run, start
from tpt_operator import manifests
from tpt_operator.cache import Cache, RunKey, run_view
from tpt_operator.observe import Said, observed_job
from tpt_operator.progress import ANSWER_BYTES, Http, Listener, Unanswered, read, remembered
from tpt_operator.views import job_view, pod_view
from tpt_runtime.core.status import Progress, Reported

KEY = RunKey("team", "example")
SECONDS = 30.0
RUN = {"metadata": {"name": "example", "namespace": "team", "uid": UID, "resourceVersion": "1"}, "spec": {}}
CREATED = "2026-01-01T00:00:00Z"


def metrics(completed, total=10):
    return f"# TYPE tpt_step_completed gauge\ntpt_step_completed {completed}\ntpt_step_total {total}\ntpt_step_loss NaN\n"


class Counting:
    def __init__(self):
        self.count = 0

    def inc(self):
        self.count += 1


class Pods:
    """Answers for pods, and takes note of when it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked: list[tuple[float, str]] = []

    async def __call__(self, address):
        self.asked.append((asyncio.get_running_loop().time(), address))
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


class Scene:
    """A run with a Job and its pods, in a cache."""

    def __init__(self, step="train", indexes=1):
        self.cache = Cache()
        self.cache.runs.put(run_view(RUN))
        self.job = manifests.job(run(), start(step, indexes), IMAGES)
        self.version = 1
        self.put_job()
        self.told: Counter[RunKey] = Counter()
        self.failures = Counting()
        self.listener = Listener(self.cache, SECONDS, lambda key: self.told.update([key]), self.failures)

    def put_job(self, **status):
        self.version += 1
        self.job["metadata"] |= {"uid": "job", "resourceVersion": str(self.version), "creationTimestamp": CREATED}
        view = job_view({**self.job, "status": status})
        assert view is not None
        self.cache.jobs.put(view)

    def put_pod(self, index=0, running=True):
        self.version += 1
        labels = {
            **self.job["spec"]["template"]["metadata"]["labels"],
            "batch.kubernetes.io/job-name": self.job["metadata"]["name"],
            "batch.kubernetes.io/job-completion-index": str(index),
        }
        metadata = {
            "name": f"pod-{index}",
            "namespace": "team",
            "uid": f"pod-{index}",
            "resourceVersion": str(self.version),
            "labels": labels,
            "creationTimestamp": CREATED,
        }
        state = {"running": {"startedAt": CREATED}} if running else {"waiting": {"reason": "ContainerCreating"}}
        status = {"phase": "Running", "podIP": f"192.0.2.{index}", "containerStatuses": [{"name": "step", "state": state}]}
        view = pod_view({"metadata": metadata, "status": status})
        assert view is not None
        self.cache.pods.put(view)

    @property
    def view(self):
        (found,) = self.cache.jobs
        return found


@pytest.fixture
def loop():
    loop = FakeTimeLoop()
    yield loop
    loop.close()


def listen(loop, scene, pods, seconds):
    """Let the listener listen for so many seconds of its clock."""

    async def scenario():
        scene.listener.follow(KEY)
        listening = asyncio.ensure_future(scene.listener.run(pods))
        await asyncio.sleep(seconds)
        listening.cancel()
        await asyncio.wait([listening])

    loop.run_until_complete(scenario())


def test_a_running_step_is_asked_every_thirty_seconds_and_news_have_its_run_looked_at(loop):
    scene, pods = Scene(), Pods(*(Reported(completed=done, total=10) for done in (1, 2, 2, 2, 3)))
    scene.put_pod()
    listen(loop, scene, pods, 5 * SECONDS + 1)
    times = [when for when, _ in pods.asked]
    assert SECONDS / 3 <= times[0] <= SECONDS
    assert [later - earlier for earlier, later in pairwise(times)] == pytest.approx([SECONDS] * 4)
    assert {address for _, address in pods.asked} == {"192.0.2.0"}
    assert scene.told == {KEY: 3}
    assert scene.listener.said(scene.view) == Reported(completed=3, total=10)


def test_being_followed_again_and_again_makes_nobody_ask_more_often(loop):
    scene, pods = Scene(), Pods()
    scene.put_pod()

    async def scenario():
        listening = asyncio.ensure_future(scene.listener.run(pods))
        for _ in range(900):
            scene.listener.follow(KEY)
            await asyncio.sleep(0.1)
        listening.cancel()
        await asyncio.wait([listening])

    loop.run_until_complete(scenario())
    assert len(pods.asked) == 3


def test_who_does_not_answer_is_counted_asked_again_later_and_what_was_said_before_stands(loop):
    said = Reported(completed=4, total=10)
    scene, pods = Scene(), Pods(said, Unanswered("no"), Unanswered("no"), said)
    scene.put_pod()
    listen(loop, scene, pods, 4 * SECONDS + 1)
    assert len(pods.asked) == 4
    assert scene.failures.count == 2
    assert scene.told == {KEY: 1}
    assert scene.listener.said(scene.view) == said


def test_of_several_pods_the_first_one_is_asked_and_only_once_it_runs(loop):
    scene, pods = Scene("train", 2), Pods()
    scene.put_pod(1)
    scene.put_pod(0, running=False)
    listen(loop, scene, pods, 10 * SECONDS)
    assert pods.asked == []
    scene.put_pod(0)
    listen(loop, scene, pods, SECONDS + 1)
    assert [address for _, address in pods.asked] == ["192.0.2.0"]


def test_a_job_that_has_ended_is_not_asked_and_its_words_are_not_another_jobs(loop):
    scene, pods = Scene(), Pods(Reported(completed=9, total=10))
    scene.put_pod()
    listen(loop, scene, pods, SECONDS + 1)
    ended = {"type": "Complete", "status": "True", "lastTransitionTime": CREATED}
    scene.put_job(conditions=[ended])
    asked = len(pods.asked)
    listen(loop, scene, pods, 3 * SECONDS)
    assert len(pods.asked) == asked
    assert scene.listener.said(scene.view) is None


def test_a_run_that_is_gone_is_not_asked(loop):
    scene, pods = Scene(), Pods()
    scene.put_pod()
    listen(loop, scene, pods, SECONDS + 1)
    assert len(pods.asked) == 1
    scene.cache.runs.remove(run_view(RUN))
    listen(loop, scene, pods, 3 * SECONDS)
    assert len(pods.asked) == 1


def test_many_pods_that_do_not_answer_are_not_all_waited_for_at_once(loop, monkeypatch):
    scene = Scene()
    waiting = 0
    most = 0

    async def hang(_):
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        await asyncio.sleep(3)
        waiting -= 1
        raise Unanswered("it hangs")

    async def scenario():
        for number in range(20):
            key = RunKey("team", f"run-{number}")
            scene.listener._due.add(key)
            scene.listener._followed.add(key)
        monkeypatch.setattr(scene.listener, "_pod", lambda key: (scene.view, next(iter(scene.cache.pods))))
        listening = asyncio.ensure_future(scene.listener.run(hang))
        await asyncio.sleep(20)
        listening.cancel()
        await asyncio.wait([listening])

    scene.put_pod()
    loop.run_until_complete(scenario())
    assert most == 4
    assert scene.failures.count == 20


# what a pod says


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (metrics(3), Reported(completed=3, total=10)),
        (metrics(3.0, 1e6), Reported(completed=3, total=1_000_000)),
        (f"# HELP tpt_step_total 9\nother{{tpt_step_total}} 4\n{metrics(3)}\0", Reported(completed=3, total=10)),
        (metrics(11), Reported(completed=10, total=10)),
        (metrics(0, 0), None),
        (metrics(-1), None),
    ],
)
def test_progress_is_read_from_the_gauges_of_a_step(text, said):
    assert read(text) == said


ODD = ("NaN", "+Inf", "1e300", "1e16", "e-", "1" * 99)
NO_METRICS = ("", "tpt_step_total 3\n", "<html>", 'a{b="c} 3', "\0\1\2", *map(metrics, ODD))


@pytest.mark.parametrize("text", NO_METRICS)
def test_what_are_no_metrics_of_a_step_are_no_answer(text):
    with pytest.raises(Unanswered):
        read(text)


@pytest.fixture
async def serve():
    """Serve one handler at /metrics on a free port; returns what asks it."""
    stack: list[Callable[[], Any]] = []

    async def begin(handler, seconds=5.0):
        app = web.Application()
        app.add_routes([web.get("/metrics", handler)])
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        http = await Http(runner.addresses[0][1], seconds).__aenter__()
        stack.extend((http.close, runner.cleanup))
        return http

    yield begin
    for end in stack:
        await end()


async def test_a_pod_is_asked_by_http(serve):
    async def handler(_):
        return web.Response(text=metrics(7))

    http = await serve(handler)
    assert await http.ask("127.0.0.1") == Reported(completed=7, total=10)


async def _moved(_):
    raise web.HTTPFound("http://127.0.0.1:1/metrics")


async def _broken(_):
    return web.Response(status=500, text=metrics(7))


async def _endless(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(ANSWER_BYTES // 1024 + 2):
        await response.write(b"# " + b"x" * 1021 + b"\n")
    return response


async def _slow(_):
    await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("handler", "words"),
    [(_moved, "answers 302"), (_broken, "answers 500"), (_endless, "longer than"), (_slow, "TimeoutError")],
    ids=["a redirect", "an error", "an answer without end", "no answer in time"],
)
async def test_no_usable_answer_is_one_error_whatever_it_was(serve, handler, words):
    http = await serve(handler, seconds=0.5)
    with pytest.raises(Unanswered, match=words):
        await http.ask("127.0.0.1")


async def test_nobody_there_is_the_same_error():
    async with Http(1) as http:
        with pytest.raises(Unanswered):
            await http.ask("127.0.0.1")
        with pytest.raises(Unanswered):
            await http.ask("::1")


# what is made of it


def test_a_steps_progress_is_what_its_first_pod_says():
    scene = Scene("train", 2)
    scene.put_pod()
    said = Said(progress={scene.view.name: Reported(completed=3, total=10)})
    assert observed_job(scene.view, [], said).progress == Progress(completed=3, total=10)
    assert observed_job(scene.view, []).progress is None


def test_of_a_sampling_in_shards_the_shards_count_and_the_first_one_says_more():
    scene = Scene("sample", 4)
    scene.put_job(succeeded=1)
    reported = Reported(completed=3, total=10)
    said = Said(progress={scene.view.name: reported})
    assert observed_job(scene.view, [], said).progress == Progress(completed=1, total=4, first_shard=reported)
    assert observed_job(scene.view, []).progress == Progress(completed=1, total=4)


@pytest.mark.parametrize(
    ("indexes", "progress", "found"),
    [
        (1, {"completed": 3, "total": 10}, Reported(completed=3, total=10)),
        (4, {"completed": 1, "total": 4}, None),
        (4, {"completed": 1, "total": 4, "firstShard": {"completed": 3, "total": 10}}, Reported(completed=3, total=10)),
        (1, None, None),
    ],
)
def test_what_the_status_says_stands_over_a_restart(indexes, progress, found):
    scene = Scene("sample", indexes)
    steps = [{"name": "sample", "jobName": scene.view.name}]
    status = {"rounds": [{"round": 1, "steps": steps}], **({"progress": progress} if progress else {})}
    assert remembered({**RUN, "status": status}, scene.view) == found
    other = {**status, "rounds": [{"round": 1, "steps": [{"name": "sample", "jobName": "another"}]}]}
    assert remembered({**RUN, "status": other}, scene.view) is None
    assert remembered(RUN, scene.view) is None
