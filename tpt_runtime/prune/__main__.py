"""`python -m tpt_runtime.prune CONFIG`."""

import sys

from tpt_runtime.core.configs import PruneConfig
from tpt_runtime.prune.step import prune
from tpt_runtime.step.program import run_step

if __name__ == "__main__":
    sys.exit(run_step(PruneConfig, prune))
