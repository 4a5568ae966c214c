"""What this machine is, gathered once and handed to the checks. Decides nothing."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

SUPPORTED_PYTHONS = ((3, 11), (3, 14))
"""The first and the last Python that TPT and its engine have wheels for."""

TOOLS = ("buildah", "chromedriver", "chromium", "containerd", "debootstrap", "ip", "iptables", "nft", "prometheus", "runc")
"""Programs that a profile may need."""
CNI = "bridge of CNI"
"""Another of them, by the name it has here: the plugin of container networks, which is on no PATH."""
CNI_PLUGIN = Path("/usr/lib/cni/bridge")
TEST_TOOLS = ("prometheus", "redis-server")
"""Programs that tests ask, and that are unpacked for them into `.venv/PROGRAM`."""

ARCHITECTURES = {"amd64": "x86_64", "x86-64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True)
class Machine:
    """The facts that the set-up decides by; sizes in bytes."""

    system: str
    """As `platform.system()` says it: Linux, Darwin, Windows."""
    architecture: str
    """x86_64 or aarch64 (also Apple's arm64), else what the system says."""
    python: tuple[int, int]
    memory: int
    disk: int
    cpu_flags: frozenset[str] = frozenset()
    """Empty where there is no /proc/cpuinfo."""
    glibc: tuple[int, int] | None = None
    """None on macOS, and on a Linux with another C library."""
    distribution: frozenset[str] = frozenset()
    """ID and ID_LIKE of /etc/os-release."""
    other_pythons: tuple[str, ...] = ()
    """Supported interpreters on the PATH, for the hint."""
    system_python: bool = True
    """The interpreter is the distribution's, so the distribution's packages can complete it."""
    environment_python: tuple[int, int] | None = None
    """The Python of the `.venv` that is there, if one is."""
    root: bool = False
    nvidia: bool = False
    ensurepip: bool = True
    headers: bool = True
    compiler: bool = True
    libnuma: bool = True
    tools: frozenset[str] = frozenset()
    """Those of `TOOLS`, `TEST_TOOLS` and `CNI` that are there."""


def look(checkout: Path) -> Machine:
    """Return the facts about this machine, as seen from the checkout's folder."""
    return Machine(
        system=platform.system(),
        architecture=architecture(platform.machine()),
        python=sys.version_info[:2],
        memory=_memory(),
        disk=shutil.disk_usage(checkout).free,
        cpu_flags=cpu_flags(_text("/proc/cpuinfo")),
        glibc=_glibc(),
        distribution=distribution(_text("/etc/os-release")),
        other_pythons=_other_pythons(),
        system_python=sys.base_prefix == "/usr",
        environment_python=_environment_python(checkout / ".venv"),
        root=hasattr(os, "geteuid") and os.geteuid() == 0,
        nvidia=_nvidia(),
        ensurepip=importlib.util.find_spec("ensurepip") is not None,
        headers=Path(sysconfig.get_paths()["include"], "Python.h").is_file(),
        compiler=shutil.which((os.environ.get("CXX") or "c++").split()[0]) is not None,
        libnuma=_loads("libnuma.so.1"),
        tools=_tools(checkout),
    )


def architecture(name: str) -> str:
    """Return one name for an architecture that systems name differently."""
    return ARCHITECTURES.get(name.lower(), name.lower())


def cpu_flags(cpuinfo: str) -> frozenset[str]:
    """Return the features of the first processor in the text of /proc/cpuinfo."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def memory(meminfo: str, limits: tuple[str, ...] = ()) -> int:
    """Return the bytes that processes may use, from the text of /proc/meminfo and the control group's limits."""
    sizes = [int(line.split()[1]) * 1024 for line in meminfo.splitlines() if line.startswith("MemTotal:")]
    sizes += [int(limit) for limit in limits if limit.strip().isdigit()]
    return min(sizes) if sizes else 0


def distribution(os_release: str) -> frozenset[str]:
    """Return what the text of /etc/os-release calls the distribution and its relatives."""
    words = set()
    for line in os_release.splitlines():
        key, _, value = line.partition("=")
        if key in ("ID", "ID_LIKE"):
            words.update(value.strip("\"'").split())
    return frozenset(words)


def environment_python(pyvenv: str) -> tuple[int, int] | None:
    """Return the Python version in the text of a `pyvenv.cfg`, or None without one."""
    for line in pyvenv.splitlines():
        key, _, value = line.partition("=")
        if key.strip() in ("version", "version_info"):
            major, minor = value.strip().split(".")[:2]
            return int(major), int(minor)
    return None


def _environment_python(environment: Path) -> tuple[int, int] | None:
    if not (environment / "bin" / "pip").exists():  # its making was interrupted: `venv` completes it
        return None
    return environment_python(_text(str(environment / "pyvenv.cfg")))


def _memory() -> int:
    meminfo = _text("/proc/meminfo")
    if meminfo:
        return memory(meminfo, (_text("/sys/fs/cgroup/memory.max"),))
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0


def _glibc() -> tuple[int, int] | None:
    name, version = platform.libc_ver()
    if name != "glibc":
        return None
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _other_pythons() -> tuple[str, ...]:
    (major, first), (_, last) = SUPPORTED_PYTHONS
    names = [f"python{major}.{minor}" for minor in range(last, first - 1, -1)]
    return tuple(name for name in names if shutil.which(name) and _answers((name, "-c", "")))


def _nvidia() -> bool:
    return shutil.which("nvidia-smi") is not None and _answers(("nvidia-smi", "-L"))


def _answers(command: tuple[str, ...]) -> bool:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _tools(checkout: Path) -> frozenset[str]:
    unpacked = [str(checkout / ".venv" / name / "usr" / "bin") for name in TEST_TOOLS]
    places = ":".join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", *unpacked])
    found = {name for name in (*TOOLS, *TEST_TOOLS) if shutil.which(name, path=places)}
    return frozenset(found | ({CNI} if CNI_PLUGIN.is_file() else set()))


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
