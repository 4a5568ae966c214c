"""The machines that the set-up is tried on, none of them real."""

from collections.abc import Callable
from typing import Any

import pytest

from tpt_runtime.setup.machine import Machine

GIB = 1024**3
GB = 1000**3


@pytest.fixture
def machine() -> Callable[..., Machine]:
    """Return a maker of machines: a Debian PC with all that TPT needs, but for the changes named."""

    def make(**changes: Any) -> Machine:
        fit: dict[str, Any] = {
            "system": "Linux",
            "architecture": "x86_64",
            "python": (3, 11),
            "memory": 16 * GIB,
            "disk": 100 * GB,
            "cpu_flags": frozenset({"sse4_2", "avx", "avx2"}),
            "glibc": (2, 36),
            "distribution": frozenset({"debian"}),
        }
        return Machine(**(fit | changes))

    return make


@pytest.fixture
def mac(machine: Callable[..., Machine]) -> Machine:
    """Return a Mac with Apple silicon."""
    return machine(system="Darwin", architecture="aarch64", cpu_flags=frozenset(), glibc=None, distribution=frozenset())
