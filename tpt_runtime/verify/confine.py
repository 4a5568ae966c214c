"""Takes from this process what a generated program must not have, by the kernel's own means; nothing of it can be undone.

Landlock (which files can be read, no TCP, no signals out), a seccomp filter (see `syscalls`), resource limits, no capabilities.
All of it needs no privilege. It runs in an interpreter of its own that imports nothing but the standard library, so the three
calls of Landlock and prctl(2) are made through ctypes.

Source: linux/landlock.h, linux/prctl.h, linux/capability.h; landlock(7).
"""

import ctypes
import errno
import fcntl
import os
import resource
import signal
import struct
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from tpt_runtime.verify.syscalls import MACHINES, Wanted, assemble

CREATE_RULESET, ADD_RULE, RESTRICT_SELF, CAPSET = 444, 445, 446, {"x86_64": 126, "aarch64": 91}
"""System calls; those of Landlock have the same numbers everywhere."""
SET_PDEATHSIG, SET_DUMPABLE, SET_SECCOMP, SET_NO_NEW_PRIVS, FILTER = 1, 4, 22, 38, 2
EXECUTE, READ_FILE, READ_DIRECTORY = 1, 1 << 2, 1 << 3
WRITE_FILE, TRUNCATE = 1 << 1, 1 << 14
RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Rights on files that a version of Landlock knows; later versions know the last."""
SEES_EVERY_CHANGE = 3
"""From this version on Landlock sees every way to change a file; before, the filter refuses to open any for writing."""
TCP = 3
SOCKETS_AND_SIGNALS = 3
CAPABILITIES_VERSION = 0x20080522

READABLE = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo")
LOADERS = ("lib/ld-*", "lib64/ld-*", "lib/*/ld-*")
"""Programs that start a program."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
MOST_FILES = 64
OUT_OF_THE_WAY = 100

_libc = ctypes.CDLL(None, use_errno=True)


def landlock_version() -> int:
    """Return the version of Landlock that the kernel offers, 0 for none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, int(_libc.syscall(CREATE_RULESET, None, 0, 1)))


def filter_known() -> bool:
    """Return whether there is a seccomp filter for this machine."""
    return sys.platform.startswith("linux") and os.uname().machine in MACHINES


class Confinement:
    """Prepared once, in the process that forks; a child calls `enter`."""

    def __init__(self, interpreter: str | None, reads: tuple[str, ...] = ()) -> None:
        """Prepare for programs in this Python, or for one that becomes the program `interpreter`, which `reads` folders."""
        self._version = landlock_version()
        self._filter = filter_known()
        self._execute = interpreter is not None
        self._ruleset = self._make_ruleset(interpreter, reads) if self._version else None

    def enter(self, memory_bytes: int, output_bytes: int, cpu_seconds: int) -> None:
        """Confine this process, for good.

        Raises:
            OSError: the kernel refuses what it had offered.
        """
        _limit(memory_bytes, output_bytes, cpu_seconds)
        _prctl(SET_DUMPABLE, 0)
        _prctl(SET_NO_NEW_PRIVS, 1)
        if self._ruleset is not None:
            _checked(_libc.syscall(RESTRICT_SELF, self._ruleset, 0))
            os.close(self._ruleset)
        _drop_capabilities()
        if self._filter:
            unseen = self._version < SEES_EVERY_CHANGE
            _install(assemble(Wanted(os.uname().machine, os.getpid(), self._execute, refuse_writing=unseen)))

    def _make_ruleset(self, interpreter: str | None, reads: tuple[str, ...]) -> int:
        rights = RIGHTS[min(self._version, max(RIGHTS))]
        parts = [rights, TCP if self._version >= 4 else 0, SOCKETS_AND_SIGNALS if self._version >= 6 else 0]
        length = 24 if self._version >= 6 else 16 if self._version >= 4 else 8
        attributes = struct.pack("QQQ", *parts)[:length]
        ruleset = _checked(_libc.syscall(CREATE_RULESET, attributes, length, 0))
        for path in (*_own(), *READABLE) if interpreter is None else (*reads, *READABLE):
            _allow(ruleset, path, READ_FILE | READ_DIRECTORY)
        for device in DEVICES:
            _allow(ruleset, device, READ_FILE | ((WRITE_FILE | TRUNCATE) & rights if device == "/dev/null" else 0))
        if interpreter is not None:
            for path in (interpreter, *(str(path) for pattern in LOADERS for path in Path("/").glob(pattern))):
                _allow(ruleset, path, READ_FILE | EXECUTE)
        # Out of the way of the descriptors that a program gets.
        return fcntl.fcntl(ruleset, fcntl.F_DUPFD_CLOEXEC, OUT_OF_THE_WAY)


def die_with_parent(parent: int) -> None:
    """Have the kernel end this process when `parent` ends."""
    _prctl(SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _own() -> Iterator[str]:
    """Yield what this Python reads: its standard library, and its shared library where it has one."""
    yield from (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
    libraries = Path(sysconfig.get_config_var("LIBDIR") or "/nowhere")
    yield from map(str, libraries.glob("libpython*"))


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Allow `rights` on `path` and, if it is a folder, on all below it."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not Path(path).is_dir():
            rights &= ~READ_DIRECTORY
        _checked(_libc.syscall(ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, place), 0))
    finally:
        os.close(place)


def _limit(memory_bytes: int, output_bytes: int, cpu_seconds: int) -> None:
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_FSIZE: output_bytes,
        resource.RLIMIT_NOFILE: MOST_FILES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
    }
    for which, most in limits.items():
        _, hard = resource.getrlimit(which)
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))  # a signal that tells why, then the end


def _drop_capabilities() -> None:
    """Give up every capability; without any to begin with, nothing changes."""
    number = CAPSET.get(os.uname().machine)
    if number is not None:
        _checked(_libc.syscall(number, struct.pack("Ii", CAPABILITIES_VERSION, 0), bytes(24)))


def _install(code: bytes) -> None:
    program = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(program))
    _prctl(SET_SECCOMP, FILTER, header)


def _prctl(option: int, *values: int | bytes) -> None:
    padded = [*values, *[0] * (4 - len(values))]
    arguments = [value if isinstance(value, bytes) else ctypes.c_ulong(value) for value in padded]
    _checked(_libc.prctl(option, *arguments))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{errno.errorcode.get(number, number)}: {os.strerror(number)}")
    return result
