"""Trained tokens a second, against a plain `SFTTrainer` in the same process.

    TPT_GSM8K=FOLDER python -m benchmarks.train [--rows 240] [--repeats 5] [--hidden 256] [--layers 6]

FOLDER holds GSM8K's train.jsonl and test.jsonl (fields question and answer). A small Llama with random weights is trained
on as many rows, one epoch, eight rows a step, once by a plain `SFTTrainer` (padded batches in random order) and once by each
batching of the train step, plain engine. Every repetition has a seed of its own and takes the arms in another order. The
figures are tokens of rows (no padding) by the wall time of `trainer.train()`, and the loss on held-out rows after it. All
have the same optimizer, schedule and settings (fp32, no recomputation): what differs is the batches, and what the train step
adds (progress, clock, checks).

Goals: Padded at least 0.97 of the plain trainer, LengthGrouped at least 1.3 times, held-out loss equal within noise.
"""

import argparse
import json
import math
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.ratios import interval, ratio
from tpt_runtime.artifacts.files import write_rows
from tpt_runtime.core.choices import Batching
from tpt_runtime.core.configs import TrainConfig
from tpt_runtime.core.spec import Training
from tpt_runtime.train.devices import machine_memory
from tpt_runtime.train.examples import Row, training_set
from tpt_runtime.train.job import Device, Job

PEER = "plain SFTTrainer"
BATCH = 8
MAX_LENGTH = 1024
LEARNING_RATE = 1e-3
VOCABULARY = 2048


@dataclass(frozen=True)
class Result:
    """One training."""

    tokens_per_second: float
    held_out_loss: float


def main() -> int:
    """Run the benchmark and print its table."""
    options = _options()
    source = os.environ.get("TPT_GSM8K")
    if not source:
        print("TPT_GSM8K: not set; name the folder with GSM8K's train.jsonl and test.jsonl", file=sys.stderr)
        return 64
    with tempfile.TemporaryDirectory(prefix="tpt-benchmark-") as name:
        workshop = Workshop(Path(name), Path(source), options)
        arms: dict[str, Callable[[int], Result]] = {PEER: workshop.peer}
        arms |= {f"train, {batching}": workshop.arm(batching) for batching in Batching}
        results: dict[str, list[Result]] = {arm: [] for arm in arms}
        workshop.peer(-1)  # the first training pays for warm-up, whoever it is
        for seed in range(options.repeats):
            order = list(arms)
            random.Random(seed).shuffle(order)
            for arm in order:
                results[arm].append(arms[arm](seed))
    print(table(results))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=240, help="training rows")
    parser.add_argument("--held-out", type=int, default=48, help="held-out rows")
    parser.add_argument("--repeats", type=int, default=5, help="trainings of every arm")
    parser.add_argument("--hidden", type=int, default=256, help="hidden size")
    parser.add_argument("--layers", type=int, default=6, help="layers")
    return parser.parse_args()


