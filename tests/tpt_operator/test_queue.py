"""The work queue, on an event loop whose clock is moved by hand."""

import asyncio

import pytest

from tests.tpt_operator.faketime import FakeTimeLoop
from tpt_operator.queue import WorkQueue


@pytest.fixture
def loop():
    loop = FakeTimeLoop()
    yield loop
    loop.close()


@pytest.fixture
def queue():
    return WorkQueue(first_retry=1.0, longest_retry=10.0)


def test_a_key_added_twice_is_worked_on_once(loop, queue):
    async def scene():
        queue.add("a")
        queue.add("b")
        queue.add("a")
        assert len(queue) == 2
        assert [await queue.get(), await queue.get()] == ["a", "b"]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.get(), 100)

    loop.run_until_complete(scene())


def test_what_is_added_while_its_key_is_worked_on_comes_after_that(loop, queue):
    async def scene():
        queue.add("a")
        await queue.get()
        queue.add("a")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.get(), 100)
        queue.done("a")
        assert await queue.get() == "a"

    loop.run_until_complete(scene())


def test_the_earlier_of_two_moments_counts(loop, queue):
    async def scene():
        queue.add("a", 50.0)
        queue.add("a", 5.0)
        queue.add("a", 20.0)
        assert await queue.get() == "a"
        assert loop.time() == 5.0
        queue.done("a")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.get(), 1000)

    loop.run_until_complete(scene())


def test_something_due_now_overtakes_what_is_waited_for(loop, queue):
    async def scene():
        queue.add("later", 100.0)
        waiting = asyncio.ensure_future(queue.get())
        await asyncio.sleep(1.0)
        queue.add("now")
        assert await waiting == "now"
        assert loop.time() == 1.0

    loop.run_until_complete(scene())


def test_failures_back_off_up_to_a_bound_and_a_success_forgets_them(loop, queue):
    async def scene():
        delays = []
        queue.add("a")
        for _ in range(8):
            assert await queue.get() == "a"
            delays.append(queue.failed("a"))
        assert all(0.75 * 2**n <= delay <= 1.25 * 2**n for n, delay in enumerate(delays[:4]))
        assert all(7.5 <= delay <= 12.5 for delay in delays[4:])
        await queue.get()
        queue.done("a")
        queue.add("a")
        await queue.get()
        assert queue.failed("a") <= 1.25

    loop.run_until_complete(scene())


def test_what_happened_during_a_failure_is_not_lost_in_the_back_off(loop, queue):
    async def scene():
        queue.add("a")
        await queue.get()
        queue.add("a")
        queue.failed("a")
        await queue.get()
        assert loop.time() == 0.0

    loop.run_until_complete(scene())


def test_a_pause_that_was_asked_for_is_kept_whatever_happens_meanwhile(loop, queue):
    async def scene():
        queue.add("a")
        await queue.get()
        queue.add("a")
        assert 30 <= queue.failed("a", at_least=30.0) <= 37.5
        queue.add("a")
        await queue.get()
        assert 30 <= loop.time() <= 37.5
        queue.done("a")
        queue.add("a", 1.0)
        before = loop.time()
        await queue.get()
        assert loop.time() == before + 1.0
        assert queue.failed("a") <= 1.25

    loop.run_until_complete(scene())


def test_two_workers_share_the_keys(loop, queue):
    async def scene():
        first, second = asyncio.ensure_future(queue.get()), asyncio.ensure_future(queue.get())
        await asyncio.sleep(0)
        queue.add("a")
        queue.add("b")
        assert {await first, await second} == {"a", "b"}

    loop.run_until_complete(scene())
