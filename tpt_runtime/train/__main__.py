"""`python -m tpt_runtime.train CONFIG`."""

import sys

from tpt_runtime.step.stoppable import be_stoppable


def main() -> int:
    """Run the step and return its exit code; the imports stand here because a step can be stopped before they are done."""
    from tpt_runtime.core.configs import TrainConfig
    from tpt_runtime.step.program import run_step
    from tpt_runtime.train.step import train

    return run_step(TrainConfig, train)


if __name__ == "__main__":
    be_stoppable()
    sys.exit(main())
