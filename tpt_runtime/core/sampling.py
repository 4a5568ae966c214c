"""The part of the schema that says how solutions are sampled, to train on and to measure a model by.

It belongs to `spec.py`, where the rest of what a user writes stands.
"""

from typing import Annotated

from pydantic import Field

from tpt_runtime.core.choices import SamplingEngine, Strategy
from tpt_runtime.core.model import MUTABLE, LongText, Model
from tpt_runtime.core.worker import Worker


class Rationalization(Model):
    """A second try at questions that were not solved, with the answer as a hint; the hint is not trained on (STaR)."""

    samples_per_prompt: Annotated[int, Field(ge=1, le=1024)] = 1
    """Solutions sampled with the hint, for every question of whose other solutions none can be kept."""
    template: LongText | None = None
    """Jinja template over `prompt`, the text that prompt.template made, and `answer`. Default in Chat: a hint after it."""


class Sampling(Model):
    """Think: how solutions are sampled from the training set."""

    engine: SamplingEngine = SamplingEngine.VLLM
    """VLLM, or Transformers where vLLM cannot run (macOS); Transformers is far slower."""
    samples_per_prompt: Annotated[int, Field(ge=1, le=1024)] = 10
    """Solutions sampled for every training question in a round; at most so many, unless the strategy is Fixed."""
    strategy: Strategy = Strategy.FIXED
    """Fixed: samplesPerPrompt. StopWhenCorrect: until maxCorrectPerPrompt can be kept. DifficultyAware: easy ones stop sooner."""
    rationalization: Rationalization | None = None
    """A second try at questions that were not solved, with the answer as a hint (STaR). Default: none."""
    temperature: Annotated[float, Field(ge=0, le=5)] = 0.8
    """Softmax temperature; 0 is greedy, which allows one sample a prompt only."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus sampling: smallest set of tokens whose probability reaches this."""
    top_k: Annotated[int, Field(ge=1, le=1000000)] | None = None
    """Sample from this many most likely tokens only. Default: from all."""
    max_tokens: Annotated[int, Field(ge=1, le=1048576)] = 1500
    """New tokens a sample may have; one that reaches it is counted as truncated and never trained on."""
    stop: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=8)] = []
    """Strings that end a sample, besides the model's end-of-sequence tokens. They are not part of the solution."""
    seed: Annotated[int, Field(ge=0, le=2147483647)] = 0
    """Seed of the whole run: hold-out, every sample, selection and training order."""
    shards: Annotated[int, Field(ge=1, le=1024), MUTABLE] = 1
    """Parallel samplers; each owns an equal part of the prompts and its own GPUs."""
    tensor_parallel_size: Annotated[int, Field(ge=1, le=64), MUTABLE] = 1
    """GPUs that one sampler spreads the model over."""
    worker: Annotated[Worker, MUTABLE] = Worker()
    """The pods that sample."""


class Evaluation(Model):
    """How a model is measured on validation and eval."""

    samples_per_prompt: Annotated[int, Field(ge=1, le=1024)] = 8
    """Solutions sampled for every validation and evaluation question."""
    temperature: Annotated[float, Field(ge=0, le=5)] = 0.7
    """Softmax temperature of the evaluation."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus sampling of the evaluation."""
    k: Annotated[list[Annotated[int, Field(ge=1, le=1024)]], Field(min_length=1, max_length=4)] = [1]
    """Which pass@k are reported."""
    every_rounds: Annotated[int, Field(ge=1, le=64)] = 1
    """Measure every so many rounds; the base and the last model always are."""
