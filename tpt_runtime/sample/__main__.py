"""`python -m tpt_runtime.sample CONFIG`."""

import sys

from tpt_runtime.core.configs import SampleConfig
from tpt_runtime.sample.step import sample
from tpt_runtime.step.program import run_step

if __name__ == "__main__":
    sys.exit(run_step(SampleConfig, sample))
