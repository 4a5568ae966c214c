"""The engine for machines where vLLM cannot run: plain forward passes of transformers, correct rather than fast.

It has a sampling loop of its own, so that a sample hangs on its seed alone. Every sequence draws its random numbers from a
generator of its own (Python's, whose sequence is promised), one a token, and picks a token by inverting the cumulative
distribution. What remains is that the logits of a row differ in the last bits with the rows beside it and the padding before it.
On a CPU everything is computed in float64, where such a difference changes a sample about once in 10^9 tokens; in float32, as
on a GPU, it would do so about once in 10^6.

Prompts are padded on the left and worked off in batches; sequences that have ended leave the batch.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.sample.engine import Drawing, EngineSettings, Generated, Request, Result
from tpt_runtime.sample.modelfolder import ModelFolder
from tpt_runtime.sample.tokens import Tokenizer, Words, find_stop
from tpt_runtime.step.cores import usable_cores

ROWS = 64
"""Sequences worked on at once."""
WINDOW_BYTES = 4
"""Tokens that a letter of a stop text may take, at most."""


@dataclass
class Row:
    """One sequence that is being generated."""

    request: Request
    index: int
    words: Words
    room: int
    random: Random
    ids: list[int] = field(default_factory=list)
    logprob: float = 0.0

    def take(self, token: int, logprob: float) -> Generated | None:
        """Add a token; return the sample if that ends it."""
        self.ids.append(token)
        self.logprob += logprob
        if token in self.request.drawing.stop_ids or self._at_stop_text():
            return Generated(self.ids, "stop", self.logprob)
        return Generated(self.ids, "length", self.logprob) if len(self.ids) >= self.room else None

    def _at_stop_text(self) -> bool:
        stop = self.request.drawing.stop
        if not stop:
            return False
        window = self.ids[-WINDOW_BYTES * (max(map(len, stop)) + 1) :]  # decoding everything at every token would take too long
        return all(find_stop(self.words.text(ids), stop) is not None for ids in (window, self.ids))


class _Waiting(Iterator[Row]):
    """Rows that wait to be worked on; where the requests have run out for now, so has it."""

    def __init__(self, requests: Iterator[Request], rows: Callable[[Request], Iterator[Row]]) -> None:
        self._requests = requests
        self._rows = rows
        self._next: Iterator[Row] = iter(())

    def __next__(self) -> Row:
        """Return the next row."""
        while (row := next(self._next, None)) is None:
            self._next = self._rows(next(self._requests))
        return row


class TransformersEngine:
    """A causal language model of transformers."""

    def __init__(self, settings: EngineSettings) -> None:
        """Load the model, onto a GPU if there is one.

        Raises:
            ConfigurationError: transformers or torch is missing, does not know the model, or is to spread it over several GPUs.
        """
        if settings.tensor_parallel_size > 1:
            raise ConfigurationError(
                f"spec.sampling.tensorParallelSize: {settings.tensor_parallel_size}, but Transformers uses one device only; "
                "set it to 1, or the engine to VLLM"
            )
        self._context = settings.context
        self._torch = _import_torch()
        self._device = "cuda" if self._torch.cuda.is_available() else "cpu"
        self._model = self._load(settings)
        self._tokenizer: Tokenizer = ModelFolder.open(settings.model).load_tokenizer()
        self._keep = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(self._model.forward).parameters else {}

    def generate(self, requests: Iterator[Request]) -> Iterator[list[Result]]:
        """Work off batch after batch; see `Engine.generate`."""
        waiting = _Waiting(requests, self._rows)
        finished: dict[str, dict[int, Generated]] = {}
        head: list[Row] = []
        while rows := _batch(head, waiting):
            for ended in self._work(rows):
                results = []
                for row, sample in ended:
                    of_request = finished.setdefault(row.request.key, {})
                    of_request[row.index] = sample
                    if len(of_request) == row.request.drawing.samples:
                        results.append(Result(row.request.key, [one for _, one in sorted(finished.pop(row.request.key).items())]))
                yield results

    def close(self) -> None:
        """Let go of the model."""
        del self._model

    def _rows(self, request: Request) -> Iterator[Row]:
        words = Words.after(self._tokenizer, request.prompt_ids)
        for index in range(request.drawing.samples):
            yield Row(request, index, words, request.room(self._context), Random(request.seed + index))

    def _work(self, rows: list[Row]) -> Iterator[list[tuple[Row, Generated]]]:
        """Generate until every row has ended; yield, token by token, those that have."""
        torch, drawing = self._torch, rows[0].request.drawing
        with torch.inference_mode():
            state = self._prefill(rows)
        while rows:
            with torch.inference_mode():
                tokens, logprobs = choose(torch, state.logits, drawing, [row.random.random() for row in rows])
            pairs = zip(rows, tokens, logprobs, strict=True)
            outcomes = [(row, row.take(token, logprob)) for row, token, logprob in pairs]
            yield [(row, sample) for row, sample in outcomes if sample is not None]
            going = [place for place, (_, sample) in enumerate(outcomes) if sample is None]
            rows = [rows[place] for place in going]
            if rows:
                with torch.inference_mode():
                    state = self._step(state, going, [row.ids[-1] for row in rows])

    def _prefill(self, rows: list[Row]) -> "_State":
        """Run the prompts, each once however many rows it has."""
        torch = self._torch
        prompts = list(dict.fromkeys(row.request.prompt_ids for row in rows))
        longest = max(map(len, prompts))
        ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=self._device)
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=self._device)
        output = self._forward(ids, mask, (mask.cumsum(-1) - 1).clamp(min=0), None)
        of_row = torch.tensor([prompts.index(row.request.prompt_ids) for row in rows], device=self._device)
        output.past_key_values.batch_select_indices(of_row)
        return _State(output.logits[of_row, -1], mask[of_row], output.past_key_values)

    def _step(self, state: "_State", going: list[int], tokens: list[int]) -> "_State":
        """Run one token of each row that goes on; the others leave."""
        torch = self._torch
        mask, cache = state.mask, state.cache
        if len(going) < len(mask):
            kept = torch.tensor(going, device=self._device)
            cache.batch_select_indices(kept)
            mask = mask[kept]
        mask = torch.cat([mask, mask.new_ones((len(going), 1))], dim=1)
        ids = torch.tensor(tokens, device=self._device).unsqueeze(1)
        output = self._forward(ids, mask, mask.sum(-1, keepdim=True) - 1, cache)
        return _State(output.logits[:, -1], mask, output.past_key_values)

    def _forward(self, ids: Any, mask: Any, positions: Any, cache: Any) -> Any:
        if cache is None:
            from transformers import DynamicCache

            cache = DynamicCache(config=self._model.config)
        return self._model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, **self._keep
        )

    def _load(self, settings: EngineSettings) -> Any:
        from transformers import AutoConfig, AutoModelForCausalLM
        from transformers.utils import logging

        logging.disable_progress_bar()
        logging.set_verbosity_error()
        torch = self._torch
        dtype = torch.float32 if self._device == "cuda" else torch.float64
        if self._device == "cpu":
            torch.set_num_threads(usable_cores())
        try:
            config = AutoConfig.from_pretrained(settings.model, local_files_only=True)
            # SDPA leaves out the soft cap that some models put on attention.
            attention = {"attn_implementation": "eager"} if getattr(config, "attn_logit_softcapping", None) else {}
            model = AutoModelForCausalLM.from_pretrained(settings.model, local_files_only=True, dtype=dtype, **attention)
        except (ValueError, KeyError, ImportError) as error:
            raise ConfigurationError(f"transformers cannot load {settings.model}: {error}") from error
        return model.to(self._device).eval()


@dataclass(frozen=True)
class _State:
    """A batch between two tokens."""

    logits: Any
    """[rows, vocabulary], of the next token."""
    mask: Any
    """[rows, tokens so far], 0 where padded."""
    cache: Any


def choose(torch: Any, logits: Any, drawing: Drawing, uniforms: Sequence[float]) -> tuple[list[int], list[float]]:
    """Return a token for each row of `logits` [rows, vocabulary] and its log-probability under the model itself.

    `uniforms` in [0, 1) decide. Temperature comes first, then top-k, then top-p, as in vLLM.
    """
    logits = logits.double()
    logprobs = logits.log_softmax(-1)
    if drawing.temperature == 0:
        tokens = logits.argmax(-1)
    else:
        cumulative = probabilities(logits, drawing).cumsum(-1)
        aim = torch.tensor(uniforms, dtype=logits.dtype, device=logits.device).unsqueeze(1) * cumulative[:, -1:]
        tokens = torch.searchsorted(cumulative, aim, right=True).squeeze(1).clamp(max=logits.shape[-1] - 1)
    chosen = logprobs.gather(-1, tokens.unsqueeze(1)).squeeze(1)
    return tokens.tolist(), chosen.tolist()


def probabilities(logits: Any, drawing: Drawing) -> Any:
    """Return the distribution that is drawn from, [rows, vocabulary]; what top-k and top-p leave out has 0."""
    scaled = logits / drawing.temperature
    if drawing.top_k is not None and drawing.top_k < logits.shape[-1]:
        least = scaled.topk(drawing.top_k).values[:, -1:]
        scaled = scaled.masked_fill(scaled < least, float("-inf"))
    shares = scaled.softmax(-1)
    if drawing.top_p < 1:
        ordered, places = shares.sort(-1, descending=True)
        ordered = ordered.masked_fill(ordered.cumsum(-1) - ordered >= drawing.top_p, 0.0)
        shares = shares.scatter(-1, places, ordered)
    return shares


def _batch(head: list[Row], waiting: Iterator[Row]) -> list[Row]:
    """Return up to `ROWS` rows that are drawn alike; the first one that is not stays in `head`."""
    rows, head[:] = list(head), []
    while len(rows) < ROWS and (row := next(waiting, None)) is not None:
        if rows and not row.request.drawing.is_like(rows[0].request.drawing):
            head.append(row)
            break
        rows.append(row)
    return rows


def _import_torch() -> Any:
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f"spec.sampling.engine: Transformers, but it cannot be imported ({error}); install tpt-operator[local] or [gpu]"
        ) from error
    return torch
