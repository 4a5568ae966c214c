"""How many programs a second the sandbox runs, against plain subprocesses without any protection, in the same run.

    python -m benchmarks.code [--programs 200] [--repetitions 5]

One process each, on one core: the same programs with the same input, run by `Sandbox.run` (a fork of the warm interpreter,
confined), by `subprocess.run` of a bare interpreter (`python -I -S -c`, the quickest there is), and by `subprocess.run` of Python
as it is usually started. Repetitions take turns, and ratios are paired by repetition. The programs are tiny, so that what is
measured is the start; half of them import modules that programs often need. Then the same programs through the verifier `Code`
in a pool with one worker for each core.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from benchmarks.ratios import ratio
from tpt_runtime.core.verifier import Code as Settings
from tpt_runtime.verify.code import Code
from tpt_runtime.verify.pool import GradingPool, usable_cores
from tpt_runtime.verify.sandbox import Ended, Limits, Sandbox

PROGRAMS = (
    "a, b = map(int, input().split())\nprint(a + b)",
    "import sys, math, collections, heapq, itertools\na, b = map(int, sys.stdin.read().split())\nprint(a + b)",
)
GIVEN, WANTED = "17 25\n", "42\n"
BARE = (sys.executable, "-I", "-S", "-c")
USUAL = (sys.executable, "-c")


def main() -> int:
    """Measure, and print the table."""
    options = _options()
    programs = [PROGRAMS[n % len(PROGRAMS)] for n in range(options.programs)]
    with Sandbox() as sandbox:
        sides: dict[str, Callable[[list[str]], None]] = {
            "sandbox": lambda found: _in_sandbox(sandbox, found),
            "bare interpreter": lambda found: _plain(BARE, found),
            "usual interpreter": lambda found: _plain(USUAL, found),
        }
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(options.repetitions):
            for name, run in sides.items():
                rates[name].append(_rate(run, programs))
    print(f"{options.programs} programs, {options.repetitions} repetitions, one core\n")
    print("| | programs a second (median, least to most) | sandbox / it, 95 % interval |\n|---|---|---|")
    for name, found in rates.items():
        spread = f"{statistics.median(found):.0f} ({min(found):.0f} to {max(found):.0f})"
        print(f"| {name} | {spread} | {ratio(rates['sandbox'], found)} |")
    print(f"\nverifier Code, {usable_cores()} workers: {_rate(_verified, programs):.0f} verdicts a second, their start included")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, default=200)
    parser.add_argument("--repetitions", type=int, default=5)
    return parser.parse_args()


def _rate(run: Callable[[list[str]], None], programs: list[str]) -> float:
    began = time.perf_counter()
    run(programs)
    return len(programs) / (time.perf_counter() - began)


def _in_sandbox(sandbox: Sandbox, programs: list[str]) -> None:
    for program in programs:
        outcome = sandbox.run(program.encode(), GIVEN.encode(), Limits(seconds=60))
        if outcome.ended is not Ended.BY_ITSELF or outcome.output.decode() != WANTED:
            raise SystemExit(f"a program did not run: {outcome}")


def _plain(start: tuple[str, ...], programs: list[str]) -> None:
    for program in programs:
        found = subprocess.run([*start, program], input=GIVEN, capture_output=True, text=True, check=True, timeout=60)
        if found.stdout != WANTED:
            raise SystemExit(f"a program did not run: {found}")


def _verified(programs: list[str]) -> None:
    tests = json.dumps([{"input": GIVEN, "output": WANTED}])
    with GradingPool(Code(Settings(test_timeout_seconds=60), seconds=60), 60.0) as pool:
        stream = ((number, f"```python\n{program}\n```", tests) for number, program in enumerate(programs))
        if any(grade.verdict != "correct" for _, grade in pool.grade(stream)):
            raise SystemExit("a program was not graded correct")


if __name__ == "__main__":
    sys.exit(main())
