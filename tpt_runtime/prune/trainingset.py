"""Grades the samples of the training questions and writes what is to be trained on.

However many samples there are, memory holds a few numbers a prompt, and what is kept: grades go to the disk as they come, and are
written once more where the cap takes out what a prompt had kept.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tpt_runtime.artifacts.files import begin_folder, read_rows, write_json, write_rows
from tpt_runtime.artifacts.manifest import Manifest, verified, write_manifest
from tpt_runtime.artifacts.samples import PromptKey
from tpt_runtime.core import layout
from tpt_runtime.core.configs import PruneConfig, SelectPart
from tpt_runtime.core.rows import Grade, GradedPrompt, Sample
from tpt_runtime.core.spec import Pruning
from tpt_runtime.core.status import Metric, PruneOutcome, PruneSummary
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.prune.figures import SetFigures
from tpt_runtime.prune.grading import Graded
from tpt_runtime.prune.reading import ReadingSample
from tpt_runtime.prune.selection import Candidate, Fate, Selection, tells_of_hint
from tpt_runtime.prune.source import Source
from tpt_runtime.step.context import Context
from tpt_runtime.verify.arithmetic import WITH_EQUATIONS, has_false_equation
from tpt_runtime.verify.likeness import likeness

TRAIN = "train"


def make_training_set(config: PruneConfig, part: SelectPart, context: Context) -> Manifest:
    """Write the folder of `part` and return its manifest, whose summary holds outcome, counts and metrics."""
    root = Path(config.root)
    context.phase("read samples")
    if part.held_out is not None:
        context.storage.fetch(root / part.held_out)
    source = Source.open(root, part, context.storage)
    folder = begin_folder(root / part.path, config.attempt)
    context.phase("grade samples")
    figures, reading = SetFigures(TRAIN, stopped_early=part.stopped_early), ReadingSample(f"train/{part.round}")
    selection = Selection(part.pruning, part.seed, part.round)

    def rows() -> Iterator[GradedPrompt]:
        for graded in source.graded(config.verifier, context):
            figures.add(graded.unaided, strict=graded.strict_applies, distinct=graded.distinct)
            fates = selection.add(graded.key.id, _candidates(graded, part))
            for sample, grade in graded.pairs:
                grade["kept"] = fates[sample["index"]].value
            reading.add(graded)
            yield graded.row

    graded = folder / f".{layout.GRADES}"
    write_rows(graded, rows())
    context.phase("write examples")
    kept = selection.close()
    write_rows(folder / layout.GRADES, _settled(graded, selection))
    graded.unlink()
    write_rows(folder / layout.TRACES, reading.rows(selection.left_out))
    write_rows(folder / layout.TRAINING_SET, source.examples([(PromptKey(TRAIN, i), n) for i, n in kept], part.round))
    if part.held_out is not None:
        verified(root / part.held_out, part.held_out.rpartition("-")[2])
        shutil.copyfile(root / part.held_out / layout.HELD_OUT, folder / layout.HELD_OUT)
    return context.storage.publish(folder, root / part.path, _manifest(folder, part, selection, figures))


def _candidates(graded: Graded, part: SelectPart) -> list[Candidate]:
    question = graded.question.question
    return [_candidate(sample, grade, part.pruning, question) for sample, grade in graded.pairs]


def _candidate(sample: Sample, grade: Grade, pruning: Pruning, question: str) -> Candidate:
    text, verdict = sample["text"], Verdict(grade["verdict"])
    false = verdict is Verdict.CORRECT and pruning.verifier.type in WITH_EQUATIONS and has_false_equation(text)
    alike = likeness(text, pruning.deduplicate, sample["index"])
    return Candidate(
        index=sample["index"],
        verdict=verdict,
        marked=grade["marked"],
        likeness=alike,
        tokens=sample["tokens"],
        logprob=sample["logprob"],
        false_equation=false,
        hinted=sample.get("hinted", False),
        tells_of_hint=sample.get("hinted", False) and tells_of_hint(text, question),
    )


def _settled(path: Path, selection: Selection) -> Iterator[GradedPrompt]:
    """Yield the grades in `path`, corrected where what a prompt had kept was left out after all."""
    changed = {prompt for prompt, _ in selection.left_out}
    row: GradedPrompt
    for row in read_rows(path):
        if row["id"] in changed:
            for index, grade in enumerate(row["grades"]):
                grade["kept"] = selection.left_out.get((row["id"], index), grade["kept"])
        yield row


def _outcome(part: SelectPart, selection: Selection, examples: int) -> PruneOutcome:
    if not selection.correct:
        return PruneOutcome.NO_CORRECT_SAMPLES
    if examples < part.pruning.min_examples:
        return PruneOutcome.TOO_FEW_EXAMPLES
    return PruneOutcome.TRAINABLE


def _manifest(folder: Path, part: SelectPart, selection: Selection, figures: SetFigures) -> Manifest:
    """Write the report and the manifest."""
    examples, metrics = selection.fates[Fate.KEPT], figures.metrics(part.k)
    if selection.correct and part.pruning.verifier.type in WITH_EQUATIONS:
        metrics.append(Metric(name=f"{TRAIN}/falseEquations", value=round(selection.false_equations / selection.correct, 4)))
    outcome = _outcome(part, selection, examples)
    report: dict[str, Any] = {
        "round": part.round,
        "outcome": outcome.value,
        "examples": examples,
        "correct": selection.correct,
        "falseEquations": selection.false_equations,
        "rationalized": selection.rationalized.report(),
        "fates": {fate.value: selection.fates[fate] for fate in Fate},
        "sets": {TRAIN: figures.report(part.k)},
    }
    write_json(folder / layout.PRUNE_REPORT, report)
    summary = PruneSummary(
        digest=part.digest,
        outcome=outcome,
        metrics=metrics,
        samples=figures.counts(),
        examples=examples,
    )
    counts = {"examples": examples, "prompts": len(figures.tallies), "samples": figures.samples}
    return write_manifest(folder, part.digest, summary=summary.full_wire(), counts=counts)
