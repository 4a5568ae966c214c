"""What the launcher tells the training processes, and what they answer. Both are JSON files; events come line by line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tpt_runtime.artifacts.objects import Objects, ObjectUri, ask_nobody
from tpt_runtime.core.choices import TrainingEngine
from tpt_runtime.core.configs import TrainConfig
from tpt_runtime.core.model import Model
from tpt_runtime.train.checkpoints import Topology
from tpt_runtime.train.stored import StoredCheckpoints

EVENT_PREFIX = "tpt-event "
"""Begins a line of a process's output that is an event for the launcher; every other line is passed on as it is."""

ERROR_FOLDER = "TPT_TRAIN_ERRORS"
"""Environment variable: the folder where a process that fails leaves its error, so that the launcher sees who was first."""

CHECKPOINTS = "checkpoints"
"""Folder of the checkpoints, beside the model."""

OUTCOMES = "outcome-a*.json"


class Device(Model):
    """What one training process computes on."""

    kind: str
    """cuda or cpu."""
    memory: int
    """Bytes: of one GPU, or of this machine."""
    bf16: bool = True
    """Whether it multiplies in bf16."""
    flash_attention: bool = False
    """Whether FlashAttention is installed and can run."""


class Job(Model):
    """One training, checked and decided upon."""

    config: TrainConfig
    device: Device
    processes: int
    """Over all nodes."""
    attention: str
    """Implementation of attention: sdpa, eager or flash_attention_2."""
    recompute: bool
    """Recompute activations in the backward pass: a third slower, far less memory."""
    home: str | None = None
    """s3:// URI of the run's artifacts, where the configuration's root is only a cache."""

    @property
    def accumulation(self) -> int:
        """Micro-batches that each process takes in an optimizer step (Packed may need fewer)."""
        training = self.config.training
        return training.batch_size // (training.micro_batch_size * self.processes)

    @property
    def topology(self) -> Topology:
        """What its checkpoints depend on."""
        training = self.config.training
        sharded = training.engine is TrainingEngine.DEEPSPEED
        return Topology(
            digest=self.config.digest,
            engine=training.engine.value,
            zero_stage=training.deepspeed.zero_stage if sharded else 0,
            offload=sharded and training.deepspeed.offload_optimizer,
            processes=self.processes,
        )


class Outcome(Model):
    """What came of a training; written beside the unpublished model by process 0."""

    loss: float
    """Mean training loss in nats, over all trained tokens."""
    held_out: list[float] = []
    """Mean loss on the held-out examples before and after, where there are any."""
    steps: int
    """Optimizer steps of the whole training."""
    tokens: int
    """Tokens that the loss was taken on, over all epochs."""
    examples: int
    dropped: int
    repeated: int
    changed_share: float
    """Share of the weights that are not what they were."""
    changed_share_bf16: float
    """The same after both are rounded to bf16, as an engine that samples in bf16 sees them."""
    versions: dict[str, str]
    """Of the libraries that took part."""


def outcome_file(job: Job) -> Path:
    """Return where process 0 leaves the outcome, beside the model."""
    return Path(job.config.root) / job.config.path / OUTCOMES.replace("*", str(job.config.attempt))


def stored_checkpoints(job: Job, check: Callable[[], None] = ask_nobody) -> StoredCheckpoints | None:
    """Return the checkpoints at home in an object store, None where they are in the folder itself; for `check` see `Objects`."""
    if job.home is None:
        return None
    objects = Objects(ObjectUri.parse("spec.storage.uri", job.home, job.config.storage_secret), check)
    return StoredCheckpoints(objects, f"{job.config.path}/{CHECKPOINTS}", job.config.attempt)


class Failure(Model):
    """Why a process ended."""

    message: str
    exit_code: int
    time: float
    """Seconds since the epoch."""


def event_line(event: str, **fields: Any) -> str:
    """Return the line that tells the launcher of `event`."""
    return EVENT_PREFIX + json.dumps({"event": event, **fields}, ensure_ascii=False, default=str)


def read_event(line: str) -> dict[str, Any] | None:
    """Return the event of an output line, or None when it is something else that was printed."""
    if not line.startswith(EVENT_PREFIX):
        return None
    try:
        found = json.loads(line.removeprefix(EVENT_PREFIX))
    except ValueError:  # two processes wrote at once
        return None
    return found if isinstance(found, dict) and isinstance(found.get("event"), str) else None
