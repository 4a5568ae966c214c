"""Whatever ends first, all ends, in time, and never quietly."""

import asyncio
import threading

import pytest

from tests.tpt_operator.faketime import FakeTimeLoop
from tpt_operator.ending import EXIT_STUCK, PARTS_SECONDS, Ended, LastResort, until_any_ends


class Death(BaseException):
    """No ordinary error."""


@pytest.fixture
def loop():
    loop = FakeTimeLoop()
    yield loop
    loop.close()


async def forever():
    await asyncio.Event().wait()


async def die(error):
    await asyncio.sleep(1.0)
    raise error


async def deaf(until):
    """Swallow every cancellation."""
    while not until.is_set():
        try:
            await until.wait()
        except asyncio.CancelledError:
            continue


async def ended(first, last, stop=None):
    """Return what the end of two parts says, when it came, and whether it was told to have begun."""
    begun = []
    parts = {"one": asyncio.ensure_future(first), "two": asyncio.ensure_future(last)}
    try:
        await until_any_ends(parts, stop or asyncio.Event(), lambda: begun.append(asyncio.get_running_loop().time()))
    except BaseException as error:  # noqa: BLE001 - told to the test
        return error, begun, parts
    return None, begun, parts


@pytest.mark.parametrize("error", [ValueError("broken"), Death("broken")], ids=["an error", "worse than an error"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_part_that_fails_ends_the_other_and_its_error_is_told(loop, error, which):
    async def scene():
        told, begun, parts = await ended(*((die(error), forever()) if which == 0 else (forever(), die(error))))
        assert told is error
        assert begun == [1.0]
        assert all(part.done() for part in parts.values())

    loop.run_until_complete(scene())


def test_a_part_that_just_ends_is_a_failure_too(loop):
    async def scene():
        told, _, parts = await ended(asyncio.sleep(1.0), forever())
        assert isinstance(told, Ended)
        assert str(told) == "one: ended though nobody asked for it"
        assert parts["two"].cancelled()

    loop.run_until_complete(scene())


def test_when_it_is_asked_for_the_last_part_ends_by_itself_and_all_is_well(loop):
    async def scene():
        stop = asyncio.Event()
        loop.call_later(5.0, stop.set)
        told, begun, parts = await ended(forever(), stop.wait(), stop)
        assert (told, begun) == (None, [5.0])
        assert parts["one"].cancelled()
        assert parts["two"].result() is True

    loop.run_until_complete(scene())


def test_a_part_that_does_not_end_is_waited_for_no_longer_than_the_bound(loop):
    async def scene():
        stop, mercy = asyncio.Event(), asyncio.Event()
        stop.set()
        told, begun, _ = await ended(forever(), deaf(mercy), stop)
        assert isinstance(told, Ended)
        assert str(told) == f"two: not ended within {PARTS_SECONDS:.0f} s"
        assert loop.time() - begun[0] == PARTS_SECONDS
        mercy.set()
        await asyncio.sleep(0)

    loop.run_until_complete(scene())


def test_who_cancels_the_whole_cancels_the_parts(loop):
    async def scene():
        whole = asyncio.ensure_future(ended(forever(), forever()))
        await asyncio.sleep(1.0)
        whole.cancel()
        told, begun, parts = await whole
        assert isinstance(told, asyncio.CancelledError)
        assert begun == [1.0]
        assert all(part.cancelled() for part in parts.values())

    loop.run_until_complete(scene())


def test_the_last_resort_ends_the_process_once_it_is_armed():
    left: list[int] = []
    gone = threading.Event()

    def leave(code):
        left.append(code)
        gone.set()

    resort = LastResort(0.01, leave)
    assert not gone.wait(0.05)
    resort.arm()
    resort.arm()
    assert gone.wait(10)
    assert left == [EXIT_STUCK]
