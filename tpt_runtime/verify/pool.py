"""Grades streams of solutions: at once where that is quick, else in worker processes that a time limit can really end.

A limit by signal or thread cannot end a computation that is stuck inside C code, so a worker that exceeds it is killed and
replaced, and its solution counts as timed out. Most solutions never get there: those that the verifier can grade quickly
(nearly all with plain numbers) are graded in this process, because handing one to another process costs more than grading it.

The order of the stream is kept. Memory is bounded: at most `WINDOW` solutions wait behind a slow one. The limit counts neither
the start of a process nor its imports. A solution whose worker dies by itself (killed from outside, a crash in C code) is given
to one more; if that dies too, or memory runs out, it counts as timed out as well, with the pattern `verifier ended`.
"""

import os
import resource
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Self, TypeVar

from tpt_runtime.core.errors import ConfigurationError, StepFailed, TptError
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.verify.protocol import Grade, Verifier

Key = TypeVar("Key")

WINDOW = 4096
"""Solutions that may wait, graded or not, behind one that is still being graded."""
CHUNK = 16
"""Solutions that a worker is handed at a time."""
START_SECONDS = 120.0
"""Longest start of a worker process, imports included."""
WORKER_MEMORY_BYTES = 4 * 1024**3
"""Address space of a worker: an expression that fills memory fails by itself instead of taking the machine along."""
MAX_WORKERS = 64
_GRACE_SECONDS = 1.0
_IDLE_SECONDS = 3600.0
_READY = "ready"

TIME_LIMIT = "time limit"
VERIFIER_ENDED = "verifier ended"


@dataclass(slots=True)
class _Task:
    """One solution on its way."""

    solution: str
    reference: str
    grade: Grade | None = None
    deaths: int = 0
    """Workers that ended by themselves while they had it."""


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    connection: Connection
    since: float
    """When it was last heard of: began to start, was handed a chunk, or sent a grade."""
    ready: bool = False
    tasks: deque[_Task] = field(default_factory=deque)
    """What it was handed and has not graded yet, in its order."""


