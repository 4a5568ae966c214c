"""Is this machine fit? One line for each thing that is not, all at once. Pure: it looks at nothing itself."""

from __future__ import annotations

from collections.abc import Iterator

from tpt_runtime.setup import packages
from tpt_runtime.setup.machine import SUPPORTED_PYTHONS, Machine
from tpt_runtime.setup.profiles import GB, GIB, Profile

OLDEST_GLIBC = (2, 28)
"""What the wheels of torch and vLLM (manylinux_2_28) are built for."""


def missing(machine: Machine, profile: Profile, *, installs: bool = True) -> tuple[str, ...]:
    """Return one line for each thing that this machine lacks: what was found, what is needed, the way out.

    Args:
        machine: The facts.
        profile: What is to be installed.
        installs: False when everything is installed already, so that free disk no longer matters.
    """
    lines = [*_system(machine, profile), *_python(machine), *_memory(machine, profile)]
    if installs:
        lines += _disk(machine, profile)
    return (*lines, *packages.complaints(machine, profile))


def _system(machine: Machine, profile: Profile) -> Iterator[str]:
    if machine.system not in ("Linux", "Darwin"):
        yield f"system: {machine.system} found; Linux or macOS is needed (on Windows: inside WSL 2)"
        return
    if profile.name == "gpu" and not machine.nvidia:
        yield "GPU: nvidia-smi does not answer; install NVIDIA's driver, or use --profile local"
    if profile.tools and machine.system != "Linux":
        yield f"system: {machine.system} found; a node of a cluster needs Linux"
    if profile.extras == ("dev",):
        return
    if machine.architecture not in ("x86_64", "aarch64"):
        yield f"processor: {machine.architecture} found; x86-64 or arm64 is needed"
    if machine.system == "Darwin" and machine.architecture == "x86_64":
        yield "processor: an Intel Mac found; torch has wheels for Apple silicon only"
    if machine.system == "Linux":
        yield from _linux(machine, profile)


def _linux(machine: Machine, profile: Profile) -> Iterator[str]:
    if machine.glibc is None or machine.glibc < OLDEST_GLIBC:
        found = "another C library" if machine.glibc is None else f"glibc {_dotted(machine.glibc)}"
        yield f"system: {found} found; glibc {_dotted(OLDEST_GLIBC)} is needed (Debian 10, Ubuntu 20.04)"
    if profile.name == "local" and machine.architecture == "x86_64" and "avx2" not in machine.cpu_flags:
        yield "processor: no AVX2 found; vLLM's CPU engine needs it (Intel since 2013, AMD since 2015)"


def _python(machine: Machine) -> Iterator[str]:
    first, last = SUPPORTED_PYTHONS
    made_with = machine.environment_python
    if not first <= machine.python <= last:
        hint = f"; use the one that is here: PYTHON={machine.other_pythons[0]}" if machine.other_pythons else ""
        yield f"Python: {_dotted(machine.python)} found; {_dotted(first)} to {_dotted(last)} is needed{hint}"
    elif made_with is not None and made_with != machine.python:
        yield (
            f"Python: .venv was made with {_dotted(made_with)}, this is {_dotted(machine.python)}; "
            f"remove it (rm -r .venv), or use the same Python (PYTHON=python{_dotted(made_with)})"
        )


def _memory(machine: Machine, profile: Profile) -> Iterator[str]:
    if machine.memory < profile.memory:
        yield f"memory: {machine.memory / GIB:.1f} GiB found; {profile.memory / GIB:.0f} GiB is needed"


def _disk(machine: Machine, profile: Profile) -> Iterator[str]:
    if machine.disk < profile.disk:
        yield f"disk: {machine.disk / GB:.1f} GB free here; {profile.disk / GB:.0f} GB is needed"


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
