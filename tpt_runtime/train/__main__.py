"""`python -m tpt_runtime.train CONFIG`."""

import sys

from tpt_runtime.core.configs import TrainConfig
from tpt_runtime.step.program import run_step
from tpt_runtime.train.step import train

if __name__ == "__main__":
    sys.exit(run_step(TrainConfig, train))
