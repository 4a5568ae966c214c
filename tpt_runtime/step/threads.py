"""How the threads of whatever computes wait for each other. Said once, for every program, before torch is imported."""

import os
from collections.abc import MutableMapping


def let_idle_threads_sleep(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let threads that wait for each other sleep instead of spin, unless the user has said otherwise.

    Two threads that spin on one core, because of other programs or of a virtual machine's scheduler, were seen to do a tenth of
    the work. It holds for the processes that this one starts too.
    """
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
