"""What an object store refuses is said in words: who has to mend it, or whether another attempt may help."""

import socket
from pathlib import Path

import pytest

from tests.object_store import KEY, SECRET, Bucket, Wire, make_bucket, refusal
from tpt_runtime.artifacts import objects
from tpt_runtime.artifacts.downloads import download_object, download_prefix
from tpt_runtime.artifacts.mirror import Mirror, open_storage
from tpt_runtime.artifacts.objects import ObjectUri
from tpt_runtime.artifacts.storage import Storage
from tpt_runtime.core.errors import ConfigurationError, StepFailed, TptError


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "RETRIES", {"max_retries": 0})


def said(bucket: Bucket, kind: type[TptError], secret: str | None = None, name: str | None = None) -> str:
    """Return the error with which the home of a run's artifacts does not open."""
    with pytest.raises(kind) as caught:
        open_storage(f"s3://{name or bucket.name}/runs/team/example", secret=secret)
    assert SECRET not in str(caught.value)
    assert KEY not in str(caught.value)
    return str(caught.value)


def test_a_store_that_answers_opens_with_a_cache_of_the_runs_own(
    bucket: Bucket, wire: Wire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    storage, folder = open_storage(f"s3://{bucket.name}/runs/team/example")
    assert isinstance(storage, Mirror)
    assert folder == tmp_path / "cache" / "tpt" / bucket.name / "runs/team/example"
    assert len(wire.seen) == 1, "it was asked whether it answers"


def test_a_folder_is_home_itself(tmp_path: Path) -> None:
    storage, folder = open_storage(str(tmp_path))
    assert (type(storage), folder) == (Storage, tmp_path)


def test_a_missing_bucket_is_named(bucket: Bucket, wire: Wire) -> None:
    words = said(bucket, ConfigurationError, name="no-such-bucket")
    assert words.startswith("spec.storage.uri: s3://no-such-bucket/runs/team/example: there is no bucket 'no-such-bucket'")
    assert f"asked {wire.url.removeprefix('http://')}" in words


@pytest.mark.parametrize("store", ["versitygw"])
def test_wrong_keys_are_told_with_the_secret_and_its_keys(store: str, stores, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = make_bucket(stores(store))
    for name, value in (bucket.environment() | {"AWS_SECRET_ACCESS_KEY": "wrong-one"}).items():
        monkeypatch.setenv(name, value)
    words = said(bucket, ConfigurationError, secret="s3-keys")
    assert "access refused (SignatureDoesNotMatch)" in words
    assert "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in Secret 's3-keys'" in words
    assert "wrong-one" not in words


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (403, "InvalidAccessKeyId"), (401, "Unauthorized")])
def test_refused_access_is_a_configuration_error_for_whatever_is_asked(
    status: int, code: str, bucket: Bucket, wire: Wire, tmp_path: Path
) -> None:
    wire.rule = lambda request: refusal(status, code)
    words = said(bucket, ConfigurationError)
    assert f"access refused ({code})" in words
    assert "of the Secret that spec.storage.secretRef names, or the machine's identity" in words
    uri = ObjectUri.parse("spec.model.uri", f"s3://{bucket.name}/model", "hub")
    for work in (lambda: download_prefix(uri, tmp_path), lambda: download_object(uri, tmp_path / "x")):
        with pytest.raises(ConfigurationError, match=r"spec\.model\.uri: .*access refused .* in Secret 'hub'"):
            work()


def test_another_region_is_told(bucket: Bucket, wire: Wire) -> None:
    wire.rule = lambda request: refusal(301, "PermanentRedirect")
    assert "the bucket is in another region than AWS_REGION says" in said(bucket, ConfigurationError)


def test_a_store_that_cannot_be_reached_is_worth_another_attempt(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    for name, value in (bucket.environment() | {"AWS_ENDPOINT_URL": f"http://user:{SECRET}@127.0.0.1:{port}"}).items():
        monkeypatch.setenv(name, value)
    assert f"127.0.0.1:{port} cannot be reached (AWS_ENDPOINT_URL says" in said(bucket, StepFailed)


def test_a_store_that_fails_is_worth_another_attempt(bucket: Bucket, wire: Wire) -> None:
    wire.rule = lambda request: refusal(503, "SlowDown")
    assert "the object store failed: SlowDown" in said(bucket, StepFailed)


def test_a_hiccup_is_outlived(bucket: Bucket, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for name, value in bucket.environment(wire).items():
        monkeypatch.setenv(name, value)
    answers = iter([refusal(503, "SlowDown"), refusal(500, "InternalError")])
    wire.rule = lambda request: next(answers, None)
    open_storage(f"s3://{bucket.name}/runs/team/example")
    assert len(wire.seen) == 3


def test_keys_that_are_nowhere_are_told(bucket: Bucket, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    told = objects._told(
        ObjectUri.parse("spec.storage.uri", "s3://bucket/key"),
        "Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token in 1ms - HTTP error: error sending",
    )
    assert isinstance(told, StepFailed)
    assert "neither keys (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of a Secret that spec.storage.secretRef names)" in str(told)
