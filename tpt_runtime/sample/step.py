"""The sample step from end to end: what is done already is found, the rest is generated in one engine start.

A shard whose parts are all finished says so without importing torch or vLLM.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

from tpt_runtime.artifacts.basemodel import check_base_model
from tpt_runtime.artifacts.manifest import Manifest
from tpt_runtime.core.choices import SamplingEngine
from tpt_runtime.core.configs import SampleConfig
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.rows import Sample
from tpt_runtime.core.status import SampleSummary
from tpt_runtime.sample.chunks import Shard
from tpt_runtime.sample.courses import Course, Judge
from tpt_runtime.sample.engine import Engine, EngineSettings, Generated, Request, open_engine
from tpt_runtime.sample.feeding import Feeding, Job, Meter, Pace, monotonic
from tpt_runtime.sample.modelfolder import ModelFolder, special_ids
from tpt_runtime.sample.part import Part
from tpt_runtime.sample.tokens import Endings, Tokenizer
from tpt_runtime.step.context import Context

OpenEngine = Callable[[SamplingEngine, EngineSettings], Engine]


def sample(
    config: SampleConfig, context: Context, open_engine: OpenEngine = open_engine, pace: Pace | None = None
) -> SampleSummary:
    """Carry out this process's shard of `config`, or find it done.

    Args:
        config: what to sample, from which model.
        context: the step's surroundings; its index is the shard.
        open_engine: starts the engine; only called if a sample is missing.
        pace: how often samples are written.

    Raises:
        ConfigurationError: the model or the engine cannot be used, or the base model was changed.
        ArtifactError: prompts, or samples that are there, are damaged.
        Interrupted: stopped on request; what had finished is written.
    """
    shard = Shard(context.index, config.shards)
    root = Path(config.root)
    if not config.parts:
        raise ConfigurationError("the sample step was told nothing to sample: parts is empty")
    done = {part.digest: context.storage.finished(root / part.path, part.digest, shard.manifest) for part in config.parts}
    if all(done.values()):
        context.note("already sampled")
        manifests = [manifest for manifest in done.values() if manifest is not None]
        return _summary(config, shard, manifests, manifests[-1].summary.get("seconds", {}))
    context.phase("read prompts")
    parts = [Part(config, settings, shard, context.storage) for settings in config.parts if done[settings.digest] is None]
    if any(part.pending for part in parts):
        _generate(config, parts, context, open_engine, pace or Pace())
    context.phase("publish")
    seconds = context.finish_phases()
    done |= {part.settings.digest: part.finish(seconds) for part in parts}
    manifests = [manifest for part in config.parts if (manifest := done[part.digest]) is not None]
    return _summary(config, shard, manifests, context.finish_phases())


def _generate(config: SampleConfig, parts: Sequence[Part], context: Context, open_engine: OpenEngine, pace: Pace) -> None:
    context.phase("fetch model")
    folder = Path(config.root) / config.model
    context.storage.fetch(folder.parent, folder.name)
    context.phase("engine start")
    check_base_model(folder.parent)
    model = ModelFolder.open(folder)
    tokenizer = model.load_tokenizer()
    ends = model.end_ids(tokenizer)
    settings = EngineSettings(
        model=model.path,
        context=_longest_sequence(model, parts),
        tensor_parallel_size=config.tensor_parallel_size,
        log=lambda level, message: context.journal.event("log", level=level, message=message),
    )
    context.check()
    engine = open_engine(config.engine, settings)
    try:
        context.check()
        context.phase("generate")
        with ExitStack() as judges:
            told = {part: judges.enter_context(Judge(part.settings.pruning)) for part in parts if part.settings.pruning}
            jobs = chain.from_iterable(jobs_of(part, tokenizer, ends, told.get(part)) for part in parts)
            Feeding(jobs, meter_of(parts), pace).run(engine, context)
        context.phase("engine stop")
    finally:
        engine.close()


def _longest_sequence(model: ModelFolder, parts: Sequence[Part]) -> int:
    """Return the longest sequence that can occur, in tokens: the engine need not make room for more.

    Raises:
        ConfigurationError: a prompt leaves no room for a single new token.
    """
    wanted = max(part.longest_prompt + part.settings.max_tokens for part in parts)
    longest = min(wanted, model.context or wanted)
    longest_prompt = max(part.longest_prompt for part in parts)
    if longest_prompt >= longest:
        raise ConfigurationError(
            f"a prompt of {longest_prompt} tokens fills the context of {longest} tokens of {model.path}; this model's context is "
            "shorter than that of the model that the prompts were prepared for"
        )
    return longest


def jobs_of(part: Part, tokenizer: Tokenizer, ends: tuple[int, ...], judge: Judge | None = None) -> Iterator[Job]:
    """Yield the first job of every pending prompt of `part`.

    Args:
        part: whose prompts.
        tokenizer: the model's.
        ends: the tokens that end a sequence, the tokenizer's own first.
        judge: says when a prompt has enough, where it may stop early.
    """
    stop = tuple(part.settings.stop)
    stop_ids = frozenset(ends) | special_ids(tokenizer, stop)
    endings = Endings(tokenizer, stop, stop_ids, ends[0])

    def finish(request: Request, generated: list[Generated]) -> list[Sample]:
        return endings.samples(request.prompt_ids, generated, request.first)

    for request, key in part.requests(stop_ids):
        whole = Job(request, key, part, finish, part.settings.samples_per_prompt)
        if judge is None:
            yield whole
            continue
        second = part.second_try(key, request)
        yield Course(request, part.reference(key), judge, part.settings.strategy, second).begin(whole)


def meter_of(parts: Sequence[Part]) -> Meter:
    """Return a meter that counts all samples of `parts`, and begins with those that are done."""
    total = sum(len(part) * part.settings.samples_per_prompt for part in parts)
    pending = sum(len(part.pending) * part.settings.samples_per_prompt for part in parts)
    return Meter(total, total - pending, monotonic)


def _summary(config: SampleConfig, shard: Shard, manifests: Sequence[Manifest], seconds: Mapping[str, float]) -> SampleSummary:
    """Return one summary of all parts, whoever sampled them, under the digest of the last one."""
    counts = {name: sum(manifest.counts.get(name, 0) for manifest in manifests) for name in ("prompts", "samples", "tokens")}
    return SampleSummary(step=config.step, digest=config.parts[-1].digest, shard=shard.index, seconds=dict(seconds), **counts)
