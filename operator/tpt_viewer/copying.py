"""Copies the best model and the report of a run into a folder, whole or not at all.

What is under way lies in a hidden folder of the output, laid out as the run's own: a copy that was cut off goes on from there.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tpt_runtime.artifacts.files import write_json
from tpt_runtime.artifacts.manifest import FileEntry, file_entries
from tpt_runtime.core.errors import ArtifactError, ConfigurationError
from tpt_viewer.artifacts import Artifacts, opened
from tpt_viewer.places import Place

UNDER_WAY = ".fetching"
RECORD = "fetched.json"
"""Says what lies in the output, and that it is ours to replace."""
MODEL, REPORT = "model", "report"


@dataclass(frozen=True)
class Copied:
    """What was copied."""

    round: int | None
    model: Path | None
    """None: the run has made no model that counts as best."""
    report: Path


def copy_best(place: Place, output: Path | None) -> Copied:
    """Copy the best model and the report of the run at `place` into `output`, by default a folder named as the run.

    Raises:
        ConfigurationError: the folder holds something else.
        TptError: they cannot be read, or are not what their manifests say.
    """
    run = place.seen()
    target = output or Path(run.name)
    _check(target, f"{run.namespace or 'this machine'}/{run.name}")
    cache = target / UNDER_WAY
    with opened(place, cache) as artifacts:
        artifacts.write_report(cache / "new-report")
        files = artifacts.best_files()
        made = _model(artifacts, files, target) if files else None
    record = {"run": f"{run.namespace or 'this machine'}/{run.name}", "round": artifacts.status.best_round if made else None}
    write_json(target / RECORD, record)  # from here on what lies there is ours
    model = _into_place(made, target / MODEL) if made else None
    report = _into_place(cache / "new-report", target / REPORT)
    shutil.rmtree(cache)
    return Copied(artifacts.status.best_round, model, report)


def _check(target: Path, run: str) -> None:
    """Refuse to replace what `tpt fetch` has not put there, or has put there of another run."""
    record = target / RECORD
    there = next((path for path in (target / MODEL, target / REPORT) if path.exists()), None)
    known = json.loads(record.read_bytes()).get("run") if record.is_file() else None
    if (there is not None and known is None) or known not in (None, run):
        what = f"holds what was fetched of {known}" if known else f"has a {there.name if there else 'model'}/ of its own"
        raise ConfigurationError(f"{target}: {what}, which is not replaced; name another folder by --output")


def _model(artifacts: Artifacts, files: Mapping[str, FileEntry], target: Path) -> Path:
    """Have a copy of the best model below the folder of what is under way, and return it."""
    source = artifacts.root / str(artifacts.status.best_model)
    if artifacts.remote:
        if (target / MODEL).is_dir() and not source.exists():  # what is the same is not fetched again
            source.parent.mkdir(parents=True, exist_ok=True)
            (target / MODEL).replace(source)
        for name in files:  # one after the other: what has come whole stays, whatever becomes of the rest
            artifacts.storage.fetch(source.parent, f"{source.name}/{name}")
        made = source
    else:
        made = shutil.copytree(source, target / UNDER_WAY / "new-model", dirs_exist_ok=True)
    _compare(made, files)
    return made


def _compare(made: Path, files: Mapping[str, FileEntry]) -> None:
    """Compare a copy with the manifest, and remove from it what is of another model.

    Raises:
        ArtifactError: a file is missing, truncated or edited.
    """
    present = {path.relative_to(made).as_posix(): path for path in made.rglob("*") if path.is_file()}
    found = file_entries({name: path for name, path in present.items() if name in files})
    wrong = sorted(name for name, entry in files.items() if found.get(name) != entry)
    if wrong:
        raise ArtifactError(f"{made}: {', '.join(wrong)}: missing, or not what the run has written")
    for name in present.keys() - files.keys():
        present[name].unlink()


def _into_place(made: Path, target: Path) -> Path:
    if target.exists():
        shutil.rmtree(target)
    made.replace(target)
    return target
