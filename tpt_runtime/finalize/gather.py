"""Collects what a report shows from a run's artifacts; one that was not made is left out, a broken one is an error."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tpt_runtime.artifacts.files import read_rows
from tpt_runtime.artifacts.manifest import read_manifest
from tpt_runtime.artifacts.samples import SHARD_MANIFESTS
from tpt_runtime.artifacts.storage import Storage
from tpt_runtime.core import layout
from tpt_runtime.core.configs import FinalizeConfig
from tpt_runtime.core.errors import ArtifactError
from tpt_runtime.core.model import fixed_settings
from tpt_runtime.core.spec import Spec
from tpt_runtime.core.status import Metric, PruneSummary, TrainSummary
from tpt_runtime.finalize.changes import changes
from tpt_runtime.report.record import RoundRecord, RunRecord, Trace

TRACES_SHOWN = 12
"""Traces of each round, set and verdict that the page shows at most; more lie in the rounds' traces.jsonl."""
QUESTIONS_FOLLOWED = 24
"""Questions whose traces of all rounds are shown."""
MOST_TRACES = 2000
"""Of a page, so that it stays one that a browser opens at once: of many rounds fewer are shown of each."""


def fetch_inputs(config: FinalizeConfig, storage: Storage) -> None:
    """Have here what a report is made of: of a training its manifest only, and samples of the models that are compared."""
    root = Path(config.root)
    for number, folders in enumerate(config.rounds):
        if "train" in folders:
            storage.manifest(root / folders["train"])
        for kind in ("grade", "prune"):
            if kind in folders and storage.manifest(root / folders[kind]):
                storage.fetch(root / folders[kind])
        if config.best_round and number in (0, config.best_round):
            storage.fetch_samples(root / folders["evaluate"], SHARD_MANIFESTS)
    prepared = (root / config.rounds[0]["model"]).parent
    if manifest := storage.manifest(prepared):
        storage.fetch(prepared, *(name for name in manifest.files if "/" not in name))


def gather(config: FinalizeConfig) -> RunRecord:
    """Return the record of the run that `config` describes."""
    root = Path(config.root)
    spec = Spec.model_validate(config.spec)
    rounds = [_round(root, number, config.rounds, config.seconds.get(number, {})) for number in range(len(config.rounds))]
    while len(rounds) > 1 and rounds[-1] == RoundRecord(round=len(rounds) - 1):
        rounds.pop()
    record = RunRecord(
        run=config.run,
        namespace=config.namespace,
        metric=spec.objective.metric,
        rounds=rounds,
        best_round=config.best_round,
        prompts=_prompts(root, config.rounds[0]["model"]),
        settings=fixed_settings(spec),
        **_traces(root, config.rounds),
    )
    return record.model_copy(update=changes(root, config) if config.best_round else {})


def _prompts(root: Path, base_model: str) -> dict[str, int]:
    """Return what prepare counted; the base model lies in its folder."""
    manifest = read_manifest((root / base_model).parent)
    return manifest.counts if manifest else {}


def _round(root: Path, number: int, folders: list[dict[str, str]], seconds: dict[str, float]) -> RoundRecord:
    """Return round `number`: its model's figures, and the samples that it was trained on."""
    mine = folders[number]
    metrics: list[Metric] = []
    selected: dict[str, Any] = {}
    if trained := _summary(root, mine.get("train")):
        metrics += TrainSummary.from_wire(trained).metrics
    if graded := _summary(root, mine["grade"]):
        metrics = PruneSummary.from_wire(graded).metrics + metrics
    if chosen := _summary(root, mine.get("prune")):
        summary = PruneSummary.from_wire(chosen)
        selected = {"samples": summary.samples, "examples": summary.examples}
        selected |= _selected(root / mine["prune"] / layout.PRUNE_REPORT)
    return RoundRecord(round=number, metrics=metrics, seconds=seconds, **selected)


def _selected(path: Path) -> dict[str, Any]:
    """Return what a round's prune report says beyond its summary: what became of the samples, and how hard the questions were."""
    try:
        report = json.loads(path.read_bytes())
        return {"fates": report["fates"], "difficulty": report["sets"]["train"]["difficulty"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: cannot be read ({error!r}); delete {path.parent} to make it again") from error


def _summary(root: Path, folder: str | None) -> dict[str, Any] | None:
    manifest = read_manifest(root / folder) if folder else None
    return manifest.summary if manifest else None


def _traces(root: Path, rounds: list[dict[str, str]]) -> dict[str, Any]:
    """Return the fields of `RunRecord` about traces: some of what the rounds have kept to be read, and all of a few questions."""
    found = [trace for number, folders in enumerate(rounds) for trace in _round_traces(root, number, folders)]
    followed = _followed(found)
    shown: dict[tuple[int, str, str], list[Trace]] = {}
    for trace in found:
        if (trace.set, trace.id) not in followed:
            shown.setdefault((trace.round, trace.set, trace.verdict), []).append(trace)
    chosen = [trace for trace in found if (trace.set, trace.id) in followed]
    each = min(TRACES_SHOWN, max(1, (MOST_TRACES - len(chosen)) // max(1, len(shown))))
    chosen += [trace for traces in shown.values() for trace in traces[:each]]
    counts = [(row["set"], len(row["grades"])) for folders in rounds for row in _grades(root, folders)]
    totals: dict[str, int] = {}
    for data_set, count in counts:
        totals[data_set] = totals.get(data_set, 0) + count
    return {"traces": chosen[:MOST_TRACES], "traces_from": totals}


def _followed(found: list[Trace]) -> set[tuple[str, str]]:
    """Return the questions, by set and id, that several rounds have traces of: those seen most often, as many as are shown."""
    rounds: dict[tuple[str, str], set[int]] = {}
    for trace in found:
        rounds.setdefault((trace.set, trace.id), set()).add(trace.round)
    often = sorted((key for key, seen in rounds.items() if len(seen) > 1), key=lambda key: (-len(rounds[key]), key))
    return set(often[:QUESTIONS_FOLLOWED])


def _folders(root: Path, folders: dict[str, str]) -> list[Path]:
    """Return the folders of a round that hold grades, those that are complete."""
    named = [root / folders[kind] for kind in ("grade", "prune") if kind in folders]
    return [folder for folder in named if read_manifest(folder) is not None]


def _grades(root: Path, folders: dict[str, str]) -> Iterator[dict[str, Any]]:
    for folder in _folders(root, folders):
        yield from read_rows(folder / layout.GRADES)


def _round_traces(root: Path, number: int, folders: dict[str, str]) -> Iterator[Trace]:
    for folder in _folders(root, folders):
        for row in read_rows(folder / layout.TRACES):
            fields = {name: row[name] for name in _TRACE_FIELDS if name in row}
            right, of = row["correctOf"]
            yield Trace(round=number, right=right, of=of, **fields)


_TRACE_FIELDS = ("id", "set", "sample", "question", "reference", "solution", "verdict", "kept", "answer")
