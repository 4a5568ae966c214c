"""The seccomp filter for generated programs: which system calls they may make, assembled as classic BPF.

A list of what is allowed, so that what a newer kernel adds is refused until somebody has looked at it. What is not in it
fails with EPERM (clone3 and openat2 with ENOSYS, so that libc falls back to calls whose arguments can be judged); a call of
another architecture ends the process. Threads may be made, processes may not. It reads no files and changes nothing: the
program it returns is installed by `confine`.

Source: struct seccomp_data and the return values of linux/seccomp.h, instructions of linux/bpf_common.h.
"""

import errno
import struct
from collections.abc import Iterator
from dataclasses import dataclass

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""The architectures that are known, and how the kernel's audit calls them."""

LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
NUMBER_AT, MACHINE_AT, ARGUMENTS_AT = 0, 4, 16

THREAD = 0x00010000
NAMESPACES = 0x7E020080
WRITING = 0o3 | 0o100 | 0o1000 | 0o20000000
"""open(2): O_WRONLY or O_RDWR, O_CREAT, O_TRUNC, O_TMPFILE."""
HARMLESS_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX."""
HARMLESS_FCNTLS = (0, 1, 2, 3, 4, 1030, 1032, 1034)
"""Duplicating, flags, pipe size, seals; not F_SETOWN, by which the kernel would send signals to others."""

CALLS = """
read:0:63 write:1:64 readv:19:65 writev:20:66 pread64:17:67 pwrite64:18:68 preadv:295:69 pwritev:296:70 close:3:57
close_range:436:436 fstat:5:80 newfstatat:262:79 stat:4:- lstat:6:- statx:332:291 lseek:8:62 mmap:9:222 munmap:11:215
mprotect:10:226 mremap:25:216 madvise:28:233 brk:12:214 rt_sigaction:13:134 rt_sigprocmask:14:135 rt_sigreturn:15:139
rt_sigpending:127:136 rt_sigtimedwait:128:137 rt_sigsuspend:130:133 sigaltstack:131:132 access:21:- faccessat:269:48
faccessat2:439:439 dup:32:23 dup2:33:- dup3:292:24 pipe:22:- pipe2:293:59 poll:7:- ppoll:271:73 select:23:- pselect6:270:72
epoll_create1:291:20 epoll_ctl:233:21 epoll_wait:232:- epoll_pwait:281:22 eventfd2:290:19 sched_yield:24:124
nanosleep:35:101 clock_nanosleep:230:115 clock_gettime:228:113 clock_getres:229:114 gettimeofday:96:169 time:201:-
times:100:153 getrusage:98:165 getpid:39:172 getppid:110:173 gettid:186:178 getuid:102:174 geteuid:107:175 getgid:104:176
getegid:108:177 getresuid:118:148 getresgid:120:150 getgroups:115:158 getpgrp:111:- getpgid:121:155 getsid:124:156
getcwd:79:17 readlink:89:- readlinkat:267:78 getdents:78:- getdents64:217:61 chdir:80:49 fchdir:81:50 statfs:137:43
fstatfs:138:44 futex:202:98 set_robust_list:273:99 get_robust_list:274:100 rseq:334:293 set_tid_address:218:96
membarrier:324:283 sched_getaffinity:204:123 sched_getparam:143:121 sched_getscheduler:145:120 getpriority:140:141
getcpu:309:168 arch_prctl:158:- exit:60:93 exit_group:231:94 restart_syscall:219:128 getrandom:318:278 uname:63:160
sysinfo:99:179 umask:95:166 getrlimit:97:163 getitimer:36:102 setitimer:38:103 alarm:37:- pause:34:- fadvise64:221:223
fsync:74:82 fdatasync:75:83 ftruncate:77:46 wait4:61:260 waitid:247:95
"""
"""Allowed whatever their arguments: name, number on x86_64, number on aarch64 (- where there is none)."""
JUDGED = """
openat:257:56 open:2:- ioctl:16:29 fcntl:72:25 prlimit64:302:261 kill:62:129 tgkill:234:131 clone:56:220 clone3:435:435
openat2:437:437 execve:59:221
"""
"""Allowed or not by their arguments, or refused in a way of their own."""


@dataclass(frozen=True)
class Wanted:
    """What a filter is for."""

    machine: str
    """As `os.uname().machine` says it."""
    pid: int
    """The process that will live under it: it may signal itself only."""
    execute: bool
    """Whether it may become another program once, an interpreter; Landlock says which."""
    refuse_writing: bool
    """Whether to refuse to open files for writing, where Landlock does not see to it."""


def numbers(table: str, machine: str) -> dict[str, int]:
    """Return the calls of `table` and their numbers on `machine`."""
    column = 1 + list(MACHINES).index(machine)
    rows = (row.split(":") for row in table.split())
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


def assemble(wanted: Wanted) -> bytes:
    """Return the filter as an array of struct sock_filter.

    Raises:
        KeyError: the machine is none of `MACHINES`.
    """
    code = [_load(MACHINE_AT), _jump(EQUAL, MACHINES[wanted.machine], 1, 0), _end(KILL), _load(NUMBER_AT)]
    for number in numbers(CALLS, wanted.machine).values():
        code += [_jump(EQUAL, number, 0, 1), _end(ALLOW)]
    for name, number in numbers(JUDGED, wanted.machine).items():
        block = list(_judge(name, wanted))
        code += [_jump(EQUAL, number, 0, len(block)), *block]
    return b"".join([*code, _end(REFUSE | errno.EPERM)])


def _judge(name: str, wanted: Wanted) -> Iterator[bytes]:
    """Yield what decides on the call `name`; it ends in a return whichever way it goes."""
    if name in ("clone3", "openat2"):
        yield _end(REFUSE | errno.ENOSYS)
    elif name == "execve":
        yield _end(ALLOW if wanted.execute else REFUSE | errno.EPERM)
    elif name in ("open", "openat"):
        yield from _unless_bits(1 if name == "open" else 2, WRITING if wanted.refuse_writing else 0, errno.EROFS)
    elif name in ("kill", "tgkill"):
        yield from _one_of(0, (wanted.pid,))
    elif name == "ioctl":
        yield from _one_of(1, HARMLESS_IOCTLS)
    elif name == "fcntl":
        yield from _one_of(1, HARMLESS_FCNTLS)
    elif name == "clone":
        yield from (_load(_argument(0)), _jump(ANY_BIT, THREAD, 1, 0), _end(REFUSE | errno.EPERM))
        yield from _unless_bits(0, NAMESPACES, errno.EPERM)
    else:  # prlimit64: limits may be read, not set
        halves = (_argument(2), _argument(2) + 4)
        for half in halves:
            yield from (_load(half), _jump(EQUAL, 0, 1, 0), _end(REFUSE | errno.EPERM))
        yield _end(ALLOW)


def _argument(index: int) -> int:
    """Return where the lower half of an argument lies; the machines known here are little-endian."""
    return ARGUMENTS_AT + 8 * index


def _unless_bits(argument: int, bits: int, error: int) -> Iterator[bytes]:
    yield from (_load(_argument(argument)), _jump(ANY_BIT, bits, 0, 1), _end(REFUSE | error), _end(ALLOW))


def _one_of(argument: int, values: tuple[int, ...]) -> Iterator[bytes]:
    yield _load(_argument(argument))
    for value in values:
        yield from (_jump(EQUAL, value, 0, 1), _end(ALLOW))
    yield _end(REFUSE | errno.EPERM)


def _load(offset: int) -> bytes:
    return struct.pack("HBBI", LOAD, 0, 0, offset)


def _jump(test: int, value: int, if_true: int, if_false: int) -> bytes:
    return struct.pack("HBBI", test, if_true, if_false, value)


def _end(answer: int) -> bytes:
    return struct.pack("HBBI", RETURN, 0, 0, answer)
