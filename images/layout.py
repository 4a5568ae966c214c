"""Add images to an OCI layout that holds one with the same layers: their descriptions only, so that no layer is packed again.

`buildah push` packs every layer anew for every image. Run by build.py: `python images/layout.py FOLDER FIRST OTHER...`
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

NAME: Final = "org.opencontainers.image.ref.name"

Json = dict[str, Any]


def add(layout: Path, first: str, name: str, config: bytes) -> None:
    """Add the image `name`, whose configuration is given, with the layers of `first`, which the layout has.

    Raises:
        ValueError: The layers of the two differ, or the layout has no `first`.
    """
    index: Json = json.loads((layout / "index.json").read_bytes())
    known = {entry.get("annotations", {}).get(NAME): entry for entry in index["manifests"]}
    if first not in known:
        message = f"{layout}: there is no image {first!r} in it, only {', '.join(map(repr, known))}; push it first"
        raise ValueError(message)
    manifest: Json = json.loads(_blob(layout, known[first]["digest"]).read_bytes())
    theirs = json.loads(_blob(layout, manifest["config"]["digest"]).read_bytes())
    if json.loads(config)["rootfs"] != theirs["rootfs"]:
        message = f"{name}: its layers are not those of {first}; push it to a layout of its own"
        raise ValueError(message)
    own = manifest | {"config": manifest["config"] | _written(layout, config)}
    entry = known[first] | _written(layout, json.dumps(own).encode()) | {"annotations": {NAME: name}}
    index["manifests"] = [item for item in index["manifests"] if item != known.get(name)] + [entry]
    (layout / "index.json").write_text(json.dumps(index), encoding="utf-8")


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")


def _written(layout: Path, data: bytes) -> Json:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    _blob(layout, digest).write_bytes(data)
    return {"digest": digest, "size": len(data)}


def _config(image: str) -> bytes:
    """Return an image's configuration, byte by byte: buildah ends it with a line of its own."""
    command = ("buildah", "inspect", "--type", "image", "--format", "{{.Config}}", image)
    return subprocess.run(command, capture_output=True, check=True).stdout.removesuffix(b"\n")


if __name__ == "__main__":
    folder, base, *others = sys.argv[1:]
    for other in others:
        add(Path(folder), base, other, _config(other))
