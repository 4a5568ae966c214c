"""The rows that steps hand to one another, one JSON object a line.

    prepare  writes PreparedPrompt    TRAIN / VALIDATION / EVAL .jsonl
    sample   writes SampledPrompt     chunk files in the part's folder (see `tpt_runtime/sample`)
    prune    writes Example           train.jsonl, and validation.jsonl for the held-out loss
             writes GradedPrompt      grades.jsonl (of the evaluation, and of the training set)

They are typed dictionaries, not models: a round has hundreds of thousands of them.
"""

from typing import Literal, NotRequired, TypedDict


class PreparedPrompt(TypedDict):
    """One question, rendered and tokenized once for the whole run."""

    id: str
    """First 16 hex digits of the SHA-256 of the rendered template, normalised: the same in every round and shard."""
    question: str
    """The prompt field as it stood in the data, for people to read."""
    prompt: str
    """The text that the model sees: template and chat template applied."""
    promptIds: list[int]
    """Its token ids; special tokens are there once."""
    reference: str
    """The answer field as it stood in the data; verifiers read both bare answers and solutions."""
    hintedIds: NotRequired[list[int]]
    """Training prompts of a run that rationalizes: the prompt's ids with the answer in it. Sampled from, never trained on."""


class Sample(TypedDict):
    """One solution."""

    index: int
    """0 to samplesPerPrompt - 1."""
    text: str
    """The solution, without stop string and special tokens."""
    ids: list[int]
    """The ids to train on: as sampled, and ending in an end-of-sequence id unless `finish` is length."""
    tokens: int
    """Generated tokens, as the engine counted them."""
    finish: Literal["stop", "length"]
    """length: it reached maxTokens, and is graded as truncated."""
    logprob: float
    """Mean log-probability of the generated tokens, in nats, to six decimals."""
    hinted: NotRequired[Literal[True]]
    """Drawn with the answer in the prompt; such samples come last."""


class SampledPrompt(TypedDict):
    """All samples of one prompt: they are flushed together or not at all."""

    id: str
    set: str
    """train, validation or eval."""
    samples: list[Sample]


class Example(TypedDict):
    """One training row."""

    id: str
    round: int
    sample: int
    """Index of the sample."""
    ids: list[int]
    """Prompt ids, then the sample's ids."""
    promptTokens: int
    """How many of `ids` are the prompt's: no loss on them."""


class Grade(TypedDict):
    """The verdict on one sample."""

    verdict: str
    answer: NotRequired[str]
    strict: bool
    """Right under GSM8KStrict as well."""
    marked: bool
    """The answer stood at a marker."""
    tokens: int
    hinted: NotRequired[Literal[True]]
    """As in its sample: it says nothing of the model, and is in no figure of it."""
    kept: NotRequired[str]
    """Training sets only: `kept`, or why it was dropped."""


class GradedPrompt(TypedDict):
    """The verdicts on all samples of one prompt, in the order of their indexes."""

    id: str
    set: str
    grades: list[Grade]