class Workshop:
    """Model, tokenizer and rows of one benchmark."""

    def __init__(self, root: Path, source: Path, options: argparse.Namespace) -> None:
        """Make everything below `root`."""
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        self.root = root
        train, test = (list(_solutions(source / name)) for name in ("train.jsonl", "test.jsonl"))
        self._encode = _tokenizer(train, root / "tokenizer")
        write_rows(root / "examples-data" / "train.jsonl", (self._example(*pair) for pair in train[: options.rows]))
        self.rows = training_set([root / "examples-data"], MAX_LENGTH)
        self.held_out = [self._row(*pair) for pair in test[: options.held_out]]
        _write_model(root / "model", options)

    def _row(self, question: str, answer: str) -> Row:
        prompt, solution = self._encode(f"Q: {question}\nA: "), self._encode(answer)
        return Row((0, *prompt, *solution, 1), 1 + len(prompt))

    def _example(self, question: str, answer: str) -> dict[str, Any]:
        row = self._row(question, answer)
        return {"id": question, "round": 1, "sample": 0, "ids": list(row.ids), "promptTokens": row.prompt_tokens}

    def arm(self, batching: Batching) -> Callable[[int], Result]:
        """Return the training by the train step with this batching."""

        def train(seed: int) -> Result:
            from tpt_runtime.train import trainer, worker

            job = self._job(batching, seed)
            plan = worker.make_plan(job, self.rows)
            tuner = worker.build(job, plan, self.rows)
            tokens = [sum(self.rows.rows[example].trained for part in step for example in part) for step in plan.steps]
            tuner.add_callback(trainer.Watch(600, lambda *_, **__: None, tokens))
            return self._measured(tuner)

        return train

    def peer(self, seed: int) -> Result:
        """Train with a plain `SFTTrainer` that has the same settings."""
        from datasets import Dataset
        from transformers import AutoTokenizer
        from transformers.trainer_callback import PrinterCallback
        from trl import SFTConfig, SFTTrainer

        from tpt_runtime.train import weights

        settings = SFTConfig(
            output_dir=str(self.root / "peer"),
            num_train_epochs=1,
            per_device_train_batch_size=BATCH,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="cosine",
            warmup_steps=math.ceil(0.1 * -(-len(self.rows.rows) // BATCH)),
            max_length=None,
            seed=max(seed, 0),
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            optim="adamw_torch_fused",
            save_strategy="no",
            logging_steps=1,
            disable_tqdm=True,
            report_to="none",
        )
        rows = [{"input_ids": list(row.ids), "labels": row.labels()} for row in self.rows.rows]
        trainer = SFTTrainer(
            model=weights.load(self.root / "model", "sdpa"),
            args=settings,
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(self.root / "tokenizer"),
        )
        trainer.remove_callback(PrinterCallback)
        return self._measured(trainer)

    def _measured(self, trainer: Any) -> Result:
        began = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - began
        return Result(sum(self.rows.lengths) / seconds, held_out_loss(trainer.model, self.held_out))

    def _job(self, batching: Batching, seed: int) -> Job:
        training = Training.model_validate(
            {
                "engine": "Torch",
                "precision": "FP32",
                "batchSize": BATCH,
                "microBatchSize": 1 if batching is Batching.PACKED else BATCH,
                "batching": batching,
                "maxLength": MAX_LENGTH,
            }
        )
        config = TrainConfig.model_validate(
            {
                "run": "benchmark",
                "namespace": "default",
                "step": "train",
                "round": 1,
                "attempt": 1,
                "storage": str(self.root),
                "root": str(self.root),
                "digest": "0",
                "path": "trained",
                "model": "model",
                "tokenizer": "tokenizer",
                "examples": ["examples-data"],
                "training": training,
                "learningRate": LEARNING_RATE,
                "seed": seed,
                "parentDigest": "0",
            }
        )
        device = Device(kind="cpu", memory=machine_memory())
        return Job(config=config, device=device, processes=1, attention="sdpa", recompute=False)


def held_out_loss(model: Any, rows: list[Row]) -> float:
    """Return the mean loss over the held-out rows' solutions, in nats, by a plain loop."""
    import torch

    total = 0.0
    model.eval()
    with torch.no_grad():
        for row in rows:
            logits = model(input_ids=torch.tensor([row.ids])).logits[0, row.prompt_tokens - 1 : -1]
            labels = torch.tensor(row.ids[row.prompt_tokens :])
            total += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"))
    return total / sum(row.trained for row in rows)


def _solutions(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield row["question"], row["answer"]


def _tokenizer(pairs: list[tuple[str, str]], folder: Path) -> Callable[[str], list[int]]:
    """Train a byte-level tokenizer on the data, save it, and return how it encodes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=["<s>", "</s>"], show_progress=False)
    tokenizer.train_from_iterator((text for pair in pairs for text in pair), trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    return lambda text: list(tokenizer.encode(text).ids)


def _write_model(folder: Path, options: argparse.Namespace) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=options.hidden,
        intermediate_size=3 * options.hidden,
        num_hidden_layers=options.layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def table(results: dict[str, list[Result]]) -> str:
    """Return the results as a table: medians, spread, and ratios to the peer with their 95 % interval over repetitions."""
    lines = ["| arm | tokens/s, median | lowest to highest | ratio to the peer (95 %) | held-out loss | less the peer's (95 %) |"]
    lines += ["|---|---|---|---|---|---|"]
    peers = results[PEER]
    for arm, found in results.items():
        speeds = [result.tokens_per_second for result in found]
        losses = [mine.held_out_loss - peer.held_out_loss for mine, peer in zip(found, peers, strict=True)]
        cell = "1" if arm == PEER else ratio(speeds, [peer.tokens_per_second for peer in peers])
        loss = "0" if arm == PEER else "{:+.3f} ({:+.3f} to {:+.3f})".format(*interval(losses))
        median = statistics.median(result.held_out_loss for result in found)
        spread = f"{min(speeds):.0f} to {max(speeds):.0f}"
        lines.append(f"| {arm} | {statistics.median(speeds):.0f} | {spread} | {cell} | {median:.3f} | {loss} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
