"""Grades the samples of the training questions and writes what is to be trained on.

Samples are read twice: once to be graded (only verdicts and each text's likeness stay in memory), once more to write out what was
kept.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tpt_runtime.artifacts.files import fresh_folder, partial_folder, publish_folder, write_json, write_rows
from tpt_runtime.artifacts.manifest import Manifest, verified, write_manifest
from tpt_runtime.core import layout
from tpt_runtime.core.configs import PruneConfig, SelectPart
from tpt_runtime.core.rows import Example, GradedPrompt
from tpt_runtime.core.status import PruneOutcome, PruneSummary
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.prune.figures import SetFigures
from tpt_runtime.prune.grading import Graded
from tpt_runtime.prune.reading import ReadingSample
from tpt_runtime.prune.selection import Candidate, Fate, Selection, likeness, select
from tpt_runtime.prune.source import Source
from tpt_runtime.step.context import Context


def make_training_set(config: PruneConfig, part: SelectPart, context: Context) -> Manifest:
    """Write the folder of `part` and return its manifest, whose summary holds outcome, counts and metrics."""
    root = Path(config.root)
    context.phase("read samples")
    source = Source.open(root, part)
    folder = fresh_folder(partial_folder(root / part.path, config.attempt))
    context.phase("grade samples")
    figures, reading = SetFigures("train"), ReadingSample(f"train/{part.round}")
    graded_rows: list[GradedPrompt] = []
    candidates: list[tuple[str, list[Candidate]]] = []
    for graded in source.graded(config.verifier, context):
        figures.add(graded.row, strict=graded.strict_applies, distinct=graded.distinct)
        reading.add(graded)
        graded_rows.append(graded.row)
        candidates.append((graded.row["id"], _candidates(graded, part)))
    selection = select(candidates, part.pruning, part.seed, part.round)
    context.phase("write examples")
    _write(folder, part, source, (graded_rows, selection, reading))
    if part.held_out is not None:
        verified(root / part.held_out, part.held_out.rpartition("-")[2])
        shutil.copyfile(root / part.held_out / layout.HELD_OUT, folder / layout.HELD_OUT)
    return _publish(root, folder, part, selection, figures)


def _candidates(graded: Graded, part: SelectPart) -> list[Candidate]:
    pairs = zip(graded.sampled["samples"], graded.row["grades"], strict=True)
    how = part.pruning.deduplicate
    return [
        Candidate(
            sample["index"],
            Verdict(grade["verdict"]),
            grade["marked"],
            likeness(sample["text"], how, sample["index"]),
        )
        for sample, grade in pairs
    ]


def _write(folder: Path, part: SelectPart, source: Source, graded: tuple[list[GradedPrompt], Selection, ReadingSample]) -> None:
    rows, selection, reading = graded
    for row in rows:
        for index, grade in enumerate(row["grades"]):
            grade["kept"] = selection.fates[row["id"], index].value
    write_rows(folder / layout.GRADES, rows)
    write_rows(folder / layout.TRACES, reading.rows(selection.fates))
    write_rows(folder / layout.TRAINING_SET, _examples(part, source, selection))


def _examples(part: SelectPart, source: Source, selection: Selection) -> Iterator[Example]:
    """Yield the examples in training order; only those kept are held in memory, the cap bounds them."""
    wanted = set(selection.kept)
    found: dict[tuple[str, int], Example] = {}
    for sampled in source.samples():
        for sample in sampled["samples"]:
            if (sampled["id"], sample["index"]) in wanted:
                found[sampled["id"], sample["index"]] = source.example(sampled, sample, part.round)
    return (found[pair] for pair in selection.kept)


def _outcome(part: SelectPart, selection: Selection) -> PruneOutcome:
    if not selection.correct:
        return PruneOutcome.NO_CORRECT_SAMPLES
    if len(selection.kept) < part.pruning.min_examples:
        return PruneOutcome.TOO_FEW_EXAMPLES
    return PruneOutcome.TRAINABLE


def _publish(root: Path, folder: Path, part: SelectPart, selection: Selection, figures: SetFigures) -> Manifest:
    outcome = _outcome(part, selection)
    fates = list(selection.fates.values())
    report: dict[str, Any] = {
        "round": part.round,
        "outcome": outcome.value,
        "examples": len(selection.kept),
        "fates": {fate.value: fates.count(fate) for fate in Fate},
        "sets": {"train": figures.report(part.k)},
    }
    write_json(folder / layout.PRUNE_REPORT, report)
    summary = PruneSummary(
        digest=part.digest,
        outcome=outcome,
        metrics=figures.metrics(part.k),
        samples=figures.counts(),
        examples=len(selection.kept),
    )
    counts = {"examples": len(selection.kept), "prompts": len(figures.tallies), "samples": figures.samples}
    manifest = write_manifest(folder, part.digest, summary=summary.full_wire(), counts=counts)
    publish_folder(folder, root / part.path)
    return manifest
