"""The first thing that a step program does: it lets itself be ended while it still imports, which takes seconds on a cold node.

The first process of a container ignores SIGTERM unless it handles it, by a rule of the kernel: a short step that is evicted early
would go on to its end, and its pod be gone before its summary is read. Imports nothing that is heavy.
"""

import os
import signal

from tpt_runtime.core.errors import EXIT_INTERRUPTED


def be_stoppable() -> None:
    """End at once on SIGTERM from now on: nothing is under way yet. Later `Context` takes the signal, to stop in order."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(EXIT_INTERRUPTED))
