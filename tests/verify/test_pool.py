"""Streams are graded in order, and nothing that is stuck, dies or fills memory stops them."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.verify.odd_verifiers import OddVerifier
from tpt_runtime.core.errors import ConfigurationError, StepFailed
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.verify import pool as pool_module
from tpt_runtime.verify.math import Math
from tpt_runtime.verify.pool import TIME_LIMIT, VERIFIER_ENDED, GradingPool, usable_cores
from tpt_runtime.verify.protocol import Grade

CORRECT, WRONG, TIMED_OUT = Verdict.CORRECT, Verdict.WRONG, Verdict.TIMED_OUT
ENDLESS = r"\boxed{9^{9^{9^{9}}}}"


def graded(solutions: list[str], timeout: float = 20.0, workers: int = 2, verifier: OddVerifier | None = None) -> list[Grade]:
    with GradingPool(verifier or OddVerifier(), timeout, workers) as pool:
        return [grade for _, grade in pool.grade((key, text, "right") for key, text in enumerate(solutions))]


def test_the_order_of_the_stream_is_kept() -> None:
    solutions = ["sleeps 0.3", *(["quick", "right", "wrong"] * 30)]
    with GradingPool(OddVerifier(), workers=2) as pool:
        results = list(pool.grade((key, text, "right") for key, text in enumerate(solutions)))
    assert [key for key, _ in results] == list(range(len(solutions)))
    assert [grade.answer for _, grade in results] == solutions


def test_a_stuck_verifier_is_ended_and_only_its_solution_has_no_verdict() -> None:
    grades = graded(["right", "stuck", "right", "wrong", "stuck", "right"], timeout=0.5, workers=1)
    assert [grade.verdict for grade in grades] == [CORRECT, TIMED_OUT, CORRECT, WRONG, TIMED_OUT, CORRECT]
    assert grades[1].pattern == TIME_LIMIT


def test_a_solution_that_kills_two_workers_has_no_verdict(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    grades = graded(["right", "dies", "right"], workers=1, verifier=OddVerifier(notes=str(notes)))
    assert notes.read_text().count("dies") == 2
    assert [(grade.verdict, grade.pattern) for grade in grades] == [
        (CORRECT, None),
        (TIMED_OUT, VERIFIER_ENDED),
        (CORRECT, None),
    ]


def test_a_solution_that_fills_memory_costs_itself_its_verdict() -> None:
    assert [grade.verdict for grade in graded(["fills memory", "right"], workers=1)] == [TIMED_OUT, CORRECT]


def test_an_endless_expression_is_ended_by_the_time_limit() -> None:
    with GradingPool(Math(), 1.0, 1) as pool:
        answers = [r"\boxed{\sqrt{324}}", ENDLESS, r"\boxed{9 \cdot 2}"]
        verdicts = [grade.verdict for _, grade in pool.grade((text, text, "18") for text in answers)]
    assert verdicts == [CORRECT, TIMED_OUT, CORRECT]


def test_the_time_limit_does_not_count_the_start_of_a_worker() -> None:
    slow_to_start = OddVerifier(warm_up_seconds=1.0)
    assert graded(["right"], timeout=0.5, verifier=slow_to_start)[0].verdict is CORRECT


def test_each_solution_of_a_chunk_has_the_whole_time_limit() -> None:
    assert {grade.verdict for grade in graded(["sleeps 0.4"] * 5, timeout=1.2, workers=1)} == {WRONG}


def test_quick_solutions_start_no_process() -> None:
    with GradingPool(OddVerifier()) as pool:
        assert len(list(pool.grade((key, "quick", "") for key in range(100)))) == 100
        assert pool.worker_pids == []


def test_a_grade_that_is_known_already_is_passed_on_in_its_place() -> None:
    known = Grade(Verdict.TRUNCATED)
    stream: list[tuple[int, str | Grade, str]] = [(0, "right", "right"), (1, known, ""), (2, "quick", "")]
    with GradingPool(OddVerifier(), workers=1) as pool:
        assert [grade.verdict for _, grade in pool.grade(stream)] == [CORRECT, Verdict.TRUNCATED, CORRECT]


def test_several_workers_share_the_work(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    graded(["sleeps 0.05"] * 64, workers=2, verifier=OddVerifier(notes=str(notes)))
    lines = notes.read_text().splitlines()
    assert len(lines) == 64
    assert len({line.split()[0] for line in lines}) == 2


def test_a_stream_is_read_no_further_than_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "WINDOW", 64)
    read = 0

    def stream() -> Iterator[tuple[int, str, str]]:
        nonlocal read
        yield 0, "sleeps 0.5", ""
        for key in range(1, 500):
            read = key
            yield key, "quick", ""

    with GradingPool(OddVerifier(), workers=1) as pool:
        grades = pool.grade(stream())
        assert next(grades)[0] == 0
        assert read <= 64 + pool_module.CHUNK
        assert len(list(grades)) == 499


def test_a_verifier_that_raises_is_a_defect_and_no_verdict(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StepFailed, match="ValueError: broken verifier; solution: 'raises'"):
        graded(["right", "raises"], workers=1)


def test_a_verifier_that_lacks_a_library_says_which() -> None:
    with pytest.raises(ConfigurationError, match="cannot start: No module named 'abacus'"):
        graded(["right"], verifier=OddVerifier(missing_module="abacus"))


def test_no_worker_outlives_the_pool() -> None:
    with GradingPool(OddVerifier(), workers=2) as pool:
        list(pool.grade((key, "right", "right") for key in range(64)))
        pids = pool.worker_pids
        assert pids
    assert not [pid for pid in pids if is_alive(pid)]
    assert multiprocessing.active_children() == []


def test_a_stream_that_is_not_read_to_its_end_leaves_nothing_behind() -> None:
    with GradingPool(OddVerifier(), workers=1) as pool:
        grades = pool.grade((key, text, "right") for key, text in enumerate(["right", "stuck", "stuck"]))
        assert next(grades)[1].verdict is CORRECT
        grades.close()  # type: ignore[attr-defined]
        assert [grade.verdict for _, grade in pool.grade([("next", "right", "right")])] == [CORRECT]


def test_a_solution_whose_worker_was_killed_from_outside_is_given_to_another() -> None:
    with GradingPool(OddVerifier(), workers=1) as pool:
        list(pool.grade([(0, "right", "right")]))
        os.kill(pool.worker_pids[0], signal.SIGKILL)
        assert [grade.verdict for _, grade in pool.grade([(1, "right", "right")])] == [CORRECT]


ORPHAN = """
import os, sys
from tests.verify.odd_verifiers import OddVerifier
from tpt_runtime.verify.pool import GradingPool
if __name__ == "__main__":
    with GradingPool(OddVerifier(), 1.0, 1) as pool:
        stream = iter([(0, "right", "right"), (1, "stuck", "")])
        grades = pool.grade(stream)
        next(grades)
        print(pool.worker_pids[0], flush=True)
        os.kill(os.getpid(), 9)
"""


def test_a_worker_that_is_stuck_ends_itself_when_its_parent_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "orphan.py"
    script.write_text(ORPHAN)
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, str(script)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    pid = int(run.stdout)
    deadline = time.monotonic() + 20
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(pid)


@pytest.mark.parametrize("workers", [0, 65])
def test_a_number_of_workers_out_of_range_is_refused(workers: int) -> None:
    with pytest.raises(ConfigurationError, match=f"workers: {workers} is out of range; allowed: 1 to 64"):
        GradingPool(OddVerifier(), workers=workers)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 3601.0, float("nan")])
def test_a_time_limit_out_of_range_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigurationError, match=r"timeoutSeconds: .* is out of range"):
        GradingPool(OddVerifier(), seconds)


def test_a_pool_uses_the_cores_that_it_may() -> None:
    assert 1 <= usable_cores() <= 64


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in ("Z", "X")
