"""The prepare step from end to end. It needs a tokenizer, but neither a GPU nor torch."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tpt_runtime.artifacts.basemodel import record_base_model
from tpt_runtime.artifacts.files import begin_folder, write_rows
from tpt_runtime.artifacts.manifest import write_manifest
from tpt_runtime.core.choices import VerifierType
from tpt_runtime.core.configs import PrepareConfig
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.layout import CONTAMINATED, SETS
from tpt_runtime.core.rows import PreparedPrompt
from tpt_runtime.core.spec import Dataset
from tpt_runtime.core.status import PrepareSummary, Resolved
from tpt_runtime.prepare.basemodel import BaseModel, check_model, context_length, copy_tokenizer, load_tokenizer
from tpt_runtime.prepare.contamination import Contamination
from tpt_runtime.prepare.hints import Hints
from tpt_runtime.prepare.prompts import Room, in_batches, write_prompts
from tpt_runtime.prepare.questions import DEFAULT_FRACTION, Fields, Question, hold_out, read_questions, without
from tpt_runtime.prepare.render import Renderer, Tokenizer
from tpt_runtime.prepare.sources import Sources, data_sources
from tpt_runtime.step.context import Context
from tpt_runtime.verify.machine import check_machine
from tpt_runtime.verify.protocol import verifier_of
from tpt_runtime.verify.references import References

STRUCTURED = (VerifierType.CODE, VerifierType.COMMAND)
"""Verifiers whose references may be lists and objects."""


def prepare(config: PrepareConfig, context: Context) -> PrepareSummary:
    """Carry out `config`: write its folder, or find it finished."""
    root = Path(config.root)
    final = root / config.path
    if done := context.storage.finished(final, config.digest):
        context.note("already prepared")
        return PrepareSummary.from_wire(done.summary)
    if gap := check_machine(config.verifier):
        context.warn(gap)
    # Data comes first: a mistake in it is found before a large model is downloaded.
    context.phase("read data")
    partial = begin_folder(final, config.attempt)
    sources = Sources(config.storage, final.with_name(f"{final.name}.downloads"), config.storage_secret)
    questions, counts = read_data(config, sources)
    counts |= _decontaminate(config, questions, partial)
    for sentence in in_words(counts):
        context.warn(sentence)
    context.check()
    context.phase("fetch model")
    model, downloaded = sources.model_folder(config.model)
    shown = f"spec.model.uri: {config.model.uri}"
    limit = context_length(check_model(model, shown))
    context.phase("load tokenizer")
    copy_tokenizer(model, partial / "tokenizer")
    tokenizer = load_tokenizer(partial / "tokenizer", shown)
    context.check()
    context.phase("tokenize")
    counts |= _write_prompts(config, questions, (tokenizer, limit), partial, context)
    context.check()
    context.phase("hash model")
    summary = _publish(config, partial, BaseModel.of(model, downloaded=downloaded), (sources, counts), context)
    shutil.rmtree(sources.downloads, ignore_errors=True)
    return summary


def read_data(config: PrepareConfig, sources: Sources) -> tuple[dict[str, list[Question]], dict[str, int]]:
    """Return the questions of train, validation and eval, and how many were left out for what reason."""
    counts: dict[str, int] = {}
    questions: dict[str, list[Question]] = {}
    with References(verifier_of(config.verifier), config.verifier.timeout_seconds) as references:
        for name, source in data_sources(config.dataset).items():
            shown = f"spec.dataset.{name} ({source.uri})"
            fields = Fields(shown, source.prompt_field, source.answer_field, config.verifier.type in STRUCTURED)
            renderer = Renderer.of(config.dataset.prompt, source.prompt_field)
            questions[name], repeated = read_questions(sources.rows(name, source), fields, renderer, references.check)
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
    _check_number(len(kept), config)
    questions["train"] = kept
    return questions, counts


def _decontaminate(config: PrepareConfig, questions: dict[str, list[Question]], folder: Path) -> dict[str, int]:
    """Take out of train what resembles a question of validation or eval, write a report of it, and return how many those are."""
    if config.dataset.decontaminate is None:
        return {}
    contamination = Contamination(config.dataset.decontaminate.ngram)
    for name, measured in questions.items():
        if name != "train":
            contamination.measure(name, measured)
    contaminated = [found for question in questions["train"] if (found := contamination.find(question))]
    write_rows(folder / CONTAMINATED, (found.row() for found in contaminated))
    questions["train"] = without(questions["train"], (found.question for found in contaminated))
    _check_number(len(questions["train"]), config)
    counts = {"trainContaminated": len(contaminated), "tooShortToCompare": contamination.too_short}
    return {name: count for name, count in counts.items() if count}


def _check_number(questions: int, config: PrepareConfig) -> None:
    """Refuse a training set of which no round can keep enough: found out after sampling, that would cost hours."""
    most = questions * config.examples_per_prompt
    if most < config.min_examples:
        raise ConfigurationError(
            f"spec.pruning.minExamples: {config.min_examples}, but of {questions} training questions a round keeps {most} "
            f"examples at most ({config.examples_per_prompt} of each); lower it, or give more questions"
        )


def in_words(counts: Mapping[str, int]) -> Iterator[str]:
    """Yield a sentence for everything that is odd about the data."""
    for name in SETS:
        if repeated := counts.get(f"{name}Repeated"):
            yield f"{repeated} rows of {name} repeat an earlier question: each question is taken once"
    if overlapping := counts.get("trainOverlapping"):
        yield f"{overlapping} training questions also stand in validation or eval: not trained on"
    if contaminated := counts.get("trainContaminated"):
        yield f"{contaminated} training questions resemble one of validation or eval: not trained on, see {CONTAMINATED}"
    if short := counts.get("tooShortToCompare"):
        yield f"{short} questions of validation and eval have too few words to be compared with (dataset.decontaminate.ngram)"
    if shared := counts.get("validationInEval"):
        yield f"{shared} validation questions also stand in eval: the best model is chosen by questions that eval reports on"


def _fraction(dataset: Dataset) -> float:
    return DEFAULT_FRACTION if dataset.validation.fraction is None else dataset.validation.fraction


def _write_prompts(
    config: PrepareConfig,
    questions: dict[str, list[Question]],
    model: tuple[Tokenizer, int | None],
    folder: Path,
    context: Context,
) -> dict[str, int]:
    """Write the prompts of every set that fit the model, and return how many there are and how many do not fit."""
    tokenizer, limit = model
    counts: dict[str, int] = {}
    total, done = sum(map(len, questions.values())), 0

    def rows(found: list[Question], hints: Hints | None) -> Iterator[PreparedPrompt]:
        nonlocal done
        for batch in in_batches(config.dataset, found, tokenizer, hints):
            yield from batch
            done += len(batch)
            context.progress(done, total)
            context.check()

    hints = Hints(config, tokenizer, limit)
    for name, found in questions.items():
        room = Room(limit, config.max_tokens)
        counts[name] = write_prompts(folder / f"{name}.jsonl", rows(found, hints if name == "train" else None), room)
        counts |= {f"{name}TooLong": room.too_long} if room.too_long else {}
        room.warn(name, context)
    hints.warn(context)
    return counts | hints.counts


def _publish(
    config: PrepareConfig, partial: Path, model: BaseModel, found: tuple[Sources, dict[str, int]], context: Context
) -> PrepareSummary:
    """Write the manifest, put the model in its place, and let the folder appear."""
    sources, counts = found
    # What lies behind a link is not the run's; but in an object store there are no links.
    copied = model.downloaded or context.storage.objects is not None
    record_base_model(partial, model.files, None if copied else model.folder)
    context.phase("publish")
    revisions = dict(sources.revisions)
    resolved: dict[str, Any] = {"counts": counts, "data_revisions": {k: v for k, v in revisions.items() if k != "model"}}
    summary = PrepareSummary(
        digest=config.digest,
        seconds=context.finish_phases(),
        resolved=Resolved(model_revision=revisions.get("model"), **resolved),
    )
    known = {f"model/{name}": entry for name, entry in model.files.items()} if copied else {}
    manifest = write_manifest(partial, config.digest, summary=summary.full_wire(), counts=counts, known=known)
    # A download is moved last of all: until then whatever happens leaves it where the next attempt looks for it.
    model.place(partial / "model")
    in_force = context.storage.publish(partial, Path(config.root) / config.path, manifest)
    return PrepareSummary.from_wire(in_force.summary)
