"""prepare with hf:// and s3:// sources, against a double of the hub's API and a local S3 server."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.steps.conftest import WEIGHTS, problems, write_model
from tests.steps.hub_double import COMMIT, Hub
from tpt_runtime.core.commands import Commands

CommandsOf = Callable[..., Commands]
TOKEN = "hf_a-token-that-nobody-may-see"


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def jsonl(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    model = files_below(write_model(tmp_path / "elsewhere")) | {"model.onnx": b"not needed", "pytorch_model.bin": b"not needed"}
    data = {"train.jsonl": jsonl(problems(20)), "test.jsonl": jsonl(problems(5, first=900))}
    hub = Hub({"models/org/model": model, "datasets/org/data": data})
    server = hub.start()
    yield hub
    server.shutdown()
    server.server_close()


def prepare(commands: Commands, folder: Path, **environment: str) -> tuple[int, str, dict[str, Any]]:
    """Run the step as a program and return its exit code, everything it said, and its summary or error."""
    config = json.dumps(commands.prepare(1).wire())
    termination = folder / "termination"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "AWS_"))}
    own = {"TPT_TERMINATION_LOG": str(termination), "TPT_LOG": "json", "HF_HOME": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", "tpt_runtime.prepare", config],
        env=inherited | own | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr, json.loads(termination.read_text())


def remote(commands: CommandsOf, **more: Any) -> Commands:
    return commands(
        model={"uri": "hf://org/model"} | more,
        dataset={
            "train": {"uri": "hf://org/data"},
            "eval": {"uri": "hf://org/data"},
            "validation": {"fraction": 0.25},
            "prompt": {"mode": "Completion"},
        },
    )


def test_hub_sources_are_resolved_to_a_commit_and_copied(hub: Hub, commands: CommandsOf, tmp_path: Path) -> None:
    hub.token = TOKEN
    built = remote(commands)
    code, said, summary = prepare(built, tmp_path, HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN)
    assert code == 0, said
    config = built.prepare(1)
    folder = Path(config.root) / config.path
    assert summary["resolved"]["modelRevision"] == COMMIT
    assert summary["resolved"]["dataRevisions"] == {"train": COMMIT, "eval": COMMIT}
    assert summary["resolved"]["counts"] == {"train": 15, "validation": 5, "eval": 5}
    assert (folder / "model" / "model.safetensors").read_bytes() == WEIGHTS
    assert not (folder / "model" / "pytorch_model.bin").exists(), "safetensors are there, so the pickle is not needed"
    assert not (folder / "model").is_symlink()
    assert not (Path(config.root) / "downloads").exists()
    written = b"".join(path.read_bytes() for path in Path(config.root).rglob("*") if path.is_file())
    assert TOKEN.encode() not in written
    assert TOKEN not in said + json.dumps(summary)


REFUSALS: dict[str, tuple[dict[str, str], str]] = {
    "no such model": ({"uri": "hf://org/nothing"}, "spec.model.uri: hf://org/nothing: no such model, or it is private"),
    "no such revision": ({"revision": "v9"}, "spec.model.revision: hf://org/model has no revision 'v9'"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_the_hub_does_not_have_fails_for_good(case: str, hub: Hub, commands: CommandsOf, tmp_path: Path) -> None:
    change, expected = REFUSALS[case]
    code, said, error = prepare(remote(commands, **change), tmp_path, HF_ENDPOINT=hub.url)
    assert code == 64, said
    assert expected in error["error"]


def test_a_gated_model_names_the_licence_page_the_secret_and_its_key(hub: Hub, commands: CommandsOf, tmp_path: Path) -> None:
    hub.gated.add("models/org/model")
    code, said, error = prepare(remote(commands, secretRef={"name": "hf-token"}), tmp_path, HF_ENDPOINT=hub.url)
    assert code == 64, said
    assert f"accept its licence at {hub.url}/org/model" in error["error"]
    assert "in Secret 'hf-token', key HF_TOKEN" in error["error"]


def test_a_bad_token_fails_for_good(hub: Hub, commands: CommandsOf, tmp_path: Path) -> None:
    hub.token = "another"
    code, said, error = prepare(remote(commands), tmp_path, HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN)
    assert code == 64, said
    assert "HF_TOKEN" in error["error"]
    assert TOKEN not in said + error["error"]


def test_a_hub_that_cannot_be_reached_is_worth_another_attempt(commands: CommandsOf, tmp_path: Path) -> None:
    code, said, error = prepare(remote(commands), tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert code == 1, said
    assert "http://127.0.0.1:9 cannot be reached" in error["error"]


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[tuple[str, Any]]:
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=url, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1")
    client.create_bucket(Bucket="things")
    yield url, client
    server.stop()


def test_object_store_sources_are_copied(s3: tuple[str, Any], commands: CommandsOf, tmp_path: Path) -> None:
    url, client = s3
    for name, data in files_below(write_model(tmp_path / "elsewhere")).items():
        client.put_object(Bucket="things", Key=f"models/tiny/{name}", Body=data)
    client.put_object(Bucket="things", Key="data/train.jsonl", Body=jsonl(problems(20)))
    built = commands(
        model={"uri": "s3://things/models/tiny"},
        dataset={"train": {"uri": "s3://things/data/train.jsonl"}, "prompt": {"mode": "Completion"}},
    )
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": url}
    code, said, summary = prepare(built, tmp_path, **keys)
    assert code == 0, said
    config = built.prepare(1)
    assert (Path(config.root) / config.path / "model" / "model.safetensors").read_bytes() == WEIGHTS
    assert summary["resolved"]["counts"] == {"train": 19, "validation": 1}


def test_a_missing_object_fails_for_good(s3: tuple[str, Any], commands: CommandsOf, tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    built = commands(dataset={"train": {"uri": "s3://things/none.jsonl"}, "prompt": {"mode": "Completion"}})
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": s3[0]}
    code, said, error = prepare(built, tmp_path, **keys)
    assert code == 64, said
    assert "spec.dataset.train.uri: s3://things/none.jsonl: no such object or bucket" in error["error"]
