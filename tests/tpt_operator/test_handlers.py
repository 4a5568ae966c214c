"""How Kopf reaches the API server: with the credentials of our own client, wherever those come from."""

from pathlib import Path

import pytest
from kubernetes.aio import client
from kubernetes.aio.config.incluster_config import InClusterConfigLoader

from tpt_operator.api import Api
from tpt_operator.handlers import connection


async def told(configuration: client.Configuration) -> tuple[str | None, str | None, str | None]:
    api = Api(configuration, request_timeout=5.0)
    try:
        found = await connection(api)
    finally:
        await api.close()
    return found.server, found.scheme, found.token


async def test_in_a_pod_it_is_the_mounted_token_alone(tmp_path: Path):
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("abc.def")
    authority.write_text("any")
    configuration = client.Configuration()
    variables = {"KUBERNETES_SERVICE_HOST": "h", "KUBERNETES_SERVICE_PORT": "1"}
    InClusterConfigLoader(str(token), str(authority), environ=variables).load_and_set(configuration)
    configuration.ssl_ca_cert = None
    assert await told(configuration) == ("https://h:1", "Bearer", "abc.def")


@pytest.mark.parametrize(("key", "token"), [({"BearerToken": "Bearer abc"}, "abc"), ({"BearerToken": "abc"}, "abc")])
async def test_elsewhere_it_is_the_kubeconfigs_token(key: dict[str, str], token: str):
    configuration = client.Configuration(host="https://h:1")
    configuration.api_key = key
    assert await told(configuration) == ("https://h:1", "Bearer", token)


async def test_without_a_token_there_is_none():
    assert await told(client.Configuration(host="https://h:1")) == ("https://h:1", None, None)
