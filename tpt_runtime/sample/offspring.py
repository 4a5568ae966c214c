"""Makes processes that a library forks end with this one, even when it is killed.

Linux only. It covers `fork` from the main thread, which is how vLLM starts its engine's process on GPUs; what that process
starts in turn watches it.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def children_die_with_us() -> None:
    """From now on, kill every forked child when this process ends, and let it take signals for itself alone."""
    os.register_at_fork(after_in_child=_in_child)


def _in_child() -> None:
    # The wake-up descriptor is the parent's: a signal to the child would look like one to the parent.
    signal.set_wakeup_fd(-1)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
