"""What generates tokens, as the step sees it: requests in, results out, in whatever order they finish.

An engine knows nothing of runs, shards or files, and it hands over token ids, not text: what text they are, and which ids are
trained on, is said in one place for all engines (`tokens.py`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from tpt_runtime.core.choices import SamplingEngine


@dataclass(frozen=True)
class Drawing:
    """How samples are drawn; the same for all prompts of a part."""

    samples: int
    """Samples of each prompt."""
    temperature: float
    """0 is greedy."""
    top_p: float
    top_k: int | None
    max_tokens: int
    """New tokens a sample may have; less where the model's context leaves less."""
    stop: tuple[str, ...]
    """Texts that end a sample."""
    stop_ids: frozenset[int]
    """Tokens that end a sample; each is the last id of the sample that it ends."""

    def is_like(self, other: "Drawing") -> bool:
        """Return whether samples are drawn in the same way, however many."""
        return replace(self, samples=other.samples) == other


@dataclass(frozen=True)
class Request:
    """Samples of one prompt: all of them, or those that it is given at a time."""

    key: str
    """Names it; no two requests in an engine share it."""
    prompt_ids: tuple[int, ...]
    drawing: Drawing
    seed: int
    """Sample i of the request is drawn with `seed` + i, whatever else is being generated."""
    first: int = 0
    """Which of its prompt's samples the first one is."""

    def room(self, context: int) -> int:
        """Return how many tokens may be generated where a sequence has at most `context` tokens."""
        return min(self.drawing.max_tokens, context - len(self.prompt_ids))


@dataclass(frozen=True)
class Generated:
    """One sample as it was generated."""

    ids: list[int]
    """All of it: a token that ended it included, and the tokens of a text that ended it."""
    finish: Literal["stop", "length"]
    logprob: float
    """Sum over `ids` of the natural logarithm of their probability under the model itself, that is at temperature 1."""


@dataclass(frozen=True)
class Result:
    """All samples of one request, by index."""

    key: str
    samples: list[Generated]


class Engine(Protocol):
    """A loaded model that generates."""

    def generate(self, requests: Iterator[Request]) -> Iterator[list[Result]]:
        """Yield again and again what has finished since, often nothing, so that the caller can stop at any time.

        Requests are taken as there is room for them: there is no point at which all must have finished before more begin. Their
        iterator may run out and later have more, which follow from what was yielded: so it is asked again after every step, and
        all is done only when it has none and nothing is in progress. Closing the iterator abandons what is unfinished.
        """

    def close(self) -> None:
        """End every process that the engine started, and free its memory."""


@dataclass(frozen=True)
class EngineSettings:
    """What an engine is started with."""

    model: Path
    context: int
    """Longest sequence, prompt included, in tokens."""
    tensor_parallel_size: int
    log: Callable[[str, str], None]
    """Takes level and text of what the engine's library warns of."""


def open_engine(kind: SamplingEngine, settings: EngineSettings) -> Engine:
    """Import and start an engine: tens of seconds.

    Raises:
        ConfigurationError: it cannot be imported, or cannot run this model.
    """
    if kind is SamplingEngine.VLLM:
        from tpt_runtime.sample.vllm_engine import VllmEngine

        return VllmEngine.start(settings)
    from tpt_runtime.sample.transformers_engine import TransformersEngine

    return TransformersEngine(settings)
