"""`Code`: the answer is a program, and right if it passes all tests of its row.

Tests are tried in order, the first that fails ends it. A program that prints is run anew for every test; one that is called is
loaded once. Everything runs in a `sandbox`, a worker process of the pool having one of its own, so that programs run on all
cores. What the sandbox covers, and what not, stands in docs/code.md.
"""

import json
import time
from dataclasses import dataclass, field
from typing import Any

from tpt_runtime.core.choices import Language, Protection
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.core.verifier import Code as Settings
from tpt_runtime.verify.cases import Cases, UnusableTests, read_cases
from tpt_runtime.verify.languages import INTERPRETERS, PROGRAM_AT
from tpt_runtime.verify.outputs import is_accepted
from tpt_runtime.verify.programs import find_program
from tpt_runtime.verify.protection import refuse_other_systems, require
from tpt_runtime.verify.protocol import CODE, Grade
from tpt_runtime.verify.sandbox import Ended, Limits, Outcome, Sandbox
from tpt_runtime.verify.trial import TIME_LIMIT

NO_SYNTAX = ("SyntaxError", "IndentationError", "TabError")
ALL_TESTS = "all tests"
NO_PROGRAM = "no program"
TOTAL_TIME = "time limit of all tests"
MEBIBYTE = 1024 * 1024
TOLERANCE = 1e-6


@dataclass(slots=True)
class Code:
    """Runs programs against the tests of their rows."""

    settings: Settings = field(default_factory=Settings)
    seconds: float = 5.0
    """Longest time that all tests of one program may take."""
    protection: Protection = Protection.REQUIRED
    name: str = CODE
    _sandbox: Sandbox | None = field(default=None, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the sandbox behind: it belongs to this process."""
        return Code, (self.settings, self.seconds, self.protection)

    def check_reference(self, reference: str) -> str | None:
        """Return why the tests cannot be used, as a sentence for people, or None if they can."""
        try:
            cases = read_cases(reference)
        except UnusableTests as error:
            return str(error)
        if cases.calls and self.settings.language is not Language.PYTHON:
            return f"tests that call a program are for Python only, found them with language {self.settings.language.value}"
        return None

    def is_quick(self, reference: str) -> bool:  # noqa: ARG002 - tests are read, not run
        """Return that reading tests is."""
        return True

    def grade_quickly(self, solution: str, reference: str) -> Grade | None:  # noqa: ARG002 - a program has to be run
        """Return the grade of a solution that is empty, else None: running a program is never quick."""
        return None if solution.strip() else Grade(Verdict.UNPARSEABLE, pattern=NO_PROGRAM)

    def grade(self, solution: str, reference: str) -> Grade:
        """Return the grade of `solution`, whose program is run."""
        cases = read_cases(reference)
        found = find_program(solution, INTERPRETERS[self.settings.language].tags, called=bool(cases.calls))
        if found is None:
            return Grade(Verdict.UNPARSEABLE, pattern=NO_PROGRAM)
        verdict, why = self._tried(found.text.encode(errors="replace"), cases)
        if not found.fenced and verdict is Verdict.WRONG and _is_prose(why):
            return Grade(Verdict.UNPARSEABLE, pattern=NO_PROGRAM)
        return Grade(verdict, marked=found.fenced, pattern=why)

    def warm_up(self) -> None:
        """Start the interpreter that programs are forked from, and see that the sandbox holds where that is required."""
        refuse_other_systems()
        if self._sandbox is None:
            language = INTERPRETERS[self.settings.language]
            sandbox = Sandbox(language.path(), language.reads)
            sandbox.start()
            if self.protection is Protection.REQUIRED:
                try:
                    require(sandbox)
                except BaseException:
                    sandbox.close()
                    raise
            self._sandbox = sandbox

    def close(self) -> None:
        """End the sandbox; the next grade starts another."""
        if self._sandbox is not None:
            self._sandbox.close()
            self._sandbox = None

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox of this process, started if need be."""
        self.warm_up()
        if self._sandbox is None:
            raise RuntimeError("a sandbox that was warmed up is open")
        return self._sandbox

    def _tried(self, program: bytes, cases: Cases) -> tuple[Verdict, str]:
        deadline = time.monotonic() + self.seconds
        for number, pair in enumerate(cases.pairs, 1):
            left = deadline - time.monotonic()
            if left <= 0:
                return Verdict.TIMED_OUT, TOTAL_TIME
            outcome = self.sandbox.run(program, pair.given.encode(), self._limits(left), self._start_by)
            why = _failed(outcome)
            if why is None and not self._accepts(outcome, pair.accepted):
                why = "wrong output"
            if why is not None:
                return _verdict(outcome.ended), f"test {number}: {why}"
        return self._called(program, cases, deadline) if cases.calls else (Verdict.CORRECT, ALL_TESTS)

    def _called(self, program: bytes, cases: Cases, deadline: float) -> tuple[Verdict, str]:
        left = deadline - time.monotonic()
        if left <= 0:
            return Verdict.TIMED_OUT, TOTAL_TIME
        work = {
            "setup": cases.setup,
            "tests": cases.calls,
            "seconds": self.settings.test_timeout_seconds,
            "tolerance": self._tolerance,
        }
        loaded, tried = self.sandbox.try_out(program, json.dumps(work).encode(), Limits(left, self._memory))
        if tried.ended is Ended.TIME_LIMIT:
            return Verdict.TIMED_OUT, TOTAL_TIME
        if tried.ended is not Ended.BY_ITSELF or tried.code != 0:
            return Verdict.WRONG, f"the tests could not be carried out: {tried.error or tried.ended.value}"
        return _read_result(json.loads(tried.output), len(cases.pairs), loaded)

    def _accepts(self, outcome: Outcome, accepted: tuple[str, ...]) -> bool:
        printed = outcome.output.decode(errors="replace")
        return is_accepted(printed, accepted, self.settings.whitespace.value, self._tolerance)

    @property
    def _start_by(self) -> list[str] | None:
        path = None if self._sandbox is None else self._sandbox.interpreter
        return None if path is None else [path, PROGRAM_AT]

    @property
    def _tolerance(self) -> float:
        return TOLERANCE if self.settings.tolerance is None else self.settings.tolerance

    @property
    def _memory(self) -> int:
        return self.settings.memory_mebibytes * MEBIBYTE

    def _limits(self, left: float) -> Limits:
        return Limits(min(self.settings.test_timeout_seconds, left), self._memory)


def _read_result(result: dict[str, Any], before: int, loaded: Outcome) -> tuple[Verdict, str]:
    """Return what the tests' process says; `before` tests came before its own."""
    failed, why = result["failed"], result["why"]
    if failed is None:
        return Verdict.CORRECT, ALL_TESTS
    if failed == 0:
        return Verdict.WRONG, f"loading: {_last_line(loaded.error) or why}"
    return Verdict.TIMED_OUT if why == TIME_LIMIT else Verdict.WRONG, f"test {before + failed}: {why}"


def _verdict(ended: Ended) -> Verdict:
    return Verdict.TIMED_OUT if ended is Ended.TIME_LIMIT else Verdict.WRONG


def _failed(outcome: Outcome) -> str | None:
    """Return why a program did not end as it should, None if it did."""
    if outcome.ended is not Ended.BY_ITSELF:
        return str(outcome.ended.value) if outcome.ended is not Ended.BY_SIGNAL else f"ended by signal {-outcome.code}"
    if outcome.code != 0:
        return _last_line(outcome.error) or f"exit code {outcome.code}"
    return None


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def _is_prose(why: str) -> bool:
    return why.partition(": ")[2].startswith(NO_SYNTAX)
