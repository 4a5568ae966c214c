"""Steps whose artifacts are at home in an object store, each in a pod of its own: what one fetched is not there for the next."""

import json
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.object_store import Bucket
from tests.steps.conftest import SilentJournal
from tpt_runtime.core.configs import StepConfig
from tpt_runtime.step.context import Context
from tpt_runtime.step.program import at_home

BELOW = "runs/team/test"
"""Where the artifacts of the tests' run lie in their bucket."""

Config = TypeVar("Config", bound=StepConfig)
Result = TypeVar("Result")


def uri(bucket: Bucket) -> str:
    """Return the root of the run's artifacts."""
    return f"s3://{bucket.name}/{BELOW}"


def put_folder(bucket: Bucket, root: Path, below: str = BELOW) -> None:
    """Put everything below `root` into the bucket, what lies behind links too."""
    for folder, _, names in os.walk(root, followlinks=True):
        for name in names:
            path = Path(folder) / name
            bucket.put(f"{below}/{path.relative_to(root).as_posix()}", path.read_bytes())


class Pods:
    """Carries steps out as pods do."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Scratch space is below `folder`."""
        self._folder, self._monkeypatch = folder, monkeypatch
        self._numbers = count(1)

    def new(self) -> Path:
        """Return the cache folder of a new pod, and let this process be in it."""
        cache = self._folder / f"pod-{next(self._numbers)}"
        self._monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
        return cache

    def carry_out(self, work: Callable[[Config, Context], Result], config: Config, context: Context | None = None) -> Result:
        """Carry out one step in a new pod."""
        self.new()
        given = context or Context(SilentJournal())
        return work(at_home(config, given), given)


def artifacts(files: dict[str, bytes]) -> dict[str, Any]:
    """Return what is the same wherever, and whenever, a run's artifacts were made.

    In which chunk a sample lies hangs on chance: samples are shown by prompt. A base model is linked in a folder and copied
    into an object store: manifests are shown without it, and its record without the times that only a folder has.
    """
    shown: dict[str, Any] = {}
    for name, data in files.items():
        last = name.rpartition("/")[2]
        if last.startswith("chunk-"):
            for row in map(json.loads, data.splitlines()):
                key = f"{name.rpartition('/')[0]}: {row['set']} {row['id']}"
                assert key not in shown, f"{key} is there twice"
                shown[key] = row["samples"]
        elif last == "manifest.json":
            shown[name] = _manifest(json.loads(data))
        elif last == "model.json":
            shown[name] = {file: entry | {"modified": None} for file, entry in json.loads(data).items()}
        elif not last.endswith("manifest.json"):
            shown[name] = data
    return shown


def _manifest(found: dict[str, Any]) -> dict[str, Any]:
    found["summary"].pop("seconds", None)
    del found["created"]
    if "tokenizer/tokenizer.json" in found["files"]:
        moving = ("model/", "model.json")
        found["files"] = {name: entry for name, entry in found["files"].items() if not name.startswith(moving)}
    return found


def files_below(root: Path) -> dict[str, bytes]:
    """Return every file below a folder, what lies behind links too."""
    found: dict[str, bytes] = {}
    for folder, _, names in os.walk(root, followlinks=True):
        found |= {(Path(folder) / name).relative_to(root).as_posix(): (Path(folder) / name).read_bytes() for name in names}
    return found


@pytest.fixture
def pods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pods:
    return Pods(tmp_path / "pods", monkeypatch)
