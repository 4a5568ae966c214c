"""train: what is read from the trainer's log."""

import pytest

from tpt_runtime.train.history import held_out_losses, mean_loss

HISTORY = [
    {"step": 0, "held_out_loss": 3.0},
    {"step": 1, "loss": 2.0},
    {"step": 2, "loss": 1.0},
    {"step": 2, "held_out_loss": 1.5},
    {"step": 2, "train_loss": 9.0},
]


def test_every_token_weighs_the_same_in_the_mean_loss() -> None:
    assert mean_loss(HISTORY, [10, 30]) == pytest.approx((2.0 * 10 + 1.0 * 30) / 40)


def test_a_step_that_was_never_logged_is_no_zero() -> None:
    with pytest.raises(KeyError):
        mean_loss(HISTORY, [10, 30, 20])


def test_held_out_losses_come_before_and_after() -> None:
    assert held_out_losses(HISTORY) == [3.0, 1.5]
    assert held_out_losses([]) == []
