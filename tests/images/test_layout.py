"""An OCI layout to which images are added that have the layers of one that is there."""

import hashlib
import json
from pathlib import Path

import pytest

from images.layout import NAME, add

LAYERS = {"type": "layers", "diff_ids": ["sha256:aa"]}


def written(layout: Path, data: bytes) -> dict:
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs" / "sha256" / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def read(layout: Path, digest: str) -> dict:
    data = (layout / "blobs" / digest.replace(":", "/")).read_bytes()
    assert f"sha256:{hashlib.sha256(data).hexdigest()}" == digest
    found: dict = json.loads(data)
    return found


def config(title: str, rootfs=LAYERS) -> bytes:
    return json.dumps({"config": {"Labels": {"title": title}}, "rootfs": rootfs}).encode()


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    (tmp_path / "blobs" / "sha256").mkdir(parents=True)
    kind = "application/vnd.oci.image.config.v1+json"
    layer = {"mediaType": "layer", **written(tmp_path, b"packed")}
    manifest = {"schemaVersion": 2, "config": {"mediaType": kind, **written(tmp_path, config("sampler"))}, "layers": [layer]}
    entry = {"mediaType": "manifest", **written(tmp_path, json.dumps(manifest).encode()), "annotations": {NAME: "sampler:1"}}
    (tmp_path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return tmp_path


def entries(layout: Path) -> dict:
    return {item["annotations"][NAME]: item for item in json.loads((layout / "index.json").read_text())["manifests"]}


def test_an_image_that_is_added_has_its_own_description_and_the_layers_of_the_first(layout: Path):
    add(layout, "sampler:1", "pruner:1", config("pruner"))
    found = {name: read(layout, entry["digest"]) for name, entry in entries(layout).items()}
    assert found["pruner:1"]["layers"] == found["sampler:1"]["layers"]
    titles = {name: read(layout, manifest["config"]["digest"])["config"]["Labels"]["title"] for name, manifest in found.items()}
    assert titles == {"sampler:1": "sampler", "pruner:1": "pruner"}
    assert found["pruner:1"]["config"]["mediaType"] == found["sampler:1"]["config"]["mediaType"]


def test_sizes_are_those_of_what_was_written(layout: Path):
    add(layout, "sampler:1", "pruner:1", config("pruner"))
    entry = entries(layout)["pruner:1"]
    assert entry["size"] == (layout / "blobs" / entry["digest"].replace(":", "/")).stat().st_size
    assert read(layout, entry["digest"])["config"]["size"] == len(config("pruner"))


def test_an_image_that_is_added_again_takes_the_place_of_the_old(layout: Path):
    for title in ("old", "new"):
        add(layout, "sampler:1", "pruner:1", config(title))
    manifest = read(layout, entries(layout)["pruner:1"]["digest"])
    assert read(layout, manifest["config"]["digest"])["config"]["Labels"]["title"] == "new"
    assert len(json.loads((layout / "index.json").read_text())["manifests"]) == 2


def test_an_image_with_other_layers_is_refused(layout: Path):
    with pytest.raises(ValueError, match="its layers are not those of sampler:1"):
        add(layout, "sampler:1", "pruner:1", config("pruner", {"type": "layers", "diff_ids": ["sha256:bb"]}))
    assert list(entries(layout)) == ["sampler:1"]


def test_an_unknown_first_image_is_named_with_those_that_there_are(layout: Path):
    with pytest.raises(ValueError, match=r"no image 'trainer:1' in it, only 'sampler:1'"):
        add(layout, "trainer:1", "pruner:1", config("pruner"))
