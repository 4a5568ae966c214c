"""The programs of a real Prometheus, for the tests that ask it: from the PATH, or unpacked beside the environment."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.cluster.binaries import in_ci

UNPACKED = Path(sys.prefix, "prometheus", "usr", "bin")
"""Where the set-up unpacks Debian's package."""


def program(name: str) -> str:
    """Return the path of `prometheus` or `promtool`; where there is none, skip the test, or fail it in CI."""
    found = shutil.which(name) or shutil.which(name, path=str(UNPACKED))
    if found is not None:
        return found
    why = f"there is no {name} here (Debian's package prometheus has it)"
    if in_ci(os.environ):
        pytest.fail(f"{why}, and CI must not pass without it")
    pytest.skip(f"{why}: what Prometheus makes of the metrics is not tested")
