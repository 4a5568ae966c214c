"""The prepare step from end to end. It needs a tokenizer, but neither a GPU nor torch."""

import os
import shutil
from pathlib import Path
from typing import Any

from tpt_runtime.artifacts.files import fresh_folder, partial_folder, publish_folder, write_json, write_rows
from tpt_runtime.artifacts.manifest import file_entry, finished, write_manifest
from tpt_runtime.core.configs import PrepareConfig
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.rows import PreparedPrompt
from tpt_runtime.core.spec import Dataset
from tpt_runtime.core.status import PrepareSummary, Resolved
from tpt_runtime.prepare.basemodel import check_model, context_length, copy_tokenizer, load_tokenizer
from tpt_runtime.prepare.questions import DEFAULT_FRACTION, Fields, Question, hold_out, read_questions, without
from tpt_runtime.prepare.render import Renderer, Tokenizer
from tpt_runtime.prepare.sources import Sources, data_sources
from tpt_runtime.step.context import Context
from tpt_runtime.verify.protocol import verifier

BASE_MODEL_FILES = "model.json"
"""Size and SHA-256 of every file of the base model: which model this run really began with."""
BATCH = 1000


def prepare(config: PrepareConfig, context: Context) -> PrepareSummary:
    """Carry out `config`: write its folder, or find it finished."""
    root = Path(config.root)
    final = root / config.path
    if done := finished(final, config.digest):
        context.note("already prepared")
        return PrepareSummary.from_wire(done.summary)
    partial = fresh_folder(partial_folder(final, config.attempt))
    sources = Sources(Path(config.storage), root / "downloads")
    context.phase("fetch model")
    model, downloaded = sources.model_folder(config.model)
    shown = f"spec.model.uri: {config.model.uri}"
    limit = context_length(check_model(model, shown))
    tokenizer = load_tokenizer(model, shown)
    context.check()
    context.phase("read data")
    questions, counts = read_data(config, sources)
    context.check()
    context.phase("tokenize")
    counts |= _write_prompts(config, questions, (tokenizer, limit), partial, context)
    context.check()
    context.phase("base model")
    _place_model(model, partial, downloaded=downloaded)
    context.phase("publish")
    return _publish(config, partial, sources, counts, context)


def read_data(config: PrepareConfig, sources: Sources) -> tuple[dict[str, list[Question]], dict[str, int]]:
    """Return the questions of train, validation and eval, and how many were left out for what reason."""
    counts: dict[str, int] = {}
    questions: dict[str, list[Question]] = {}
    check = verifier(config.verifier.type.value).check_reference
    for name, source in data_sources(config.dataset).items():
        fields = Fields(f"spec.dataset.{name} ({source.uri})", source.prompt_field, source.answer_field)
        renderer = Renderer.of(config.dataset.prompt, source.prompt_field)
        questions[name], repeated = read_questions(sources.rows(name, source), fields, renderer, check)
        counts |= {f"{name}Repeated": repeated} if repeated else {}
    return _split(config, questions, counts)


def _split(
    config: PrepareConfig, questions: dict[str, list[Question]], counts: dict[str, int]
) -> tuple[dict[str, list[Question]], dict[str, int]]:
    """Take out of train what also stands in validation or eval, then hold out the validation set if it has no file of its own."""
    train = questions["train"]
    others = [q for name, found in questions.items() if name != "train" for q in found]
    kept = without(train, others)
    if len(kept) < len(train):
        counts["trainOverlapping"] = len(train) - len(kept)
    if not kept:
        raise ConfigurationError("spec.dataset.train: every question also stands in validation or eval; none is left to train on")
    if "validation" in questions and "eval" in questions:
        both = len(questions["validation"]) - len(without(questions["validation"], questions["eval"]))
        counts |= {"validationInEval": both} if both else {}
    if "validation" not in questions:
        kept, questions["validation"] = hold_out(kept, _fraction(config.dataset), config.seed)
    questions["train"] = kept
    return questions, counts


def _fraction(dataset: Dataset) -> float:
    return DEFAULT_FRACTION if dataset.validation.fraction is None else dataset.validation.fraction


def _write_prompts(
    config: PrepareConfig,
    questions: dict[str, list[Question]],
    model: tuple[Tokenizer, int | None],
    folder: Path,
    context: Context,
) -> dict[str, int]:
    tokenizer, limit = model
    counts: dict[str, int] = {}
    total, done = sum(map(len, questions.values())), 0
    for name, found in questions.items():
        rows: list[PreparedPrompt] = []
        for start in range(0, len(found), BATCH):
            rows += render_prompts(config.dataset, found[start : start + BATCH], tokenizer)
            done += len(found[start : start + BATCH])
            context.progress(done, total)
            context.check()
        fitting = [row for row in rows if limit is None or len(row["promptIds"]) < limit]
        if len(fitting) < len(rows):
            counts[f"{name}TooLong"] = len(rows) - len(fitting)
            context.warn(f"{len(rows) - len(fitting)} {name} prompts fill the model's context of {limit} tokens: skipped")
        if not fitting:
            raise ConfigurationError(
                f"spec.dataset.{name}: every prompt fills the model's context of {limit} tokens; none is left to sample"
            )
        counts[name] = write_rows(folder / f"{name}.jsonl", fitting)
    return counts


def render_prompts(dataset: Dataset, questions: list[Question], tokenizer: Tokenizer) -> list[PreparedPrompt]:
    """Return what the model will see of `questions`, as text and as token ids."""
    renderer = Renderer(dataset.prompt, "", None)
    texts = [renderer.model_text(tokenizer, question.text) for question in questions]
    ids = renderer.token_ids(tokenizer, texts)
    return [
        PreparedPrompt(id=q.id, question=q.question, prompt=text, promptIds=tokens, reference=q.reference)
        for q, text, tokens in zip(questions, texts, ids, strict=True)
    ]


def _place_model(model: Path, folder: Path, *, downloaded: bool) -> None:
    """Put the base model at `folder`/model: moved there if it was downloaded, else a link to where it lies."""
    copy_tokenizer(model, folder / "tokenizer")
    files = sorted(path for path in model.rglob("*") if path.is_file() and ".cache" not in path.parts)
    entries = {path.relative_to(model).as_posix(): file_entry(path).wire() for path in files}
    write_json(folder / BASE_MODEL_FILES, entries)
    if downloaded:
        shutil.rmtree(model / ".cache", ignore_errors=True)
        model.rename(folder / "model")
    else:
        (folder / "model").symlink_to(os.path.relpath(model.resolve(), folder.resolve()), target_is_directory=True)


def _publish(config: PrepareConfig, partial: Path, sources: Sources, counts: dict[str, int], context: Context) -> PrepareSummary:
    revisions = dict(sources.revisions)
    resolved: dict[str, Any] = {"counts": counts, "data_revisions": {k: v for k, v in revisions.items() if k != "model"}}
    summary = PrepareSummary(
        digest=config.digest,
        seconds=context.finish_phases(),
        resolved=Resolved(model_revision=revisions.get("model"), **resolved),
    )
    write_manifest(partial, config.digest, summary=summary.full_wire(), counts=counts)
    publish_folder(partial, Path(config.root) / config.path)
    shutil.rmtree(sources.downloads, ignore_errors=True)
    return summary
