"""The closed choices of a spec; their values are what a user writes."""

from enum import StrEnum


class PromptMode(StrEnum):
    """How a prompt reaches the model."""

    CHAT = "Chat"
    COMPLETION = "Completion"


class SamplingEngine(StrEnum):
    """What generates samples."""

    VLLM = "VLLM"
    TRANSFORMERS = "Transformers"


class Strategy(StrEnum):
    """How many samples a training question gets."""

    FIXED = "Fixed"
    STOP_WHEN_CORRECT = "StopWhenCorrect"
    DIFFICULTY_AWARE = "DifficultyAware"


class VerifierType(StrEnum):
    """How an answer is compared with the reference."""

    MATH = "Math"
    GSM8K_STRICT = "GSM8KStrict"
    CODE = "Code"
    COMMAND = "Command"


class Language(StrEnum):
    """What a generated program is written in."""

    PYTHON = "Python"
    PERL = "Perl"
    BASH = "Bash"


class Whitespace(StrEnum):
    """Which white space counts in what a program prints."""

    LINES = "Lines"
    TOKENS = "Tokens"
    EXACT = "Exact"


class Protection(StrEnum):
    """What to do where generated programs cannot be contained."""

    REQUIRED = "Required"
    BEST_EFFORT = "BestEffort"


class Keep(StrEnum):
    """Which samples may become training examples."""

    CORRECT = "Correct"
    PARSEABLE = "Parseable"
    RANDOM = "Random"


class Deduplicate(StrEnum):
    """When two samples of one prompt count as the same."""

    NONE = "None"
    TEXT = "Text"
    EQUATIONS = "Equations"


class Choose(StrEnum):
    """Which of several samples that may be kept are."""

    FIRST = "First"
    SHORTEST = "Shortest"
    MOST_LIKELY = "MostLikely"
    RANDOM = "Random"


class Weighting(StrEnum):
    """How the examples are spread over easy and hard questions."""

    NONE = "None"
    UNIFORM = "Uniform"
    PROP2DIFF = "Prop2Diff"


class TrainFrom(StrEnum):
    """Which model a round fine-tunes."""

    LAST = "Last"
    BASE = "Base"


class TrainData(StrEnum):
    """Which rounds' examples a round trains on."""

    LATEST = "Latest"
    ACCUMULATED = "Accumulated"


class TrainingEngine(StrEnum):
    """What runs the optimizer."""

    DEEPSPEED = "DeepSpeed"
    TORCH = "Torch"


class Method(StrEnum):
    """Which weights are trained."""

    FULL = "Full"
    LORA = "LoRA"


class Batching(StrEnum):
    """How examples are put together into batches."""

    LENGTH_GROUPED = "LengthGrouped"
    PACKED = "Packed"
    PADDED = "Padded"


class Scheduler(StrEnum):
    """How the learning rate falls after warm-up."""

    COSINE = "Cosine"
    LINEAR = "Linear"
    CONSTANT = "Constant"


class Precision(StrEnum):
    """In what precision the forward and backward passes run; weights are kept and saved in fp32 either way."""

    BF16 = "BF16"
    FP32 = "FP32"


class KeepCheckpoints(StrEnum):
    """Which rounds' models stay on the storage when a run ends."""

    BEST = "Best"
    ALL = "All"
