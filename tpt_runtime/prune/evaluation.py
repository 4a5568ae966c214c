"""Grades the evaluation of one model: its figures, its grades, and traces for the held-out loss and for reading."""

from collections.abc import Iterator
from pathlib import Path

from tpt_runtime.artifacts.files import begin_folder, read_rows, write_json, write_rows
from tpt_runtime.artifacts.manifest import Manifest, verified, write_manifest
from tpt_runtime.artifacts.samples import PromptKey
from tpt_runtime.core import layout
from tpt_runtime.core.configs import GradePart, PruneConfig
from tpt_runtime.core.rows import GradedPrompt
from tpt_runtime.core.status import Comparison, PruneOutcome, PruneSummary
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.prune.figures import SetFigures, compare
from tpt_runtime.prune.reading import ReadingSample
from tpt_runtime.prune.source import Source
from tpt_runtime.step.context import Context
from tpt_runtime.verify.passk import Tally

HELD_OUT_EXAMPLES = 200
"""Most correct validation traces that the held-out loss is measured on, as in public code of the method."""


def evaluate(config: PruneConfig, part: GradePart, context: Context) -> Manifest:
    """Write the folder of `part` and return its manifest, whose summary holds metrics and comparison."""
    root = Path(config.root)
    context.phase("read evaluation")
    if part.compare_path is not None:
        context.storage.fetch(root / part.compare_path)
    source = Source.open(root, part, context.storage)
    folder = begin_folder(root / part.path, config.attempt)
    sets = {name: SetFigures(name) for name in part.prompts}
    reading = ReadingSample(f"evaluate/{part.round}")
    held_out: list[tuple[PromptKey, int]] = []

    def rows() -> Iterator[GradedPrompt]:
        for graded in source.graded(config.verifier, context):
            figures = sets[graded.key.set]
            figures.add(graded.row, strict=graded.strict_applies, distinct=graded.distinct)
            reading.add(graded)
            if graded.key.set == "validation" and graded.correct and len(held_out) < HELD_OUT_EXAMPLES:
                held_out.append((graded.key, graded.correct[0]))
            yield graded.row

    context.phase("grade evaluation")
    write_rows(folder / layout.GRADES, rows())
    write_rows(folder / layout.HELD_OUT, source.examples(held_out, part.round))
    write_rows(folder / layout.TRACES, reading.rows())
    comparison = _comparison(config, part, sets["validation"], root)
    metrics = [metric for figures in sets.values() for metric in figures.metrics(part.k)]
    report = {name: figures.report(part.k) for name, figures in sets.items()}
    write_json(folder / layout.PRUNE_REPORT, {"round": part.round, "sets": report})
    summary = PruneSummary(digest=part.digest, outcome=PruneOutcome.GRADED_ONLY, metrics=metrics, comparison=comparison)
    counts = {name: len(figures.tallies) for name, figures in sets.items()}
    manifest = write_manifest(folder, part.digest, summary=summary.full_wire(), counts=counts)
    return context.storage.publish(folder, root / part.path, manifest)


def _comparison(config: PruneConfig, part: GradePart, mine: SetFigures, root: Path) -> Comparison | None:
    """Compare with the best earlier model on the validation questions that both answered."""
    if part.compare_path is None or part.compare_round is None:
        return None
    other = root / part.compare_path
    verified(other, part.compare_path.rpartition("-")[2])
    tallies = {}
    for row in read_rows(other / layout.GRADES):
        if row["set"] == "validation":
            right = sum(grade["verdict"] == Verdict.CORRECT for grade in row["grades"])
            tallies[row["id"]] = Tally(len(row["grades"]), right)
    return compare(mine.tallies, tallies, int(config.metric.removeprefix("pass@")), part.compare_round)
