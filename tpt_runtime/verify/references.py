"""Checks references, each within a time limit: one can keep the library that reads expressions busy for ever.

What is slow to check is checked in a worker process of `pool`, which can be ended; a number needs none. To the pool a reference
is a solution like any other: whether it can be compared with stands in the place of a verdict.
"""

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tpt_runtime.core.verdict import Verdict
from tpt_runtime.verify.pool import GradingPool
from tpt_runtime.verify.protocol import Grade, Verifier


@dataclass(frozen=True, slots=True)
class _Usable:
    """A verifier of references: correct if `verifier` can compare with one, else unparseable, the pattern saying why."""

    verifier: Verifier

    @property
    def name(self) -> str:
        """The name of the verifier."""
        return self.verifier.name

    def check_reference(self, reference: str) -> str | None:
        """Return what the verifier says."""
        return self.verifier.check_reference(reference)

    def is_quick(self, reference: str) -> bool:
        """Return what the verifier says."""
        return self.verifier.is_quick(reference)

    def grade_quickly(self, solution: str, reference: str) -> Grade | None:
        """Return the grade of `solution`, a reference, if that takes no time."""
        return self.grade(solution, reference) if self.is_quick(solution) else None

    def grade(self, solution: str, reference: str) -> Grade:  # noqa: ARG002 - it is compared with nothing
        """Return the grade of `solution`, a reference."""
        problem = self.check_reference(solution)
        return Grade(Verdict.CORRECT if problem is None else Verdict.UNPARSEABLE, pattern=problem)

    def warm_up(self) -> None:
        """Import what the verifier needs."""
        self.verifier.warm_up()


class References:
    """Says of references why they cannot be used; a context manager that owns a worker process if one is needed."""

    def __init__(self, verifier: Verifier, timeout_seconds: float) -> None:
        """Check for `verifier`; one reference may take `timeout_seconds`."""
        self._pool = GradingPool(_Usable(verifier), timeout_seconds, workers=1)
        self._timeout = timeout_seconds

    def __enter__(self) -> Self:
        """Return the checker."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the worker."""
        self._pool.close()

    @property
    def worker_pids(self) -> list[int]:
        """Return the process ids of the workers that live."""
        return self._pool.worker_pids

    def check(self, reference: str) -> str | None:
        """Return why `reference` cannot be used, as a sentence for people, or None if it can."""
        ((_, grade),) = self._pool.grade([(None, reference, "")])
        if grade.verdict is Verdict.TIMED_OUT:
            limit = f"{grade.pattern}, {self._timeout:g} s"
            return f"the reference takes too long or too much memory to be read ({limit}): {reference[-60:]!r}"
        return grade.pattern
