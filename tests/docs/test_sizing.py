"""The table of docs/sizing.md is what the arithmetic says."""

import re
from pathlib import Path

import pytest

from tpt_runtime.core.budget import Shape, sampling_memory, training_memory
from tpt_runtime.core.spec import Training

PAGE = (Path(__file__).parents[2] / "docs/sizing.md").read_text(encoding="utf-8")
COLUMNS = ((0, 1), (2, 4), (2, 8), (3, 8), (3, 16), (3, 24))
"""Stage and processes, in the order of the table."""
ROWS = re.findall(r"^\| ([\d.]+) B \| ([\d. |]+) \|$", PAGE, re.MULTILINE)


def training(stage: int, method: str) -> Training:
    return Training.from_wire({"method": method, "deepspeed": {"zeroStage": stage}})


def test_the_table_has_rows() -> None:
    assert len(ROWS) == 7


@pytest.mark.parametrize(("billions", "cells"), ROWS, ids=[row[0] for row in ROWS])
def test_memory_of_training(billions: str, cells: str) -> None:
    shape = Shape(int(float(billions) * 1e9))
    full = [training_memory(shape, training(stage, "Full"), processes).device for stage, processes in COLUMNS]
    frozen = training_memory(shape, training(2, "LoRA"), 1).device
    assert cells.split(" | ") == [f"{size / 1e9:.1f}" for size in (*full, frozen)]


def test_memory_of_sampling() -> None:
    said = re.findall(r"^\| ([\d.]+) B \| (\d+) GB \| \d", PAGE, re.MULTILINE)
    assert len(said) == 5
    for billions, gigabytes in said:
        weights = sampling_memory(Shape(int(float(billions) * 1e9)), 1).weights
        assert f"{weights / 1e9:.0f}" == gigabytes
