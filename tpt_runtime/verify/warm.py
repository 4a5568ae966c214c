"""A warm interpreter that programs are forked from: starting Python and importing what they need is paid once.

It runs by itself, with an empty environment and the standard library only, and is told where to take things from by descriptors:
it never sees a program, an input or a test, so what is forked from it later finds nothing of others in its memory. What it
forks confines itself before it reads the program. One datagram of JSON is one order or one report:

    {"fork": ROLE, limits...} with descriptors   ->  {"pid": 17}, and once it has ended {"pid": 17, "status": 9, "kilobytes": 900}
    {"end": 17}                                  ->  no report of its own

Roles: `main` runs a program as a script; `program` loads one and answers calls; `tests` calls it; `other` becomes another
interpreter; `probe` tries what must not work. When the other end closes, all that still runs ends with this process.
"""

import fcntl
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from types import ModuleType
from typing import Any

from tpt_runtime.verify.calls import Answers, Program, ProgramEnded
from tpt_runtime.verify.confine import Confinement, die_with_parent
from tpt_runtime.verify.probe import try_everything
from tpt_runtime.verify.trial import try_all

USED_BY_PROGRAMS = (
    *("__future__", "abc", "array", "bisect", "collections", "collections.abc", "copy", "dataclasses", "datetime", "decimal"),
    *("enum", "fractions", "functools", "heapq", "io", "itertools", "json", "math", "numbers", "operator", "queue", "random"),
    *("re", "site", "statistics", "string", "struct", "threading", "time", "traceback", "types", "typing"),
)
"""Imported before anything is forked: most programs import some of these."""
LARGEST_ORDER = 65536
FIRST_FREE = 200
"""Descriptors are moved from here on before they are put in their places."""
READY = b"{}"


def serve(descriptor: int, parent: int, interpreter: str | None, reads: tuple[str, ...]) -> None:
    """Take orders from the socket at `descriptor` until `parent` closes it; `interpreter` is what the role `other` becomes."""
    die_with_parent(parent)
    orders = socket.socket(fileno=descriptor)
    os.chdir("/")
    for name in USED_BY_PROGRAMS:
        importlib.import_module(name)
    _builtins_of_a_session()
    confinement = Confinement(interpreter, reads)
    gc.collect()
    gc.freeze()
    orders.send(READY)
    running: dict[int, int] = {}
    waiting = select.poll()
    waiting.register(orders, select.POLLIN)
    while True:
        for ready, _ in waiting.poll():
            if ready != orders.fileno():
                _reap(orders, waiting, running, ready)
            elif not _obey(orders, waiting, running, confinement):
                return


def _builtins_of_a_session() -> None:
    """Give programs `exit`, `quit` and `help`, as every script has them."""
    site = importlib.import_module("site")
    site.setquit()
    site.sethelper()


def _obey(orders: socket.socket, waiting: select.poll, running: dict[int, int], confinement: Confinement) -> bool:
    """Carry out one order; return whether there may be more."""
    text, descriptors, _, _ = socket.recv_fds(orders, LARGEST_ORDER, 8)
    if not text:
        return False
    order = json.loads(text)
    if "end" in order:
        if order["end"] in running.values():
            _kill(order["end"])
        return True
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _become(order, descriptors, parent, confinement)
    for descriptor in descriptors:
        os.close(descriptor)
    watched = os.pidfd_open(child)
    running[watched] = child
    waiting.register(watched, select.POLLIN)
    orders.send(json.dumps({"pid": child}).encode())
    return True


def _reap(orders: socket.socket, waiting: select.poll, running: dict[int, int], watched: int) -> None:
    child = running.pop(watched)
    waiting.unregister(watched)
    os.close(watched)
    _kill(child)  # what it may have started, where no filter forbids that
    _, status, used = os.wait4(child, 0)
    report = {"pid": child, "status": os.waitstatus_to_exitcode(status), "kilobytes": used.ru_maxrss}
    orders.send(json.dumps(report).encode())


def _kill(child: int) -> None:
    for kill in (os.killpg, os.kill):
        try:
            kill(child, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # no group yet, or no longer
            continue


def _become(order: dict[str, Any], descriptors: list[int], parent: int, confinement: Confinement) -> None:
    """Be the forked process: confine it, then do what its role is. Never returns."""
    code = 1
    try:
        die_with_parent(parent)
        os.setsid()
        text = _arrange(descriptors)
        confinement.enter(order["memory"], order["output"], order["cpu"])
        os.closerange(3 + order["pipes"], FIRST_FREE + 64)
        code = _play(order["fork"], text, order)
    except BaseException as error:  # noqa: BLE001 - the frame of a process: told on its standard error, and by its exit code
        os.write(2, f"{type(error).__name__}: {error}\n".encode(errors="replace")[:4096])
    os._exit(code)


def _arrange(descriptors: list[int]) -> bytes:
    """Put the descriptors where they belong: standard input, output and error, then the pipes. Return the program's text."""
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE) for descriptor in descriptors]
    text = os.pread(moved[0], os.fstat(moved[0]).st_size, 0)
    for place, descriptor in enumerate(moved[1:]):
        os.dup2(descriptor, place)
    return text


def _play(role: str, text: bytes, order: dict[str, Any]) -> int:
    match role:
        case "main":
            return _run_main(text)
        case "program":
            return _run_program(text)
        case "tests":
            return _run_tests(text)
        case "probe":
            os.write(1, json.dumps(try_everything(json.loads(text))).encode())
            return 0
        case _:
            return os.execve(order["argv"][0], order["argv"], {})


def _streams() -> None:
    """Open the standard streams anew: those of this process were the warm interpreter's."""
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # type: ignore[misc]  # noqa: SIM115


def _run_main(text: bytes) -> int:
    """Run a script to its end, threads and exit functions included, and return its exit code."""
    _streams()
    code = _executed(text, "__main__")[1]
    threading, atexit = importlib.import_module("threading"), importlib.import_module("atexit")
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()  # noqa: SLF001 - as the interpreter does at its end
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _executed(text: bytes, name: str) -> tuple[ModuleType, int]:
    """Execute a program as the module `name`; return it, and the exit code that it would end with."""
    module = ModuleType(name)
    module.__dict__["__file__"] = "main.py"
    sys.modules[name] = module
    sys.argv = ["main.py"]
    try:
        exec(compile(text, "main.py", "exec"), module.__dict__)  # noqa: S102 - this is what the process is for
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return module, (end.code or 0) & 255
        sys.stderr.write(f"{end.code}\n")
        return module, 1
    except BaseException as error:  # noqa: BLE001 - the interpreter's own last resort: the error ends the program
        sys.stderr.write(f"{type(error).__name__}: {error}"[:4096])
        return module, 1
    return module, 0


def _run_program(text: bytes) -> int:
    """Load a program, and answer calls of it."""
    _streams()
    module, code = _executed(text, "program")
    sys.stderr.flush()
    if code == 0:
        with os.fdopen(3, "rb") as requests, os.fdopen(4, "wb") as replies:
            Answers(module, requests, replies).serve()
    return code


def _run_tests(text: bytes) -> int:
    """Carry out the tests in `text`, and write what came of it to standard output."""
    _streams()
    sys.stdout = sys.stderr  # what tests print is no result
    with os.fdopen(3, "rb") as replies, os.fdopen(4, "wb") as requests:
        try:
            result = try_all(Program(replies, requests), json.loads(text))
        except (ProgramEnded, ValueError) as error:
            result = {"failed": 0, "why": f"the program did not load: {error}"[:200]}
    os.write(1, json.dumps(result).encode())
    return 0
