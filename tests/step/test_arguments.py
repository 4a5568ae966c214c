"""What a step program is told arrives as it was meant, however many rounds there are."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.steps.conftest import commands, run_of
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.configs import StepConfig
from tpt_runtime.core.status import Metric, RoundStatus, RunStatus, StepName, StepStatus

__all__ = ["commands", "run_of"]

LONGEST_ARGUMENT = 128 * 1024
"""Bytes, on Linux (MAX_ARG_STRLEN)."""
ROUNDS = 64


def every_config(built: Commands, status: RunStatus, best: int | None) -> list[StepConfig]:
    return [
        built.prepare(1),
        built.sample(ROUNDS, 1, evaluate=True),
        built.prune(ROUNDS, 1, evaluate=True, compare=1),
        built.prune(ROUNDS, 1, evaluate=False, compare=None),
        built.train(ROUNDS, 1),
        built.evaluate(ROUNDS, 1),
        built.grade(ROUNDS, 1, compare=None),
        built.finalize(ROUNDS, 1, best_round=best, status=status.full_wire()),
    ]


def long_status() -> RunStatus:
    """Return the status of a run of 64 rounds with every figure there is."""
    now = datetime.now(UTC)
    metrics = [Metric(name=f"validation/figure{n}@1", value=0.12345, low=0.11111, high=0.22222) for n in range(40)]
    steps = [StepStatus(name=name, start_time=now, completion_time=now) for name in StepName]
    return RunStatus(rounds=[RoundStatus(round=n, metrics=metrics, steps=steps) for n in range(ROUNDS + 1)])


@pytest.mark.parametrize("best", [None, 3])
def test_every_configuration_reads_back_as_it_was_written(best: int | None, commands: Callable[..., Commands]) -> None:
    built = commands(training={"data": "Accumulated"})
    for config in every_config(built, RunStatus(), best):
        assert type(config).model_validate_json(config.model_dump_json(by_alias=True, exclude_none=True)) == config


def test_every_configuration_of_a_long_run_fits_into_one_argument(commands: Callable[..., Commands]) -> None:
    built = commands(
        maxRounds=ROUNDS,
        training={"data": "Accumulated"},
        dataset={
            "train": {"uri": "a.jsonl"},
            "eval": {"uri": "b.jsonl"},
            "prompt": {"system": "x" * 16384, "template": "y" * 16384},
        },
    )
    for config in every_config(built, long_status(), 3):
        assert len(config.model_dump_json(by_alias=True, exclude_none=True).encode()) < LONGEST_ARGUMENT, config.step
