"""TRL's `SFTTrainer`, fed by our own plan of batches, with checkpoints by the clock.

What is not here: the loop, the optimizer, DeepSpeed, the LM head that needs no logits: those are TRL's and transformers'.
Imported by the training processes only, as it imports torch.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from trl import SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.train.batches import Plan
from tpt_runtime.train.checkpoints import PREFIX, LocalCheckpoints, Topology
from tpt_runtime.train.examples import IGNORED, Row
from tpt_runtime.train.history import HELD_OUT_LOSS
from tpt_runtime.train.stored import StoredCheckpoints

BLANK = {"input_ids": [0, 0], "labels": [IGNORED, IGNORED]}
"""What a process takes when a step has nothing left for it: every process must take part in every exchange."""


def dataset_of(rows: list[Row]) -> Any:
    """Return the rows as a data set in memory, and the blank row as its last."""
    from datasets import Dataset

    columns = [{"input_ids": list(row.ids), "labels": row.labels()} for row in rows]
    return Dataset.from_list([*columns, BLANK])


class PlannedBatches(Sampler[list[int]]):
    """The micro-batches of one process, all epochs in a row; an empty one becomes the blank row."""

    def __init__(self, plan: Plan, process: int, blank: int) -> None:
        """Take what `plan` gives `process`; `blank` is the blank row's index."""
        self._plan, self._process, self._blank = plan, process, blank

    def __iter__(self) -> Iterator[list[int]]:
        """Yield row indexes, micro-batch by micro-batch."""
        for batch in self._plan.micro_batches(self._process):
            yield batch or [self._blank]

    def __len__(self) -> int:
        """Return the micro-batches of the whole training."""
        return len(self._plan.steps) * self._plan.shape.accumulation


@dataclass(frozen=True)
class Saving:
    """Where checkpoints are at home, and what they depend on."""

    checkpoints: LocalCheckpoints | StoredCheckpoints
    topology: Topology


