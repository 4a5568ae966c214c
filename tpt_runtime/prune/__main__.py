"""`python -m tpt_runtime.prune CONFIG`."""

import sys

from tpt_runtime.step.stoppable import be_stoppable


def main() -> int:
    """Run the step and return its exit code; the imports stand here because a step can be stopped before they are done."""
    from tpt_runtime.core.configs import PruneConfig
    from tpt_runtime.prune.step import prune
    from tpt_runtime.step.program import run_step

    return run_step(PruneConfig, prune)


if __name__ == "__main__":
    be_stoppable()
    sys.exit(main())
