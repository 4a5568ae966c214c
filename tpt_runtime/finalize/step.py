"""The finalize step. It writes the same folder each time a run ends; one of another ending is replaced."""

from pathlib import Path

from tpt_runtime.artifacts.files import begin_folder, write_atomic, write_json
from tpt_runtime.artifacts.manifest import write_manifest
from tpt_runtime.core.configs import FinalizeConfig
from tpt_runtime.core.status import FinalizeSummary
from tpt_runtime.finalize.gather import fetch_inputs, gather
from tpt_runtime.finalize.publishing import publish_best
from tpt_runtime.finalize.retention import keep_models
from tpt_runtime.report.card import card
from tpt_runtime.report.page import page
from tpt_runtime.report.record import RunRecord
from tpt_runtime.step.context import Context

PAGE = "report.html"
RECORD = "report.json"
CARD = "MODEL_CARD.md"


def finalize(config: FinalizeConfig, context: Context) -> FinalizeSummary:
    """Carry out `config`: write the report, apply retention, publish the best model."""
    final = Path(config.root) / config.path
    manifest = context.storage.manifest(final)
    if manifest is not None and manifest.digest == config.digest:
        context.note("already finalized")
        return FinalizeSummary.from_wire(manifest.summary)
    context.phase("fetch")
    fetch_inputs(config, context.storage)
    context.phase("report")
    folder = begin_folder(final, config.attempt)
    record = gather(config)
    write_report(record, folder)
    context.check()
    context.phase("retention")
    kept, removed = keep_models(config, context)
    published = publish_best(config, record, context)
    seconds = context.finish_phases()
    summary = FinalizeSummary(digest=config.digest, kept=kept, removed=removed, published=published, seconds=seconds)
    written = write_manifest(folder, config.digest, summary=summary.full_wire())
    return FinalizeSummary.from_wire(context.storage.publish(folder, final, written).summary)


def write_report(record: RunRecord, folder: Path) -> None:
    """Write page, record and model card into `folder`."""
    import vl_convert

    javascript = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    write_json(folder / RECORD, record.full_wire())
    write_atomic(folder / CARD, card(record).encode())
    write_atomic(folder / PAGE, page(record, javascript).encode())
