"""Which system packages are missing, and the exact line that installs them. Runs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tpt_runtime.setup.machine import CNI, Machine
from tpt_runtime.setup.profiles import Profile, engine_has_wheel

if TYPE_CHECKING:
    Command = tuple[str, ...]

LIBNUMA = "libnuma (vLLM's CPU engine loads it)"
COMPILER = "a C++ compiler (DeepSpeed and Triton build small extensions at first use)"
HEADERS = "Python's headers (for the same extensions)"
VENV = "Python's venv module"

DEBIAN_TOOLS = {
    "buildah": "buildah",
    "chromedriver": "chromium-driver",
    "chromium": "chromium",
    "containerd": "containerd",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "iptables": "iptables",
    "nft": "nftables",
    "prometheus": "prometheus",
    "runc": "runc",
    CNI: "containernetworking-plugins",
}
"""Packages of the programs that profiles need. Their names elsewhere are not known here."""


UNPACKED = {
    "prometheus": ("prometheus",),
    "redis-server": ("redis-server", "redis-tools", "libatomic1", "libjemalloc2", "liblzf1"),
}
"""Debian's packages of the programs that are unpacked for tests: with the program itself, and with what few systems have."""


@dataclass(frozen=True)
class Manager:
    """A package manager: how it installs, and what it calls the things that TPT needs."""

    commands: tuple[Command, ...]
    """Run in order; the names of the packages are added to the last one."""
    names: dict[str, str]


MANAGERS = {
    "debian": Manager(
        (("apt-get", "update"), ("apt-get", "install", "--yes", "--no-install-recommends")),
        {LIBNUMA: "libnuma1", COMPILER: "g++", HEADERS: "python{version}-dev", VENV: "python{version}-venv", **DEBIAN_TOOLS},
    ),
    "fedora": Manager(
        (("dnf", "install", "--assumeyes"),),
        {LIBNUMA: "numactl-libs", COMPILER: "gcc-c++", HEADERS: "python3-devel", VENV: "python3-libs"},
    ),
    "suse": Manager(
        (("zypper", "--non-interactive", "install"),),
        {LIBNUMA: "libnuma1", COMPILER: "gcc-c++", HEADERS: "python3-devel", VENV: "python3-base"},
    ),
    "arch": Manager(
        (("pacman", "-S", "--noconfirm"),),
        {LIBNUMA: "numactl", COMPILER: "gcc", HEADERS: "python", VENV: "python"},
    ),
}
RELATIVES = {"debian": "debian", "ubuntu": "debian", "fedora": "fedora", "rhel": "fedora", "centos": "fedora",
             "suse": "suse", "opensuse": "suse", "arch": "arch"}  # fmt: skip


def needs(machine: Machine, profile: Profile) -> tuple[str, ...]:
    """Return what the system lacks for a profile, in words."""
    if machine.system != "Linux":
        return () if machine.ensurepip else (VENV,)
    builds = profile.extras != ("dev",)
    lacks = (
        (LIBNUMA, not machine.libnuma and profile.name == "local" and engine_has_wheel(machine)),
        (COMPILER, not machine.compiler and builds),
        (HEADERS, not machine.headers and builds),
        (VENV, not machine.ensurepip),
        *((tool, tool not in machine.tools) for tool in profile.tools),
    )
    return tuple(what for what, missing in lacks if missing)


def may_install(machine: Machine) -> bool:
    """Return whether the set-up installs system packages itself: as root on Debian, Ubuntu and relatives."""
    return machine.root and manager_of(machine) is MANAGERS["debian"]


def has_debs(machine: Machine) -> bool:
    """Return whether packages come from Debian's archive, or from that of a relative."""
    return machine.system == "Linux" and manager_of(machine) is MANAGERS["debian"]


def manager_of(machine: Machine) -> Manager | None:
    """Return the distribution's package manager, or None when it is not one of those known here."""
    known = {RELATIVES[word] for word in machine.distribution if word in RELATIVES}
    return next((manager for name, manager in MANAGERS.items() if name in known), None)


def commands(machine: Machine, what: tuple[str, ...]) -> tuple[Command, ...]:
    """Return the commands that install what is needed; empty when nothing is, or nobody knows how."""
    manager = manager_of(machine)
    if manager is None or not what or not manager.names.keys() >= set(what):
        return ()
    version = ".".join(map(str, machine.python))
    names = tuple(dict.fromkeys(manager.names[need].format(version=version) for need in what))
    return (*manager.commands[:-1], manager.commands[-1] + names)


def complaints(machine: Machine, profile: Profile) -> tuple[str, ...]:
    """Return a line for what is missing and will not be installed by the set-up itself, with the way out."""
    what = needs(machine, profile)
    foreign = () if machine.system_python else tuple(need for need in what if need in (HEADERS, VENV))
    lines = [f"Python: this interpreter lacks {need}; install it, or use another: PYTHON=..." for need in foreign]
    rest = tuple(need for need in what if need not in foreign)
    if rest and not may_install(machine):
        lines.append(f"system: {', '.join(rest)} missing; {_way_out(machine, rest)}")
    return tuple(lines)


def _way_out(machine: Machine, what: tuple[str, ...]) -> str:
    line = " && ".join(" ".join(command if machine.root else ("sudo", *command)) for command in commands(machine, what))
    return f"run: {line}" if line else "install it with your system's package manager"
