"""What a verifier of the user's own is started through: limited in memory, and ended with the process that asks it.

It imports the standard library only, and is gone once the program has taken its place.
"""

import os
import resource
import sys
from contextlib import suppress


def become(parent: int, memory_bytes: int, argv: list[str]) -> None:
    """Be the program `argv`."""
    if sys.platform.startswith("linux"):
        from tpt_runtime.verify.confine import die_with_parent

        die_with_parent(parent)
    with suppress(ValueError, OSError):  # macOS refuses such a limit
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    os.execv(argv[0], argv)
