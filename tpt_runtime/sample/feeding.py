"""Keeps an engine busy and brings what finishes to the disk every few seconds, so that little is lost whenever the step ends.

It knows neither which engine that is nor where files lie.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Protocol

from tpt_runtime.artifacts.samples import PromptKey
from tpt_runtime.core.errors import Interrupted, StepFailed
from tpt_runtime.core.rows import Sample, SampledPrompt
from tpt_runtime.sample.engine import Engine, Generated, Request, Result
from tpt_runtime.step.context import Context

RATE_SECONDS = 10.0
"""Over how long tokens a second are averaged."""


class Sink(Protocol):
    """Where finished prompts go."""

    def write(self, rows: list[SampledPrompt]) -> None:
        """Write them, whole or not at all."""


Finish = Callable[[Request, list[Generated]], list[Sample]]


@dataclass(frozen=True)
class Job:
    """One request, and what is to become of its result."""

    request: Request
    key: PromptKey
    sink: Sink
    finish: Finish
    """Makes samples of what was generated."""
    most: int
    """Samples that the prompt may have in all."""
    more: Callable[["Job", list[Sample]], "Job | None"] | None = None
    """Takes the samples that the job brought, and returns what the prompt needs next, None if nothing; unset: it never does."""
    before: tuple[Sample, ...] = ()
    """What earlier jobs brought of the prompt."""


@dataclass(frozen=True)
class Pace:
    """How often finished prompts are written: whichever comes first."""

    seconds: float = 15.0
    tokens: int = 1_000_000


class Outbox:
    """Finished prompts on their way to the disk."""

    def __init__(self, pace: Pace, clock: Callable[[], float]) -> None:
        """Hold prompts back as long as `pace` allows."""
        self._pace = pace
        self._clock = clock
        self._rows: dict[int, tuple[Sink, list[SampledPrompt]]] = {}
        self._tokens = 0
        self._flushed = clock()

    def add(self, job: Job, samples: list[Sample]) -> None:
        """Take the samples of one prompt."""
        _, rows = self._rows.setdefault(id(job.sink), (job.sink, []))
        rows.append(SampledPrompt(id=job.key.id, set=job.key.set, samples=samples))
        self._tokens += sum(sample["tokens"] for sample in samples)

    def flush_when_due(self) -> None:
        """Write what is held if there is much of it or the last time is long ago."""
        if self._tokens >= self._pace.tokens or self._clock() - self._flushed >= self._pace.seconds:
            self.flush()

    def flush(self) -> None:
        """Write everything that is held."""
        while self._rows:
            number, (sink, rows) = next(iter(self._rows.items()))
            sink.write(rows)
            del self._rows[number]
        self._tokens = 0
        self._flushed = self._clock()


@dataclass
class Meter:
    """Counts samples and tokens, and tokens a second over the last seconds."""

    total: int
    completed: int
    clock: Callable[[], float]
    tokens: int = 0
    _past: deque[tuple[float, int]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        """Begin now."""
        self._past.append((self.clock(), 0))

    def add(self, samples: list[Sample]) -> None:
        """Count samples."""
        self.completed += len(samples)
        self.tokens += sum(sample["tokens"] for sample in samples)

    def settle(self, most: int, samples: list[Sample]) -> None:
        """Count no longer on samples that a prompt turned out not to need."""
        self.total -= most - len(samples)

    @property
    def rate(self) -> float:
        """Tokens a second over the last `RATE_SECONDS`."""
        now = self.clock()
        self._past.append((now, self.tokens))
        while len(self._past) > 2 and self._past[1][0] <= now - RATE_SECONDS:
            self._past.popleft()
        since, before = self._past[0]
        return (self.tokens - before) / (now - since) if now > since else 0.0


class _Requests(Iterator[Request]):
    """What is to be generated: what prompts under way need next, before others begin. It may run out, and have more later."""

    def __init__(self, jobs: Iterator[Job]) -> None:
        self._jobs = jobs
        self._next: deque[Job] = deque()
        self.open: dict[str, Job] = {}

    def __next__(self) -> Request:
        """Return the next request."""
        job = self._next.popleft() if self._next else next(self._jobs)
        self.open[job.request.key] = job
        return job.request

    def go_on(self, job: Job) -> None:
        """Take a job whose prompt is under way."""
        self._next.append(job)


class Feeding:
    """Hands jobs to an engine and takes the results."""

    def __init__(self, jobs: Iterable[Job], meter: Meter, pace: Pace) -> None:
        """Feed `jobs`, in order."""
        self._requests = _Requests(iter(jobs))
        self._meter = meter
        self._outbox = Outbox(pace, meter.clock)

    def run(self, engine: Engine, context: Context) -> None:
        """Generate everything; whatever happens, what has finished is written.

        Raises:
            Interrupted: the process was asked to stop.
            StepFailed: the engine left prompts without an answer.
        """
        try:
            with closing(engine.generate(self._requests)) as steps:  # type: ignore[type-var]
                for results in steps:
                    self._take(results, context)
                    self._outbox.flush_when_due()
                    context.check()
        except Exception as error:
            if context.stopping.is_set() and not isinstance(error, Interrupted):
                raise Interrupted(f"stopped on request; the engine ended with it ({error})") from error
            raise
        finally:
            self._outbox.flush()
        if unanswered := self._requests.open:
            raise StepFailed(f"the engine ended with {len(unanswered)} prompts unanswered, such as {min(unanswered)}")

    def _take(self, results: list[Result], context: Context) -> None:
        for result in results:
            self._finish(self._requests.open.pop(result.key), result)
        if results:
            meter = self._meter
            context.progress(
                meter.completed, meter.total, samples=meter.completed, tokens=meter.tokens, tokens_per_second=round(meter.rate, 1)
            )

    def _finish(self, job: Job, result: Result) -> None:
        """Take what a request brought, and let its prompt go on or be done."""
        brought = job.finish(job.request, result.samples)
        self._meter.add(brought)
        samples = [*job.before, *brought]
        following = job.more(job, brought) if job.more else None
        if following is not None:
            self._requests.go_on(replace(following, before=tuple(samples)))
            return
        self._meter.settle(job.most, samples)
        self._outbox.add(job, samples)


monotonic = time.monotonic
