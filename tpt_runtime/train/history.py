"""What the trainer's log says. Pure. The log is part of every checkpoint, so it tells of steps taken by earlier attempts too."""

from collections.abc import Mapping, Sequence

HELD_OUT_LOSS = "held_out_loss"

Entry = Mapping[str, float]


def mean_loss(history: Sequence[Entry], tokens_of_step: Sequence[int]) -> float:
    """Return the mean loss over all trained tokens; the log has each step's mean over its own.

    Raises:
        KeyError: a step is missing in the log.
    """
    losses = {int(entry["step"]): entry["loss"] for entry in history if "loss" in entry}
    total = sum(losses[step] * tokens for step, tokens in enumerate(tokens_of_step, 1))
    return total / sum(tokens_of_step)


def held_out_losses(history: Sequence[Entry]) -> list[float]:
    """Return the held-out losses, before and after the training; none where nothing was held out."""
    return [entry[HELD_OUT_LOSS] for entry in history if HELD_OUT_LOSS in entry]
