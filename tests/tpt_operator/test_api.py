"""What the API server may answer, and what is made of it. The server here is one that can be told to misbehave."""

import asyncio

import pytest
from kubernetes.aio import client

from tpt_operator.api import JOBS, RUNS, Api, ApiError, Conflict, Forbidden, Invalid, NotFound

JOBS_OF_TEAM = "/apis/batch/v1/namespaces/team/jobs"
RUN = "/apis/tpt.dev/v1alpha1/namespaces/team/selfimprovementruns/example"


@pytest.fixture
async def api(kmock):
    configuration = client.Configuration(host=str(kmock.url).rstrip("/"))
    configuration.api_key = {"BearerToken": "Bearer secret-token"}
    api = Api(configuration, request_timeout=0.5)
    yield api
    await api.close()


async def test_every_request_bears_the_token_and_says_who_asks(kmock, api):
    kmock[f"get {RUN}"] << {"metadata": {"name": "example"}}
    assert await api.get(RUNS, "team", "example") == {"metadata": {"name": "example"}}
    (request,) = kmock["get"]
    assert request.headers["Authorization"] == "Bearer secret-token"
    assert request.headers["User-Agent"] == "tpt-operator"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, Invalid),
        (404, NotFound),
        (409, Conflict),
        (422, Invalid),
        (401, ApiError),
        (403, Forbidden),
        (429, ApiError),
        (500, ApiError),
    ],
)
async def test_what_is_refused_is_told_apart_and_keeps_the_servers_words(kmock, api, code, error):
    kmock[f"get {RUN}"] << code << {"kind": "Status", "message": "the servers own words"}
    with pytest.raises(ApiError) as caught:
        await api.get(RUNS, "team", "example")
    assert type(caught.value) is error
    assert (caught.value.status, caught.value.message) == (code, "the servers own words")
    assert str(caught.value) == f"GET {RUN}: {code}: the servers own words"
    assert "secret-token" not in str(caught.value)


async def test_a_refusal_that_is_no_json_is_quoted(kmock, api):
    kmock[f"get {RUN}"] << 502 << b"<html>Bad gateway</html>"
    with pytest.raises(ApiError, match="502: <html>Bad gateway"):
        await api.get(RUNS, "team", "example")


async def test_an_answer_that_is_no_json_is_an_api_error(kmock, api):
    kmock[f"get {RUN}"] << b"<html>Please log in</html>"
    with pytest.raises(ApiError, match="200: the answer is no JSON: <html>Please log in"):
        await api.get(RUNS, "team", "example")


@pytest.mark.parametrize(("given", "seconds"), [("7", 7.0), ("0", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("", None)])
async def test_a_pause_that_is_asked_for_in_seconds_is_told(kmock, api, given, seconds):
    kmock[f"post {JOBS_OF_TEAM}"] << 429 << {"Retry-After": given} << {"kind": "Status", "message": "too many"}
    with pytest.raises(ApiError) as caught:
        await api.create(JOBS, {"metadata": {"namespace": "team"}})
    assert (caught.value.status, caught.value.retry_after) == (429, seconds)


async def test_a_list_whose_next_page_has_expired_is_an_error_and_no_short_list(kmock, api):
    kmock[f"get {JOBS_OF_TEAM}?continue=more"] << 410 << {"kind": "Status", "message": "the continue token is too old"}
    kmock[f"get {JOBS_OF_TEAM}"] << {"items": ["a"], "metadata": {"resourceVersion": "7", "continue": "more"}}
    with pytest.raises(ApiError, match="410: the continue token is too old"):
        [page async for page in api.list(JOBS, "team")]


async def test_a_server_that_does_not_answer_is_given_up(kmock, api):
    kmock[f"get {RUN}"] << (lambda: asyncio.sleep(30))
    with pytest.raises(ApiError, match="no answer"):
        await asyncio.wait_for(api.get(RUNS, "team", "example"), 5)


async def test_a_server_that_is_not_there_is_an_api_error(api):
    api.configuration.host = "http://127.0.0.1:1"
    with pytest.raises(ApiError, match="no answer"):
        await api.get(RUNS, "team", "example")


async def test_a_list_is_read_page_by_page(kmock, api):
    path = "/apis/batch/v1/namespaces/team/jobs"
    kmock[f"get {path}?continue=more"] << {"items": ["c"], "metadata": {"resourceVersion": "7"}}
    kmock[f"get {path}"] << {"items": ["a", "b"], "metadata": {"resourceVersion": "7", "continue": "more"}}
    pages = [page async for page in api.list(JOBS, "team", "a=b")]
    assert [page["items"] for page in pages] == [["a", "b"], ["c"]]
    assert all(request.params["labelSelector"] == "a=b" for request in kmock["get"])
    assert all("fieldSelector" not in request.params for request in kmock["get"])


async def test_an_answer_that_breaks_off_is_an_api_error(api):
    async def half(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"metadata": ')
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(half, "127.0.0.1", 0) as server:
        api.configuration.host = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(ApiError, match="no answer"):
            await api.get(RUNS, "team", "example")
