"""The filter of system calls, run here as the kernel would run it."""

import errno
import struct
from pathlib import Path

import pytest

from tpt_runtime.verify.syscalls import ALLOW, CALLS, JUDGED, KILL, MACHINES, REFUSE, Wanted, assemble, numbers

HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "__NR_{name}"),
    "aarch64": ("/usr/include/asm-generic/unistd.h", "__NR_{name}|__NR3264_{name}"),
}
OTHER_NAMES = {"newfstatat": "fstatat"}


def answer(wanted: Wanted, name: str, *arguments: int, machine: int | None = None) -> int:
    """Interpret the filter on one call."""
    number = numbers(CALLS, wanted.machine).get(name, numbers(JUDGED, wanted.machine).get(name, 9999))
    values = [value & (2**64 - 1) for value in (*arguments, *[0] * (6 - len(arguments)))]
    data = struct.pack("IIQ6Q", number, MACHINES[wanted.machine] if machine is None else machine, 0, *values)
    code = list(struct.iter_unpack("HBBI", assemble(wanted)))
    accumulator, at = 0, 0
    while True:
        kind, if_true, if_false, value = code[at]
        at += 1
        match kind:
            case 0x20:
                (accumulator,) = struct.unpack_from("I", data, value)
            case 0x15:
                at += if_true if accumulator == value else if_false
            case 0x45:
                at += if_true if accumulator & value else if_false
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(f"no instruction of ours: {kind:#x}")


def refused(error: int) -> int:
    return REFUSE | error


@pytest.fixture(params=MACHINES, name="python")
def python_fixture(request: pytest.FixtureRequest) -> Wanted:
    return Wanted(request.param, pid=4711, execute=False, refuse_writing=False)


def test_ordinary_calls_are_allowed(python: Wanted) -> None:
    for name in numbers(CALLS, python.machine):
        assert answer(python, name, 2**64 - 1) == ALLOW


def test_a_call_that_nobody_has_looked_at_is_refused(python: Wanted) -> None:
    assert answer(python, "one of tomorrow") == refused(errno.EPERM)


def test_a_call_of_another_machine_ends_the_process(python: Wanted) -> None:
    for machine in (*MACHINES.values(), 0x40000003):
        if machine != MACHINES[python.machine]:
            assert answer(python, "read", machine=machine) == KILL


def test_only_threads_are_made(python: Wanted) -> None:
    thread = 0x3D0F00
    assert answer(python, "clone", thread) == ALLOW
    assert answer(python, "clone", 17) == refused(errno.EPERM)
    assert answer(python, "clone", thread | 0x10000000) == refused(errno.EPERM), "with a namespace of its own"
    assert answer(python, "clone3") == refused(errno.ENOSYS), "libc falls back to clone"


def test_a_process_signals_itself_only(python: Wanted) -> None:
    for name in ("kill", "tgkill"):
        assert answer(python, name, 4711) == ALLOW
        for other in (1, 0, -1, 4712, -4711):
            assert answer(python, name, other) == refused(errno.EPERM)


def test_limits_may_be_read_and_not_set(python: Wanted) -> None:
    assert answer(python, "prlimit64", 0, 7, 0, 0x7FFF0000) == ALLOW
    assert answer(python, "prlimit64", 0, 7, 0x7FFF0000) == refused(errno.EPERM)
    assert answer(python, "prlimit64", 0, 7, 0x7F_0000_0000) == refused(errno.EPERM), "an address whose lower half is zero"


def test_becoming_another_program_is_for_other_interpreters(python: Wanted) -> None:
    assert answer(python, "execve") == refused(errno.EPERM)
    assert answer(Wanted(python.machine, 4711, execute=True, refuse_writing=False), "execve") == ALLOW


@pytest.mark.parametrize("flags", [0o1, 0o2, 0o100, 0o1000, 0o20000000])
def test_where_landlock_does_not_see_writing_opening_to_write_is_refused(python: Wanted, flags: int) -> None:
    strict = Wanted(python.machine, 4711, execute=False, refuse_writing=True)
    assert answer(strict, "openat", 0, 0, flags) == refused(errno.EROFS)
    assert answer(strict, "openat", 0, 0, 0o2000000) == ALLOW
    assert answer(python, "openat", 0, 0, flags) == ALLOW


def test_only_harmless_ioctls_and_fcntls_are_allowed(python: Wanted) -> None:
    assert answer(python, "ioctl", 0, 0x5401) == ALLOW
    assert answer(python, "ioctl", 0, 0x5412) == refused(errno.EPERM)
    assert answer(python, "fcntl", 1, 3) == ALLOW
    assert answer(python, "fcntl", 1, 8) == refused(errno.EPERM)


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    path, names = HEADERS[machine]
    if not Path(path).exists():
        pytest.skip(f"no {path} here")
    defined = {}
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        words = line.split()
        if len(words) >= 3 and words[0] == "#define" and words[2].isdigit():
            defined[words[1]] = int(words[2])
    table = numbers(CALLS, machine) | numbers(JUDGED, machine)
    assert len(table) > 90
    for name, number in table.items():
        own = OTHER_NAMES.get(name, name) if machine == "aarch64" else name
        found = {defined[known] for known in names.format(name=own).split("|") if known in defined}
        assert found == {number}, name
