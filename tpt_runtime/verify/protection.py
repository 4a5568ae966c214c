"""Is the sandbox whole on this machine, and may programs run if it is not?

It is tried from inside, not believed: a process as confined as a program is attempts what it must not be able to do. `Required`
refuses to run any program where one attempt works; `BestEffort` goes on and says what is not contained.
"""

import os
import sys

from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.verify.confine import filter_known, landlock_version
from tpt_runtime.verify.probe import WALLS
from tpt_runtime.verify.sandbox import Sandbox


def gaps(sandbox: Sandbox) -> list[str]:
    """Return what does not hold here, in words, as tried from inside."""
    return [WALLS[wall] for wall, held in sandbox.probe().items() if not held]


def require(sandbox: Sandbox) -> None:
    """See that every wall holds.

    Raises:
        ConfigurationError: one does not; it says which, why, and what to do.
    """
    refuse_other_systems()
    if missing := gaps(sandbox):
        raise ConfigurationError(
            f"spec.pruning.verifier.sandbox: Required, but here it does not hold that {'; that '.join(missing)} "
            f"({kernel_words()}). Run where the kernel has Landlock (Linux 5.13 or newer, with landlock among its security "
            "modules) and seccomp, or set sandbox: BestEffort if something else contains the programs, such as a runtimeClassName"
        )


def refuse_other_systems() -> None:
    """Raise `ConfigurationError` where there can be no sandbox at all, not even a poor one."""
    if not sys.platform.startswith("linux"):
        raise ConfigurationError(
            f"spec.pruning.verifier.type: Code needs Linux, found {sys.platform}; run it on a cluster or in a virtual machine"
        )


def kernel_words() -> str:
    """Return what the kernel offers, for messages."""
    version = landlock_version()
    landlock = f"Landlock {version}" if version else "no Landlock"
    seccomp = "a seccomp filter" if filter_known() else f"no seccomp filter for {os.uname().machine}"
    return f"Linux {os.uname().release}: {landlock}, {seccomp}"
