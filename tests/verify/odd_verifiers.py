"""Verifiers that misbehave on demand, importable by worker processes."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from tpt_runtime.core.verdict import Verdict
from tpt_runtime.verify.protocol import Grade


@dataclass(frozen=True)
class OddVerifier:
    """Does what the solution says; everything but `quick` is graded in a worker."""

    name: str = "Odd"
    warm_up_seconds: float = 0.0
    missing_module: str = ""
    notes: str = ""
    """File that each graded solution is appended to."""

    def check_reference(self, reference: str) -> str | None:
        return None

    def is_quick(self, reference: str) -> bool:
        return True

    def grade_quickly(self, solution: str, reference: str) -> Grade | None:
        return Grade(Verdict.CORRECT, "quick") if solution == "quick" else None

    def grade(self, solution: str, reference: str) -> Grade:
        if self.notes:
            with Path(self.notes).open("a") as notes:
                notes.write(f"{os.getpid()} {solution}\n")
        if solution == "stuck":
            while True:
                pass
        if solution == "dies":
            os._exit(3)
        if solution == "raises":
            raise ValueError("broken verifier")
        if solution == "fills memory":
            return Grade(Verdict.CORRECT, str(len(bytearray(1 << 40))))
        if solution.startswith("sleeps"):
            time.sleep(float(solution.split()[1]))
        return Grade(Verdict.CORRECT if solution == reference else Verdict.WRONG, solution)

    def warm_up(self) -> None:
        time.sleep(self.warm_up_seconds)
        if self.missing_module:
            raise ImportError(f"No module named {self.missing_module!r}")
