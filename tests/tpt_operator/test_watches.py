"""How Kopf reaches the API server, and what it is told to leave alone."""

import asyncio

import aiohttp
import pytest
from kubernetes.aio import client

from tests.tpt_operator.faketime import FakeTimeLoop
from tpt_operator.api import Api
from tpt_operator.handlers import Pace, session, watch_settings
from tpt_operator.settings import Images, Settings

SETTINGS = Settings(images=Images("", "", ""), watch_seconds=100, request_timeout_seconds=7.0)


@pytest.fixture
async def api(kmock):
    configuration = client.Configuration(host=str(kmock.url).rstrip("/"))
    configuration.api_key = {"BearerToken": "Bearer secret-token"}
    api = Api(configuration, request_timeout=5.0)
    yield api
    await api.close()


@pytest.mark.parametrize(
    ("path", "code", "told"),
    [
        ("/apis/batch/v1/jobs?watch=true&labelSelector=a", 200, ["jobs"]),
        ("/api/v1/namespaces/team/pods?watch=true", 200, ["pods"]),
        ("/api/v1/namespaces/team/pods?watch=true", 403, []),
        ("/api/v1/namespaces/team/pods", 200, []),
    ],
    ids=["a watch", "a watch of one namespace", "a watch that is refused", "a list"],
)
async def test_a_watch_that_begins_is_a_sign_of_life_and_bears_our_token(kmock, api, path, code, told):
    kmock["get"] << code << {"items": []}
    opened: list[str] = []
    made = await session(api, opened.append)
    async with made.aiohttp_session as http, http.get(f"{made.server}{path}") as response:
        await response.read()
    (request,) = kmock["get"]
    assert request.headers["Authorization"] == "Bearer secret-token"
    assert opened == told


async def test_a_watch_that_is_not_answered_is_no_sign_of_life(api):
    opened: list[str] = []
    made = await session(api, opened.append)
    async with made.aiohttp_session as http:
        with pytest.raises(aiohttp.ClientError):
            await http.get("http://127.0.0.1:1/api/v1/pods?watch=true")
    assert opened == []


def test_every_request_of_kopf_has_its_end():
    chosen = watch_settings(SETTINGS)
    assert (str(chosen.watching.server_timeout), chosen.watching.client_timeout) == ("100", 107.0)
    assert (chosen.networking.request_timeout, chosen.networking.connect_timeout) == (7.0, 7.0)
    assert not chosen.posting.enabled


def test_logging_in_again_and_again_is_slowed_down():
    loop = FakeTimeLoop()
    pace = Pace(5.0)

    async def scene():
        times = []
        for _ in range(3):
            await pace()
            times.append(loop.time())
        await asyncio.sleep(60)
        await pace()
        return [*times, loop.time()]

    assert loop.run_until_complete(scene()) == [0.0, 5.0, 10.0, 70.0]
    loop.close()
