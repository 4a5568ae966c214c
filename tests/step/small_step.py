"""A small step program: what it does is the name of its run. The tests start it as `python -m tests.step.small_step CONFIG`."""

import hashlib
import os
import sys
import time
from pathlib import Path

from tpt_runtime.artifacts.files import write_rows
from tpt_runtime.core.configs import StepConfig
from tpt_runtime.core.status import FinalizeSummary
from tpt_runtime.step import context as surroundings
from tpt_runtime.step.context import Context
from tpt_runtime.step.program import run_step


def work(config: StepConfig, context: Context) -> FinalizeSummary:
    """Do what the run's name says."""
    context.phase("count")
    ROOM[config.run](config, context)
    return FinalizeSummary(digest="0123456789abcdef", kept=["a"], seconds=context.finish_phases())


def finish(config: StepConfig, context: Context) -> None:
    """Take three steps."""
    for done in range(1, 4):
        context.progress(done, 3, samples=10 * done, loss=1 / done)


def wait_for_a_line(config: StepConfig, context: Context) -> None:
    """Say that it is ready, and go on once it is told to."""
    context.progress(2, 3, samples=20, tokens=500)
    context.note("ready")
    sys.stdin.readline()


def count_for_ever(config: StepConfig, context: Context) -> None:
    """Work in Python until it is stopped."""
    context.note("ready")
    while True:
        context.check()
        time.sleep(0.001)


def sleep_for_ever(config: StepConfig, context: Context) -> None:
    """Be inside one native call."""
    context.note("ready")
    time.sleep(600)


def hash_for_ever(config: StepConfig, context: Context) -> None:
    """Be inside one native call that takes the processor, as an optimizer step does."""
    context.note("ready")
    hashlib.pbkdf2_hmac("sha256", b"word", b"salt", 10**9)


def break_when_stopped(config: StepConfig, context: Context) -> None:
    """Fail because it is stopped, as an engine does whose processes got the signal too."""
    context.note("ready")
    context.stopping.wait()
    raise RuntimeError("the engine is gone")


def tell_of_threads(config: StepConfig, context: Context) -> None:
    """Say how the threads of a library would wait that was imported now."""
    context.note(f"threads that wait: {os.environ.get('OMP_WAIT_POLICY')}")


def fill(config: StepConfig, context: Context) -> None:
    """Write more than there is room for."""
    write_rows(Path(config.root) / "whole.jsonl", [{"n": 1}])
    write_rows(Path(config.root) / "large.jsonl", ({"text": "x" * 1000} for _ in range(10_000)))


ROOM = {
    "finish": finish,
    "wait": wait_for_a_line,
    "count": count_for_ever,
    "sleep": sleep_for_ever,
    "hash": hash_for_ever,
    "break": break_when_stopped,
    "threads": tell_of_threads,
    "fill": fill,
}


if __name__ == "__main__":
    surroundings.GRACE_SECONDS = float(os.environ.get("GRACE", surroundings.GRACE_SECONDS))
    sys.exit(run_step(StepConfig, work))
