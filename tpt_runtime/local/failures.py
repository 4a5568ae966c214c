"""What an exit code means, in the planner's kinds and in words.

    0                  done
    64 to 78           the user has to mend something                                    CONFIGURATION
    143, 130, 129      ended by a request to stop, as are signals TERM, INT and HUP       DISRUPTION
    137, signal KILL   most often the system, for lack of memory                          CRASH
    anything else                                                                         CRASH

A process that was asked to stop, and one that nobody saw end, was disrupted, whatever its code.
"""

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tpt_runtime.core.errors import CONFIGURATION_EXITS
from tpt_runtime.core.observed import Failure, FailureKind
from tpt_runtime.local.processes import Exit
from tpt_runtime.local.tail import last_lines

SHELL_OFFSET = 128
"""A shell, and a program that passes its child's end on, exits with this plus the signal's number."""
REQUESTS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
STOPPED = "it was stopped together with `tpt run`, or with another process of its step"
LONGEST_WORDS = 300
"""Characters of a log's last line that stand in for a step's own words."""
SEVERITY = (FailureKind.CONFIGURATION, FailureKind.CRASH, FailureKind.DISRUPTION)


def failure_of(ended: Exit | None, said: Mapping[str, Any] | None, log: Path) -> Failure | None:
    """Return how a process failed, None if it did not; `said` is what it left in its termination file."""
    if ended is None or ended.code == 0:
        return None
    if ended.code is None:
        return Failure(FailureKind.DISRUPTION, "`tpt run` ended before this did")
    words = STOPPED if ended.stopped else _words(ended.code, said, log)
    return Failure(_kind(ended), words, ended.code)


def worst(failures: Sequence[Failure | None]) -> Failure | None:
    """Return the failure that says most about a Job of several processes: what the user can mend comes first."""
    numbered = [(failure, index) for index, failure in enumerate(failures) if failure is not None]
    if not numbered:
        return None
    failure, index = min(numbered, key=lambda pair: SEVERITY.index(pair[0].kind))
    if len(failures) == 1:
        return failure
    return Failure(failure.kind, f"index {index} of {len(failures)}: {failure.message}", failure.exit_code)


def _kind(ended: Exit) -> FailureKind:
    if ended.stopped or _signal(ended.code) in REQUESTS:
        return FailureKind.DISRUPTION
    return FailureKind.CONFIGURATION if ended.code in CONFIGURATION_EXITS else FailureKind.CRASH


def _signal(code: int | None) -> signal.Signals | None:
    number = 0 if code is None else -code if code < 0 else code - SHELL_OFFSET
    return signal.Signals(number) if number in set(signal.Signals) else None


def _words(code: int, said: Mapping[str, Any] | None, log: Path) -> str:
    error = (said or {}).get("error")
    if isinstance(error, str) and error:
        return error
    number = _signal(code)
    if number is signal.SIGKILL:
        return f"killed (SIGKILL), most likely by the system for lack of memory; its log is {log}"
    if number is not None:
        return f"ended by signal {number.name}; its log is {log}"
    last = last_lines(log, 1)
    why = f", last said: {last[0][:LONGEST_WORDS]}" if last else ""
    return f"ended with exit code {code}{why}; its log is {log}"