class PlannedTrainer(SFTTrainer):
    """An `SFTTrainer` whose batches are planned beforehand, for every process."""

    def __init__(self, plan: Plan, saving: Saving, *, packed: bool, **arguments: Any) -> None:
        """Train by `plan`; `packed` rows are flattened into one, with positions that begin anew."""
        self._plan, self._saving = plan, saving
        # A collator of our own keeps TRL from putting a pad token into the model's configuration. Which id pads is of no
        # consequence: padding is masked, and without label.
        collator = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=packed)
        super().__init__(data_collator=collator, **arguments)
        self.remove_callback(PrinterCallback)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the loader of this process.

        It is not handed to accelerate, which would deal the batches out again and repeat some to make the processes even.
        """
        return self._loader(self.train_dataset, self._plan)

    def _loader(self, dataset: Any, plan: Plan) -> DataLoader[Any]:
        batches = PlannedBatches(plan, self.args.process_index, len(dataset) - 1)
        pin = self.args.device.type == "cuda"
        return DataLoader(dataset, batch_sampler=batches, collate_fn=self.data_collator, pin_memory=pin)

    @torch.no_grad()
    def held_out_loss(self, dataset: Any, plan: Plan) -> float:
        """Return the mean loss over all trained tokens of `dataset`, in nats. Every process must call it."""
        total = torch.zeros(2, dtype=torch.float64, device=self.args.device)
        self.model_wrapped.eval()
        for batch in self._loader(dataset, plan):
            outputs = self.model_wrapped(**self._prepare_inputs(batch), fused_lm_head=True)
            total += torch.stack([-outputs.log_probs.double().sum(), outputs.label_mask.sum().double()])
        self.model_wrapped.train()
        if self.args.world_size > 1:
            torch.distributed.all_reduce(total)
        return float(total[0] / total[1])

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model of a checkpoint; DeepSpeed's own files hold it already."""
        if not self.is_deepspeed_enabled:
            super().save_model(output_dir, _internal_call)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save a checkpoint that counts only once it is marked, then remove older ones."""
        Trainer._save_checkpoint(self, model, trial)  # noqa: SLF001 - TRL's would write a model card into it
        folder = Path(self.args.output_dir) / f"{PREFIX}{self.state.global_step}"
        self._wait()
        if self.is_local_process_zero():
            self._saving.checkpoints.bring(folder)
        self._wait()
        if self.is_world_process_zero():
            self._saving.checkpoints.conclude(folder, self._saving.topology)
        if self.is_local_process_zero():
            self._saving.checkpoints.leave(folder)

    def _wait(self) -> None:
        """Wait until every process has come as far."""
        if self.args.world_size > 1:
            torch.distributed.barrier()


class Watch(TrainerCallback):
    """Tells of every step, asks for checkpoints by the clock, and ends a training whose loss is not finite."""

    def __init__(self, every_seconds: float, tell: Callable[..., None], tokens_of_step: list[int]) -> None:
        """Ask for a checkpoint every `every_seconds`; `tell` is given the events."""
        self._every, self._tell = every_seconds, tell
        self._tokens = [0]
        for tokens in tokens_of_step:
            self._tokens.append(self._tokens[-1] + tokens)
        self._saved = self._began = time.monotonic()
        self._first_step = 0

    def on_train_begin(self, _args: Any, state: TrainerState, _control: Any, **_: Any) -> None:
        """Start the clock."""
        self._saved = self._began = time.monotonic()
        self._first_step = state.global_step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Ask for a checkpoint when it is time; process 0 has the clock. After the last step the model itself is saved."""
        due = torch.tensor([time.monotonic() - self._saved >= self._every], dtype=torch.uint8, device=args.device)
        if args.world_size > 1:
            torch.distributed.broadcast(due, src=0)
        control.should_save = bool(due.item()) and state.global_step < state.max_steps

    def on_save(self, _args: Any, state: TrainerState, _control: Any, **_: Any) -> None:
        """Tell of the checkpoint and wait for the next."""
        self._saved = time.monotonic()
        self._tell("note", message=f"checkpoint at step {state.global_step}", step=state.global_step)

    def on_log(self, _args: Any, state: TrainerState, _control: Any, logs: dict[str, float], **_: Any) -> None:
        """Tell of the step; a loss that is not finite ends the training."""
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]) or not math.isfinite(logs.get("grad_norm", 0.0)):
            raise ConfigurationError(  # another attempt would take the same steps
                f"the loss of step {state.global_step} is {logs['loss']}, its gradient's norm {logs.get('grad_norm')}: "
                "training has diverged; lower training.learningRate in a new run"
            )
        done = self._tokens[state.global_step]
        seconds = max(time.monotonic() - self._began, 1e-9)
        self._tell(
            "progress",
            completed=state.global_step,
            total=state.max_steps,
            optimizer_step=state.global_step,
            loss=round(logs["loss"], 6),
            tokens=done,
            tokens_per_second=round((done - self._tokens[self._first_step]) / seconds, 1),
        )


class HeldOut(TrainerCallback):
    """Measures the loss on the held-out examples before the first step and, when asked, after the last."""

    def __init__(self, trainer: PlannedTrainer, rows: list[Row], plan: Plan) -> None:
        """Measure `trainer`'s model on `rows`, which may be none."""
        self._trainer, self._plan = trainer, plan
        self._dataset = dataset_of(rows) if rows else None

    def on_train_begin(self, _args: Any, state: TrainerState, _control: Any, **_: Any) -> None:
        """Measure the parent, unless the training goes on from a checkpoint: then it was done."""
        if state.global_step == 0:
            self.take()

    def take(self) -> None:
        """Measure, and log the loss: the trainer's log is part of its checkpoints."""
        if self._dataset is not None:
            self._trainer.log({HELD_OUT_LOSS: self._trainer.held_out_loss(self._dataset, self._plan)})
