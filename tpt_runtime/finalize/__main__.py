"""`python -m tpt_runtime.finalize CONFIG`."""

import sys

from tpt_runtime.core.configs import FinalizeConfig
from tpt_runtime.finalize.step import finalize
from tpt_runtime.step.program import run_step

if __name__ == "__main__":
    sys.exit(run_step(FinalizeConfig, finalize))
