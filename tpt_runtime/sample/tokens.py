"""Sampling and training agree on every token: what a generated sequence is as text, and which of its ids are trained on.

A sample's ids are those that were sampled. Only where a stop text ended it, what follows the text is cut off, and if the cut
falls inside a token, that tail is tokenized again; then the end-of-sequence id takes the place of the stop text. A sample that
reached its token limit keeps its ids as they are: it is graded as truncated and never trained on.

Both engines' samples pass through here, so they cannot differ in it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.rows import Sample
from tpt_runtime.sample.engine import Generated

CONTEXT_IDS = 8
"""Ids of the prompt that a sample is decoded with: some tokenizers drop the space in front of a text's first word."""
LOGPROB_DECIMALS = 6
"""Of the mean log-probability. Its last bits differ with the prompts that a batch has, and so between a sampling that went
through and one that was ended and gone on with; samples are to be the same, byte for byte."""
RETRIES = 8
"""How many tokens before the cut are given up, one by one, until the tail can be tokenized so that the text comes out again."""
ANCHOR = "\n"
"""Put before a tail and taken off again, for tokenizers that add a space at the beginning of every text."""


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer that is needed here."""

    eos_token_id: int | None

    def decode(self, token_ids: Sequence[int], **options: Any) -> Any:
        """Return text."""

    def encode(self, text: str, **options: Any) -> list[int]:
        """Return ids."""


def find_stop(text: str, stop: Sequence[str]) -> int | None:
    """Return where the stop text begins that is complete first as `text` grows letter by letter; None without one."""
    found = [(start + len(word), order, start) for order, word in enumerate(stop) if (start := text.find(word)) >= 0]
    return min(found)[2] if found else None


@dataclass(frozen=True)
class Words:
    """Reads ids as the text that follows a prompt."""

    tokenizer: Tokenizer
    before: tuple[int, ...]
    """The prompt's last ids."""
    skipped: str
    """Their text."""

    @classmethod
    def after(cls, tokenizer: Tokenizer, prompt_ids: Sequence[int]) -> "Words":
        """Read what follows `prompt_ids`."""
        before = tuple(prompt_ids[-CONTEXT_IDS:])
        return cls(tokenizer, before, plain_text(tokenizer, before))

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of `ids` without special tokens, as it stands after the prompt."""
        together = plain_text(self.tokenizer, [*self.before, *ids])
        if together.startswith(self.skipped):
            return together[len(self.skipped) :]
        return plain_text(self.tokenizer, ids)  # the prompt ends inside a letter

    def ids_of(self, text: str, ids: Sequence[int]) -> list[int]:
        """Return ids whose text is `text`, the beginning of that of `ids`: as many of `ids` as fit, then a new tail."""
        kept = len(ids)
        while kept and not text.startswith(self.text(ids[:kept])):
            kept -= 1
        head = list(ids[:kept])
        if self.text(head) == text:
            return head
        for given_up in range(min(RETRIES, kept) + 1):
            shorter = head[: kept - given_up]
            for tail in self._tails(text[len(self.text(shorter)) :]):
                if self.text([*shorter, *tail]) == text:
                    return [*shorter, *tail]
        return [*head, *next(self._tails(text[len(self.text(head)) :]))]

    def _tails(self, text: str) -> Iterator[list[int]]:
        yield plain_ids(self.tokenizer, text)
        anchor, anchored = plain_ids(self.tokenizer, ANCHOR), plain_ids(self.tokenizer, ANCHOR + text)
        if anchored[: len(anchor)] == anchor:
            yield anchored[len(anchor) :]


@dataclass(frozen=True)
class Endings:
    """Makes samples of what an engine generated."""

    tokenizer: Tokenizer
    stop: tuple[str, ...]
    stop_ids: frozenset[int]
    end: int
    """The end-of-sequence id that takes the place of a stop text."""

    def samples(self, prompt_ids: Sequence[int], generated: Sequence[Generated], first: int = 0) -> list[Sample]:
        """Return samples of one prompt, in order; `first` is the index of the first one.

        Raises:
            ConfigurationError: the model has diverged; seeds being what they are, another attempt would find the same.
        """
        words = Words.after(self.tokenizer, prompt_ids)
        return [self._sample(index, words, one) for index, one in enumerate(generated, first)]

    def _sample(self, index: int, words: Words, generated: Generated) -> Sample:
        ids, finish = list(generated.ids), generated.finish
        ended = bool(ids) and ids[-1] in self.stop_ids
        body = ids[:-1] if ended else ids
        text = words.text(body)
        cut = find_stop(text, self.stop)
        if cut is not None:
            text, finish = text[:cut], "stop"
            ids = [*words.ids_of(text, body), self.end]
        elif finish == "stop" and not ended:  # the engine saw a stop text that this decoding does not show
            ids = [*ids, self.end]
        count = len(generated.ids)
        logprob = generated.logprob / count if count else 0.0
        if not math.isfinite(logprob):
            raise ConfigurationError(
                f"the model gives a log-probability of {logprob}: its weights hold infinite or undefined numbers, so its "
                "training has diverged; lower training.learningRate in a new run, or check the base model"
            )
        return Sample(index=index, text=text, ids=ids, tokens=count, finish=finish, logprob=round(logprob, LOGPROB_DECIMALS))


def plain_text(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """Return the text of `ids` without special tokens, white space untouched."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def plain_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Return the ids of `text`, nothing added."""
    return list(tokenizer.encode(text, add_special_tokens=False))
