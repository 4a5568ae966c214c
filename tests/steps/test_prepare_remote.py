"""prepare with hf:// and s3:// sources, against a double of the hub's API and a local S3 server."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.step.conftest import Program
from tests.steps.conftest import WEIGHTS, problems, write_jsonl, write_model
from tests.steps.hub_double import COMMIT, Hub
from tpt_runtime.artifacts import objects
from tpt_runtime.artifacts.downloads import download_prefix
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.errors import ConfigurationError

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


def prepare(commands: Commands, folder: Path, attempt: int = 1, **environment: str) -> tuple[int, str, dict[str, Any]]:
    """Run the step as a program and return its exit code, everything it said, and its summary or error."""
    config = json.dumps(commands.prepare(attempt).wire())
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


OLDER = "f" * 40


def test_a_revision_of_model_and_data_is_resolved_once_and_only_that_commit_is_read(
    hub: Hub, commands: CommandsOf, tmp_path: Path
) -> None:
    hub.tags["v1"] = OLDER
    model = hub.repositories["models/org/model"] | {"model.safetensors": WEIGHTS[:-4] + b"4321"}
    hub.past[OLDER] = {"models/org/model": model, "datasets/org/data": {"train.jsonl": jsonl(problems(12, first=500))}}
    source = {"uri": "hf://org/data", "revision": "v1"}
    built = commands(
        model={"uri": "hf://org/model", "revision": "v1"},
        dataset={"train": source, "validation": {"fraction": 0.25}, "prompt": {"mode": "Completion"}},
    )
    code, said, summary = prepare(built, tmp_path, HF_ENDPOINT=hub.url)
    assert code == 0, said
    assert summary["resolved"]["modelRevision"] == OLDER
    assert summary["resolved"]["dataRevisions"] == {"train": OLDER}
    assert summary["resolved"]["counts"] == {"train": 9, "validation": 3}
    folder = Path(built.prepare(1).root) / built.prepare(1).path
    assert (folder / "model" / "model.safetensors").read_bytes()[-4:] == b"4321"
    assert "What is 5" in (folder / "train.jsonl").read_text()
    assert len([request for request in hub.requests if request.endswith("/revision/v1")]) == 2, "each is resolved once"
    assert not [request for request in hub.requests if "/main" in request]


@pytest.mark.parametrize("status", [429, 503])
def test_a_hub_that_is_busy_is_worth_another_attempt(status: int, hub: Hub, commands: CommandsOf, tmp_path: Path) -> None:
    hub.failing = status
    code, said, error = prepare(remote(commands), tmp_path, HF_ENDPOINT=hub.url)
    assert code == 1, said
    assert f"the hub answered HTTP {status}" in error["error"]


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


def test_a_gated_data_set_names_its_licence_page_too(hub: Hub, commands: CommandsOf, tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    hub.gated.add("datasets/org/data")
    built = commands(dataset={"train": {"uri": "hf://org/data"}, "prompt": {"mode": "Completion"}})
    code, said, error = prepare(built, tmp_path, HF_ENDPOINT=hub.url)
    assert code == 64, said
    assert f"spec.dataset.train.uri: hf://org/data: gated; accept its licence at {hub.url}/datasets/org/data" in error["error"]


@pytest.mark.parametrize("change", [{"split": "nothing"}, {"config": "nothing"}])
def test_what_a_data_set_does_not_have_fails_for_good(
    change: dict[str, str], hub: Hub, commands: CommandsOf, tmp_path: Path
) -> None:
    write_model(tmp_path / "model")
    built = commands(dataset={"train": {"uri": "hf://org/data"} | change, "prompt": {"mode": "Completion"}})
    code, said, error = prepare(built, tmp_path, HF_ENDPOINT=hub.url)
    assert code == 64, said
    assert "spec.dataset.train.uri: hf://org/data: config " in error["error"]
    assert "nothing" in error["error"]


def with_local_data(commands: CommandsOf, folder: Path, model: str) -> Commands:
    write_jsonl(folder / "train.jsonl", problems(20))
    return commands(model={"uri": model})


def fetched(hub: Hub) -> list[str]:
    return [request for request in hub.requests if request.startswith("GET") and request.endswith("model.safetensors")]


def test_a_download_outlives_the_attempt_that_made_it(hub: Hub, commands: CommandsOf, tmp_path: Path) -> None:
    built = with_local_data(commands, tmp_path, "hf://org/model")
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "0"}
    first = Program(json.dumps(built.prepare(1).wire()), tmp_path, [sys.executable, "-m", "tpt_runtime.prepare"], **environment)
    first.until("phase", phase="load tokenizer")
    first.process.kill()
    first.process.communicate()
    assert first.process.returncode == -signal.SIGKILL
    config = built.prepare(2)
    folder = Path(config.root) / config.path
    assert not folder.exists()
    assert len(fetched(hub)) == 1
    downloads = folder.with_name(f"{folder.name}.downloads")
    (downloads / "model-of-another-commit").mkdir()
    (downloads / "model-of-another-commit" / "model-2.safetensors").write_bytes(WEIGHTS)
    code, said, _ = prepare(built, tmp_path, attempt=2, HF_ENDPOINT=hub.url)
    assert code == 0, said
    assert len(fetched(hub)) == 1, "it is there already"
    assert [path.name for path in (folder / "model").glob("*.safetensors")] == ["model.safetensors"]
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name], "nothing of either attempt is left over"


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


def credentials(url: str) -> Any:
    return {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": url}


def test_object_store_sources_are_copied(s3: tuple[str, Any], commands: CommandsOf, tmp_path: Path) -> None:
    url, client = s3
    for name, data in files_below(write_model(tmp_path / "elsewhere")).items():
        client.put_object(Bucket="things", Key=f"models/tiny/{name}", Body=data)
    client.put_object(Bucket="things", Key="data/train.jsonl", Body=jsonl(problems(20)))
    built = commands(
        model={"uri": "s3://things/models/tiny"},
        dataset={"train": {"uri": "s3://things/data/train.jsonl"}, "prompt": {"mode": "Completion"}},
    )
    code, said, summary = prepare(built, tmp_path, **credentials(url))
    assert code == 0, said
    config = built.prepare(1)
    assert (Path(config.root) / config.path / "model" / "model.safetensors").read_bytes() == WEIGHTS
    assert summary["resolved"]["counts"] == {"train": 19, "validation": 1}


def test_an_object_is_copied_again_only_if_it_changed(
    s3: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, client = s3
    for name, value in credentials(url).items():
        monkeypatch.setenv(name, value)
    for name in ("", "a", "b", "below/c"):  # the first is what some tools make to show an empty folder
        client.put_object(Bucket="things", Key=f"copies/tiny/{name}", Body=name.encode())
    client.put_object(Bucket="things", Key="copies/tiny-other/a", Body=b"not asked for")
    copies: list[str] = []
    fetch = objects.Objects._fetch

    def spy(self: objects.Objects, piece: tuple[str, objects.Entry, Path, int]) -> None:
        copies.append(piece[0])
        fetch(self, piece)

    monkeypatch.setattr(objects.Objects, "_fetch", spy)
    uri, folder = objects.ObjectUri.parse("spec.model.uri", "s3://things/copies/tiny/"), tmp_path / "model"
    assert download_prefix(uri, folder) == 3
    assert files_below(folder) == {"a": b"a", "b": b"b", "below/c": b"below/c"}
    copies.clear()
    (folder / "b").write_bytes(b"B")  # as if it were of another time: as long, but not dated like the object
    (folder / ".c.partial").write_bytes(b"half")
    client.put_object(Bucket="things", Key="copies/tiny/d", Body=b"d")
    client.delete_object(Bucket="things", Key="copies/tiny/a")
    assert download_prefix(uri, folder) == 3
    assert sorted(copies) == ["b", "d"]
    assert files_below(folder) == {"b": b"b", "below/c": b"below/c", "d": b"d"}
    with pytest.raises(ConfigurationError, match=r"spec\.model\.uri: s3://things/models/none: no objects below this prefix"):
        download_prefix(objects.ObjectUri.parse("spec.model.uri", "s3://things/models/none"), folder)


def test_a_missing_object_fails_for_good(s3: tuple[str, Any], commands: CommandsOf, tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    built = commands(dataset={"train": {"uri": "s3://things/none.jsonl"}, "prompt": {"mode": "Completion"}})
    code, said, error = prepare(built, tmp_path, **credentials(s3[0]))
    assert code == 64, said
    assert "spec.dataset.train.uri: s3://things/none.jsonl: no such object or bucket" in error["error"]