class GradingPool:
    """Grades streams one after another; a context manager, so that no worker outlives it.

    Use it as `with GradingPool(verifier, 5.0) as pool: for key, grade in pool.grade(stream): ...`.
    """

    def __init__(self, verifier: Verifier, timeout_seconds: float = 5.0, workers: int | None = None) -> None:
        """Keep the settings; processes are started only when the first slow solution comes.

        Args:
            verifier: Graded with; worker processes get a pickled copy.
            timeout_seconds: Longest time that grading one solution may take, in seconds.
            workers: Most worker processes; default: one for each core that this process may use.

        Raises:
            ConfigurationError: if the limit or the number of workers is out of range.
        """
        count = usable_cores() if workers is None else workers
        if not 1 <= count <= MAX_WORKERS:
            raise ConfigurationError(f"workers: {count} is out of range; allowed: 1 to {MAX_WORKERS}")
        if not 0 < timeout_seconds <= 3600:
            raise ConfigurationError(f"timeoutSeconds: {timeout_seconds} is out of range; allowed: more than 0, at most 3600")
        self._verifier = verifier
        self._timeout = timeout_seconds
        self._most = count
        self._workers: list[_Worker] = []
        self._waiting: deque[_Task] = deque()

    def __enter__(self) -> Self:
        """Return the pool."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End every worker."""
        self.close()

    @property
    def worker_pids(self) -> list[int]:
        """Return the process ids of the workers that live."""
        return [worker.process.pid for worker in self._workers if worker.process.pid is not None]

    def grade(self, stream: Iterable[tuple[Key, str | Grade, str]]) -> Iterator[tuple[Key, Grade]]:
        """Yield the grade of each (key, solution, reference) of `stream`, in its order.

        Args:
            stream: A grade that is known already, such as that of a truncated sample, may stand in a solution's place.

        Raises:
            ConfigurationError: if a worker lacks what the verifier needs.
            StepFailed: if a worker process does not start, or the verifier raises an error.
        """
        window: deque[tuple[Key, _Task]] = deque()
        try:
            for key, solution, reference in stream:
                known = solution if isinstance(solution, Grade) else self._verifier.grade_quickly(solution, reference)
                if known is not None and not window:
                    yield key, known
                    continue
                window.append((key, self._enter(solution, reference, known)))
                if len(window) % CHUNK == 0:
                    self._advance(block=False)
                    yield from self._leave(window, WINDOW - 1)
            yield from self._leave(window, 0)
        finally:
            if window:
                self._abandon()

    def close(self) -> None:
        """End every worker; the pool starts new ones if it is used again."""
        for worker in self._workers:
            _end(worker)
        self._workers.clear()
        self._waiting.clear()

    def _enter(self, solution: str | Grade, reference: str, known: Grade | None) -> _Task:
        if known is not None or isinstance(solution, Grade):
            return _Task("", "", known)
        task = _Task(solution, reference)
        self._waiting.append(task)
        return task

    def _leave(self, window: deque[tuple[Key, _Task]], most: int) -> Iterator[tuple[Key, Grade]]:
        """Yield what is graded at the front of the window, waiting until at most `most` are left."""
        while window:
            key, task = window[0]
            if task.grade is not None:
                window.popleft()
                yield key, task.grade
            elif len(window) > most:
                self._advance(block=True)
            else:
                return

    def _advance(self, block: bool) -> None:
        """Hand out what waits, take in what is graded, and end what is stuck; wait for one such thing if `block`."""
        self._hand_out()
        if not self._workers:
            return
        next_deadline = min(self._deadline(worker) for worker in self._workers)
        timeout = max(0.0, next_deadline - time.monotonic()) if block else 0.0
        heard = wait([worker.connection for worker in self._workers], timeout)
        for worker in [worker for worker in self._workers if worker.connection in heard]:
            self._listen(worker)
        now = time.monotonic()
        for worker in [worker for worker in self._workers if now >= self._deadline(worker)]:
            self._give_up_on(worker, TIME_LIMIT)

    def _hand_out(self) -> None:
        idle = [worker for worker in self._workers if worker.ready and not worker.tasks]
        starting = sum(not worker.ready for worker in self._workers)
        while self._waiting and idle:
            self._send(idle.pop())
        wanted = -(-len(self._waiting) // CHUNK)
        for _ in range(min(wanted - starting, self._most - len(self._workers))):
            self._workers.append(_start(self._verifier, self._timeout))

    def _send(self, worker: _Worker) -> None:
        chunk = [self._waiting.popleft() for _ in range(min(CHUNK, len(self._waiting)))]
        worker.tasks.extend(chunk)
        worker.since = time.monotonic()
        with suppress(BrokenPipeError, ConnectionResetError):  # it has just died: the end of its pipe says so at the next look
            worker.connection.send([(task.solution, task.reference) for task in chunk])

    def _listen(self, worker: _Worker) -> None:
        """Take in all that a worker has sent, and notice its end."""
        try:
            while worker.connection.poll():
                message = worker.connection.recv()
                worker.since = time.monotonic()
                if isinstance(message, Grade):
                    worker.tasks.popleft().grade = message
                elif message == _READY:
                    worker.ready = True
                elif worker.ready:
                    raise StepFailed(f"the verifier {self._verifier.name} failed: {message}")
                else:
                    raise ConfigurationError(f"the verifier {self._verifier.name} cannot start: {message}")
        except (EOFError, ConnectionResetError):
            self._give_up_on(worker, VERIFIER_ENDED)

    def _deadline(self, worker: _Worker) -> float:
        if not worker.ready:
            return worker.since + START_SECONDS
        return worker.since + (self._timeout if worker.tasks else _IDLE_SECONDS)

    def _give_up_on(self, worker: _Worker, why: str) -> None:
        """End a worker; the solution it was at gets no verdict, the others go back to the front."""
        _end(worker)
        self._workers.remove(worker)
        if not worker.ready:
            raise StepFailed(f"a process for the verifier {self._verifier.name} could not start ({why})")
        if worker.tasks:
            task = worker.tasks[0]
            task.deaths += 1
            if why == TIME_LIMIT or task.deaths > 1:  # a first death may have had another cause, such as a full machine
                worker.tasks.popleft().grade = Grade(Verdict.TIMED_OUT, pattern=why)
            self._waiting.extendleft(reversed(worker.tasks))

    def _abandon(self) -> None:
        """Forget a stream that was not read to its end: what is still being graded belongs to nobody."""
        self._waiting.clear()
        for worker in [worker for worker in self._workers if worker.tasks]:
            _end(worker)
            self._workers.remove(worker)


def usable_cores() -> int:
    """Return the cores that this process may use, at most `MAX_WORKERS`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MAX_WORKERS)


def _start(verifier: Verifier, timeout_seconds: float) -> _Worker:
    # forkserver: safe beside threads (unlike fork), and quicker than spawn from the second worker on.
    context = get_context("forkserver")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, verifier, timeout_seconds), daemon=True, name="tpt-verifier")
    process.start()
    theirs.close()
    return _Worker(process, ours, time.monotonic())


def _end(worker: _Worker) -> None:
    worker.connection.close()
    worker.process.kill()
    worker.process.join()
    worker.process.close()


def _serve(connection: Connection, verifier: Verifier, timeout_seconds: float) -> None:
    """Be a worker: warm up, then grade chunks until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _limit_memory()
    try:
        verifier.warm_up()
    except (ImportError, TptError) as error:
        connection.send(str(error))
        return
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send(_READY)
        while True:
            for solution, reference in connection.recv():
                # Should the parent be gone by then, the alarm ends this process in its stead.
                signal.setitimer(signal.ITIMER_REAL, timeout_seconds + _GRACE_SECONDS)
                grade = _graded(connection, verifier, solution, reference)
                signal.setitimer(signal.ITIMER_REAL, 0)
                connection.send(grade)


def _graded(connection: Connection, verifier: Verifier, solution: str, reference: str) -> Grade:
    """Return the grade; an error in a verifier is a defect, which is reported and must not pass for a verdict."""
    try:
        return verifier.grade(solution, reference)
    except (MemoryError, RecursionError):
        return Grade(Verdict.TIMED_OUT, pattern=VERIFIER_ENDED)
    except Exception as error:
        connection.send(f"{type(error).__name__}: {error}; solution: {solution[-200:]!r}, reference: {reference[-60:]!r}")
        raise


def _limit_memory() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    allowed = [limit for limit in (WORKER_MEMORY_BYTES, soft, hard) if limit != resource.RLIM_INFINITY]
    with suppress(ValueError, OSError):  # macOS refuses such limits: there only the time limit holds
        resource.setrlimit(resource.RLIMIT_AS, (min(allowed), hard))
