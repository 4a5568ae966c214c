"""Tries a program by code: what runs in the tests' process, with the program in another (see `calls`).

A test is code that raises nothing (assertions), or a call whose value is compared. It is data of the run, and trusted as such:
who writes the tests decides what passes.
"""

import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tpt_runtime.verify.calls import LONGEST_MESSAGE, Program, ProgramEnded
from tpt_runtime.verify.outputs import same_value

TIME_LIMIT = "time limit"


class TestTooLong(BaseException):
    """A test reached its time limit; not an `Exception`, so that no test catches it."""

    __test__ = False


def try_all(program: Program, work: dict[str, Any]) -> dict[str, Any]:
    """Carry out tests in order until one fails.

    Args:
        program: What to call.
        work: `setup` (code), `tests` (each with `code`, or `call`, `arguments` and `accepted`), `seconds` a test, `tolerance`.

    Returns:
        `failed`: the number of the test that failed, from 1, or None; and `why`.
    """
    names: dict[str, Any] = {"__name__": "tests", **program.names}
    number = 0
    try:
        exec(compile(work["setup"], "setup", "exec"), names)  # noqa: S102 - the tests of the run's own data
        for number, test in enumerate(work["tests"], 1):
            asked = program.calls
            with _limited(work["seconds"]):
                why = _try(test, names, work["tolerance"])
            if why is None and program.calls == asked:
                why = "the test calls nothing of the program"
            if why is not None:
                return {"failed": number, "why": why}
    except TestTooLong:
        return {"failed": number, "why": TIME_LIMIT}
    except (ProgramEnded, json.JSONDecodeError) as error:
        return {"failed": number, "why": f"the program ended: {error}"[:LONGEST_MESSAGE]}
    except Exception as error:  # noqa: BLE001 - a test fails by raising, whatever it raises
        return {"failed": number, "why": f"{type(error).__name__}: {error}"[:LONGEST_MESSAGE]}
    return {"failed": None, "why": ""}


def _try(test: dict[str, Any], names: dict[str, Any], tolerance: float) -> str | None:
    """Carry out one test, and return why it failed."""
    if "code" in test:
        exec(compile(test["code"], "test", "exec"), names)  # noqa: S102 - the tests of the run's own data
        if entry := test.get("entryPoint"):
            names["check"](names[entry])
        return None
    called = eval(compile(test["call"], "call", "eval"), names)  # noqa: S307 - the tests of the run's own data
    return _compared(called(*test["arguments"]), test["accepted"], tolerance)


def _compared(value: Any, accepted: Sequence[Any], tolerance: float) -> str | None:
    if any(same_value(value, expected, tolerance) for expected in accepted):
        return None
    return f"returned {value!r}"[:LONGEST_MESSAGE]


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """End what is inside after `seconds`, even while it waits for the program."""
    signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _too_long(*_: object) -> None:
    raise TestTooLong
