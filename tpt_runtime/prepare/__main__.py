"""`python -m tpt_runtime.prepare CONFIG`."""

import sys

from tpt_runtime.core.configs import PrepareConfig
from tpt_runtime.prepare.step import prepare
from tpt_runtime.step.program import run_step

if __name__ == "__main__":
    sys.exit(run_step(PrepareConfig, prepare))
