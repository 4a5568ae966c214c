"""What the tests of sample share: a tiny model whose tokens have several letters, prompts, configurations, a fake engine."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from tpt_runtime.core.choices import SamplingEngine
from tpt_runtime.core.configs import SampleConfig, SamplePart
from tpt_runtime.core.status import StepName
from tpt_runtime.sample.engine import EngineSettings, Generated, Request, Result

BEGIN, END, PAD, TURN = 0, 1, 2, 3
SPECIAL = ["<s>", "</s>", "<pad>", "<|im_end|>"]
HINT = 330
"""The last token of a prompt that has the answer in it: one that no other prompt has, nor the tokenizer."""
CONTEXT = 96
EVALUATED = "eeeeeeeeeeeeeeee"
TRAINED = "aaaaaaaaaaaaaaaa"

TEXT = "Zoe has 2 apples , buys 6 . 2 + 6 = 8 .\n\n8 + 11 = 19 .\n#### 19\n\nQ: Tom äöü 日本 😀 .\n"


def write_bpe_tokenizer(folder: Path, size: int = 330) -> Any:
    """Write a byte-level tokenizer whose merges put line ends and the letters before them into one token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([TEXT] * 4, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BEGIN)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    fast.save_pretrained(folder)
    return fast


def write_tiny_llama(folder: Path) -> Path:
    """Write a random Llama of two layers whose text ends now and then, and its tokenizer."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = write_bpe_tokenizer(folder)
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,  # of 32: the smallest that vLLM has kernels for
        num_key_value_heads=1,
        max_position_embeddings=CONTEXT,
        bos_token_id=BEGIN,
        eos_token_id=END,
        initializer_range=0.12,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight[[END, TURN]] *= 3  # so that samples end, though not all of them
    model.generation_config = GenerationConfig(bos_token_id=BEGIN, eos_token_id=[END, TURN])
    model.save_pretrained(folder)
    return folder


def write_prompts(root: Path, name: str, count: int) -> None:
    """Write prepared prompts of unequal lengths."""
    lot = Random(name)
    rows: list[dict[str, Any]] = []
    for number in range(count):
        ids = [BEGIN, *(lot.randrange(4, 329) for _ in range(lot.randint(3, 30)))]
        rows.append({"id": f"{name}-{number:03d}", "question": "?", "prompt": "?", "promptIds": ids, "reference": "1"})
        if number % 2 == 0:
            rows[-1]["hintedIds"] = [*ids, HINT]
    path = root / "prepare-1" / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def part(purpose: str, *sets: str, **settings: Any) -> SamplePart:
    """Return a part that samples `sets`."""
    values: dict[str, Any] = {
        "digest": TRAINED if purpose == "train" else EVALUATED,
        "path": f"round-001/{purpose}",
        "purpose": purpose,
        "round": 1,
        "prompts": {name: f"prepare-1/{name}.jsonl" for name in sets},
        "samples_per_prompt": 3,
        "temperature": 0.9,
        "top_p": 1.0,
        "max_tokens": 12,
        "seed": 5,
    }
    return SamplePart(**values | settings)


def config(root: Path, *parts: SamplePart, engine: str = "Transformers", **more: Any) -> SampleConfig:
    """Return a configuration below `root`; the model is `root`/model unless told otherwise."""
    values: dict[str, Any] = {"model": "model", "tensor_parallel_size": 1, "shards": 1, "attempt": 1}
    where = {"step": StepName.SAMPLE, "round": 1, "run": "test", "namespace": "default", "storage": str(root), "root": str(root)}
    return SampleConfig(**where | values | more, engine=SamplingEngine(engine), parts=list(parts))


class LightTokenizer:
    """What the step needs of a tokenizer, without importing transformers and torch; for programs that are started often."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.eos_token_id: int | None = END
        self.added_tokens_decoder = self._tokenizer.get_added_tokens_decoder()

    def decode(self, token_ids: Any, **options: Any) -> str:
        return str(self._tokenizer.decode(list(token_ids), skip_special_tokens=options["skip_special_tokens"]))

    def encode(self, text: str, **options: Any) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=options["add_special_tokens"]).ids)


class Solver:
    """Makes the results of a fake engine: right (the answer is 1) or wrong by seed, of some prompts more often than of others."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = LightTokenizer(folder)

    def __call__(self, request: Request) -> Result:
        ease = 0.5 if request.prompt_ids[-1] == HINT else Random(str(request.prompt_ids)).random() ** 2
        return Result(request.key, [self._sample(Random(request.seed + i), ease) for i in range(request.drawing.samples)])

    def _sample(self, lot: Random, ease: float) -> Generated:
        text = f"{'so ' * lot.randrange(4)}#### {1 if lot.random() < ease else 2}"
        return Generated([*self._tokenizer.encode(text, add_special_tokens=False), END], "stop", -1.5)


class FakeEngine:
    """Generates by seed alone, a few requests at a time, the last ones first; `on_step` is called before every step."""

    def __init__(
        self,
        on_step: Callable[[int], None] = lambda step: None,
        at_once: int = 4,
        make: Callable[[Request], Result] | None = None,
    ) -> None:
        self.on_step = on_step
        self.at_once = at_once
        self.make = make or fake_result
        self.settings: list[EngineSettings] = []
        self.requests: list[Request] = []
        self.closed = 0

    def open(self, kind: SamplingEngine, settings: EngineSettings) -> "FakeEngine":
        self.settings.append(settings)
        return self

    def generate(self, requests: Iterator[Request]) -> Iterator[list[Result]]:
        step = 0
        inside: list[Request] = []
        while True:
            while len(inside) < self.at_once and (request := next(requests, None)) is not None:
                inside.append(request)
                self.requests.append(request)
            if not inside:
                return
            self.on_step(step)
            step += 1
            yield [] if step % 2 else [self.make(inside.pop())]

    def close(self) -> None:
        self.closed += 1


def fake_result(request: Request) -> Result:
    """Return what a fake engine makes of a request."""
    return Result(request.key, [_fake_sample(request, index) for index in range(request.drawing.samples)])


def _fake_sample(request: Request, index: int) -> Generated:
    lot = Random(request.seed + index)
    ids = [lot.randrange(4, 330) for _ in range(lot.randint(1, request.drawing.max_tokens - 1))]
    if lot.random() < 0.3:
        return Generated([*ids, *[10] * (request.drawing.max_tokens - len(ids))], "length", -1.5)
    return Generated([*ids, END], "stop", -2.5)


def sampled(folder: Path) -> dict[tuple[str, str], Any]:
    """Return the samples of every prompt in `folder` by set and id; none may be there twice."""
    found: dict[tuple[str, str], Any] = {}
    for path in sorted(folder.glob("chunk-*.jsonl")):
        for line in path.read_text().rstrip("\n").split("\n"):  # samples hold line ends that are none of JSON's
            row = json.loads(line)
            key = (row["set"], row["id"])
            assert key not in found, f"{key} was sampled twice"
            found[key] = row["samples"]
    return found
