"""Which examples make up which optimizer step, and which process takes which of them at once. Pure.

The optimizer steps depend on the examples, the batch size and the seed alone, never on the number of processes or the micro-batch
size: so a training gives the same model on one GPU and on eight (up to rounding), and goes on from a checkpoint of either.

- Every example is in exactly one step of an epoch. n examples make ceil(n / batch size) steps whose sizes differ by at most
  one, so no step of a few leftovers moves the weights as far as a full one (Adam's steps are as long, whatever the batch).
- LengthGrouped sorts by length inside windows of `WINDOW` steps and then shuffles the steps: padding is small, and the order of
  lengths is random (the usual sampler runs from long to short inside each window).
- Inside a step the order is free, as the gradient is a sum: there, examples are sorted to keep padding small, the longest first.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from tpt_runtime.core.choices import Batching

WINDOW = 50
"""Optimizer steps grouped by length together: enough that lengths are alike, few enough that partners change by epoch."""


@dataclass(frozen=True)
class Shape:
    """How a step is divided."""

    processes: int
    micro_batch_size: int
    """Examples that one process takes at once."""
    accumulation: int
    """Micro-batches that every process takes in a step."""


@dataclass(frozen=True)
class Plan:
    """The whole training: every optimizer step's micro-batches, numbered as they are dealt to the processes."""

    steps: list[list[list[int]]]
    """By step: micro-batches of example indexes. Micro-batch k is taken by process k % processes; the last may be missing."""
    shape: Shape

    def micro_batches(self, process: int) -> Iterator[list[int]]:
        """Yield what `process` takes, one micro-batch after the other; an empty one where there is nothing left for it."""
        for step in self.steps:
            for turn in range(self.shape.accumulation):
                place = turn * self.shape.processes + process
                yield step[place] if place < len(step) else []


def plan_training(lengths: Sequence[int], batching: Batching, order: "Order", shape: Shape, capacity: int) -> Plan:
    """Plan a training.

    Args:
        lengths: tokens of every example.
        batching: how examples are put together.
        order: seed, epochs and batch size.
        shape: processes and micro-batches; its accumulation is replaced where batching is Packed.
        capacity: tokens of a packed row; no example is longer.

    Returns:
        The plan, with the accumulation that all its steps need.
    """
    steps = [step for epoch in range(order.epochs) for step in epoch_steps(lengths, batching, order, epoch)]
    if batching is Batching.PACKED:
        packed = [pack(step, lengths, capacity) for step in steps]
        turns = max(-(-len(rows) // shape.processes) for rows in packed)
        return Plan(packed, Shape(shape.processes, shape.micro_batch_size, turns))
    return Plan([divide(step, lengths, shape) for step in steps], shape)


@dataclass(frozen=True)
class Order:
    """What the order of a training is drawn from."""

    seed: str
    epochs: int
    batch_size: int
    """Examples of an optimizer step, over all processes."""


def epoch_steps(lengths: Sequence[int], batching: Batching, order: Order, epoch: int) -> list[list[int]]:
    """Return the examples of every optimizer step of one epoch."""
    # The generator is seeded with a text: Python hashes it with SHA-512, the same on every machine.
    generator = random.Random(f"{order.seed}/{epoch}")
    examples = list(range(len(lengths)))
    generator.shuffle(examples)
    sizes = near_equal(len(examples), -(-len(examples) // order.batch_size))
    if batching is not Batching.LENGTH_GROUPED:
        return list(_cut(examples, sizes))
    steps: list[list[int]] = []
    rest = iter(examples)
    for first in range(0, len(sizes), WINDOW):
        window = sizes[first : first + WINDOW]
        steps += _cut(sorted(islice(rest, sum(window)), key=lengths.__getitem__), window)
    generator.shuffle(steps)
    return steps


def divide(step: Sequence[int], lengths: Sequence[int], shape: Shape) -> list[list[int]]:
    """Return a step's micro-batches: of like lengths, the longest first, so that processes wait little for each other."""
    ordered = sorted(step, key=lambda example: (-lengths[example], example))
    parts = min(shape.accumulation * shape.processes, len(ordered))
    return list(_cut(ordered, near_equal(len(ordered), parts)))


def pack(step: Sequence[int], lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Return the step's examples in rows of at most `capacity` tokens, by best fit decreasing: each where least room is left."""
    rows: list[list[int]] = []
    room: list[int] = []
    for example in sorted(step, key=lambda example: (-lengths[example], example)):
        fitting = [row for row, left in enumerate(room) if left >= lengths[example]]
        best = min(fitting, key=room.__getitem__, default=None)
        if best is None:
            best = len(rows)
            rows.append([])
            room.append(capacity)
        rows[best].append(example)
        room[best] -= lengths[example]
    return rows


def plan_held_out(lengths: Sequence[int], shape: Shape) -> Plan:
    """Plan one pass over held-out examples: by length, in micro-batches, in one step."""
    ordered = sorted(range(len(lengths)), key=lambda example: (-lengths[example], example))
    size = shape.micro_batch_size
    chunks = [ordered[first : first + size] for first in range(0, len(ordered), size)]
    return Plan([chunks], Shape(shape.processes, size, -(-len(chunks) // shape.processes)))


def near_equal(count: int, parts: int) -> list[int]:
    """Return `parts` sizes that add up to `count` and differ by at most one, the larger ones first."""
    small, larger = divmod(count, parts)
    return [small + 1] * larger + [small] * (parts - larger)


def _cut(examples: Sequence[int], sizes: Sequence[int]) -> Iterator[list[int]]:
    rest = iter(examples)
    for size in sizes:
        yield list(islice(rest, size))
