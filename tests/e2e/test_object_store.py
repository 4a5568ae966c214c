"""The same run with its artifacts in an object store, of one round: it ends with the same artifacts as on the claim."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.kube import RUNS, Json
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import EXAMPLE, RUN_SECONDS, RUNNING, Ended
from tests.e2e.disturbing import ended
from tests.e2e.figures import ROUNDED, of_artifacts, of_status
from tests.e2e.objectstore import BUCKET, ObjectStore, object_store
from tpt_runtime.core.paths import Paths
from tpt_runtime.core.resource import parse_run

pytestmark = pytest.mark.e2e
PREFIX = "team"
NAME = "on-s3"


@pytest.fixture(scope="session")
def store(cluster: Cluster, claim: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """An object store that holds the quickstart's model and data."""
    if cluster.folder is None:
        pytest.skip("a cluster that was named may not reach an object store on this machine: the run on S3 is left out")
    address = (cluster.folder / "node-ip").read_text().strip()
    with object_store(cluster.program("versitygw"), address, tmp_path_factory.mktemp("s3")) as running:
        for name in ("model", "data"):
            assert running.upload(cluster.folder / "claims" / "runs" / name, f"{PREFIX}/{name}")
        yield running


@pytest.fixture(scope="session")
def on_s3(cluster: Cluster, quickstart: Ended, store: ObjectStore) -> Json:
    """The quickstart's run of one round, its storage an object store, as it ended."""
    made = yaml.safe_load(cluster.kubectl("kustomize", str(EXAMPLE)))
    made["metadata"]["name"] = NAME
    made["spec"] |= {"maxRounds": 1, "storage": {"uri": f"s3://{BUCKET}/{PREFIX}", "secretRef": {"name": "s3-keys"}}}
    cluster.apply(store.manifest("s3-keys"), made, namespace=RUNNING)
    deadline = time.monotonic() + RUN_SECONDS
    while True:
        for event in cluster.kube.watch(RUNS.format(RUNNING), 30, fieldSelector=f"metadata.name={NAME}"):
            if ended(event["object"]):
                found: Json = event["object"]
                return found
        assert time.monotonic() < deadline, f"the run has not ended after {RUN_SECONDS:.0f} s"


def home(path: str) -> str:
    return f"{PREFIX}/{RUNNING}/{NAME}/{path}"


def test_the_run_is_complete_after_one_round(on_s3: Json):
    status = on_s3["status"]
    assert (status["phase"], status["round"]) == ("Complete", "1/1"), status["conditions"]


def test_status_and_artifacts_agree(on_s3: Json, store: ObjectStore):
    assert of_artifacts(on_s3, lambda path: store.read(home(path))) == pytest.approx(of_status(on_s3), abs=ROUNDED)


def test_it_kept_the_same_examples_as_the_run_on_the_claim(on_s3: Json, store: ObjectStore, cluster: Cluster, reader: str):
    path = f"{Paths(parse_run(on_s3, NAME).spec).prune_dir(1)}/train.jsonl"
    on_claim = cluster.kubectl("exec", "-n", RUNNING, reader, "--", "cat", f"/storage/{RUNNING}/quickstart/{path}")
    assert len(on_claim.splitlines()) > 100
    assert store.read(home(path)) == on_claim


def test_no_object_is_left_half_written(on_s3: Json, store: ObjectStore):
    pages = store.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    keys = [item["Key"] for page in pages for item in page["Contents"]]
    manifests = [key for key in keys if key.startswith(home("")) and key.endswith("manifest.json")]
    assert manifests
    for key in manifests:
        folder = key.rpartition("/")[0]
        for name, entry in json.loads(store.read(key))["files"].items():
            assert store.client().head_object(Bucket=BUCKET, Key=f"{folder}/{name}")["ContentLength"] == entry["size"]
    assert [key for key in keys if "partial" in Path(key).name] == []
