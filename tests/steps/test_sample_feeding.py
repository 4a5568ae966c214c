"""How the engine is fed, and when what it made is written: with an engine and a clock of the tests' own."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from tests.steps.conftest import SilentJournal
from tests.steps.sampling import FakeEngine
from tpt_runtime.artifacts.samples import PromptKey
from tpt_runtime.core.errors import Interrupted, StepFailed
from tpt_runtime.core.rows import Sample, SampledPrompt
from tpt_runtime.sample.engine import Drawing, Generated, Request, Result
from tpt_runtime.sample.feeding import Feeding, Job, Meter, Pace
from tpt_runtime.step.context import Context

DRAWING = Drawing(samples=2, temperature=1.0, top_p=1.0, top_k=None, max_tokens=4, stop=(), stop_ids=frozenset({1}))
EAGER = Pace(seconds=0.0)
NEVER = Pace(seconds=1e9, tokens=10**9)


class Shelf:
    """Keeps what is written, write by write."""

    def __init__(self) -> None:
        self.writes: list[list[str]] = []

    def write(self, rows: list[SampledPrompt]) -> None:
        self.writes.append([row["id"] for row in rows])

    @property
    def ids(self) -> list[str]:
        return sorted(identity for write in self.writes for identity in write)


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def samples(request: Request, generated: list[Generated]) -> list[Sample]:
    pairs = enumerate(generated, request.first)
    return [Sample(index=i, text="", ids=g.ids, tokens=len(g.ids), finish=g.finish, logprob=0.0) for i, g in pairs]


def jobs(shelf: Shelf, names: str = "abcdefgh", data_set: str = "train") -> list[Job]:
    return [
        Job(Request(f"{data_set}/{name}", (0, 5), DRAWING, ord(name)), PromptKey(data_set, name), shelf, samples, most=2)
        for name in names
    ]


def feeding(work: list[Job], pace: Pace = NEVER, clock: Callable[[], float] | None = None) -> Feeding:
    return Feeding(work, Meter(total=2 * len(work), completed=0, clock=clock or Clock()), pace)


def test_every_prompt_is_written_once_whatever_order_they_finish_in(context: Context) -> None:
    shelf = Shelf()
    feeding(jobs(shelf)).run(FakeEngine(), context)
    assert shelf.writes[0] != sorted(shelf.writes[0]), "the fake engine finishes the last ones first"
    assert shelf.ids == list("abcdefgh")


def test_the_engine_is_given_prompts_only_as_it_has_room_and_before_others_have_finished(context: Context) -> None:
    given: list[int] = []
    engine = FakeEngine(on_step=lambda step: given.append(len(engine.requests)), at_once=3)
    feeding(jobs(Shelf())).run(engine, context)
    assert given[0] == 3
    assert all(later - earlier <= 1 for earlier, later in pairwise(given)), "no barrier: one ends, one begins"


def test_finished_prompts_are_written_when_the_time_has_come(context: Context) -> None:
    clock, shelf = Clock(), Shelf()

    def pass_time(step: int) -> None:
        clock.now += 1.0

    feeding(jobs(shelf), Pace(seconds=6.0), clock).run(FakeEngine(pass_time), context)
    assert [len(write) for write in shelf.writes] == [3, 3, 2]


def test_finished_prompts_are_written_when_there_are_many_tokens(context: Context) -> None:
    shelf = Shelf()
    feeding(jobs(shelf), Pace(seconds=1e9, tokens=1)).run(FakeEngine(), context)
    assert [len(write) for write in shelf.writes] == [1] * 8


def test_each_part_gets_its_own_prompts(context: Context) -> None:
    first, second = Shelf(), Shelf()
    feeding([*jobs(first, "abc", "eval"), *jobs(second, "def")]).run(FakeEngine(), context)
    assert (first.ids, second.ids) == (list("abc"), list("def"))


def test_a_request_to_stop_ends_the_feeding_and_writes_what_has_finished(context: Context) -> None:
    shelf = Shelf()
    engine = FakeEngine(on_step=lambda step: context.stopping.set() if step == 4 else None)
    with pytest.raises(Interrupted):
        feeding(jobs(shelf)).run(engine, context)
    assert len(shelf.ids) == 2
    assert len(engine.requests) < 8, "nothing more was begun"


def test_the_engine_is_told_to_abandon_what_is_unfinished(context: Context) -> None:
    closed: list[bool] = []

    class Watched(FakeEngine):
        def generate(self, requests: Iterator[Request]) -> Iterator[list[Result]]:
            try:
                yield from super().generate(requests)
            finally:
                closed.append(True)

    engine = Watched(on_step=lambda step: context.stopping.set())
    with pytest.raises(Interrupted):
        feeding(jobs(Shelf())).run(engine, context)
    assert closed == [True]


def test_what_had_finished_is_written_when_the_engine_breaks(context: Context) -> None:
    def break_down(step: int) -> None:
        if step == 5:
            raise RuntimeError("CUDA out of memory")

    shelf = Shelf()
    with pytest.raises(RuntimeError, match="CUDA out of memory"):
        feeding(jobs(shelf)).run(FakeEngine(break_down), context)
    assert len(shelf.ids) == 2


def test_an_engine_that_dies_of_the_request_to_stop_counts_as_stopped(context: Context) -> None:
    """Ctrl-C in a terminal reaches the engine's own processes too."""

    def die(step: int) -> None:
        if step == 3:
            context.stopping.set()
            raise RuntimeError("engine core died")

    shelf = Shelf()
    with pytest.raises(Interrupted, match="engine core died"):
        feeding(jobs(shelf)).run(FakeEngine(die), context)
    assert len(shelf.ids) == 1


def test_a_prompt_without_an_answer_is_an_error(context: Context) -> None:
    class Forgetful(FakeEngine):
        def generate(self, requests: Iterator[Request]) -> Iterator[list[Result]]:
            yield from (results for results in super().generate(requests) if not any(r.key == "train/c" for r in results))

    shelf = Shelf()
    with pytest.raises(StepFailed, match="1 prompts unanswered, such as train/c"):
        feeding(jobs(shelf)).run(Forgetful(), context)
    assert shelf.ids == list("abdefgh")


def test_progress_counts_samples_and_those_of_earlier_attempts() -> None:
    journal, clock = SilentJournal(), Clock()
    context = Context(journal)
    context._said_progress = -1e9
    Feeding(jobs(Shelf(), "a"), Meter(total=10, completed=8, clock=clock), NEVER).run(FakeEngine(), context)
    said = [event for event in journal.events if event["event"] == "progress"]
    assert [(event["completed"], event["total"], event["samples"]) for event in said] == [(10, 10, 10)]
    assert said[0]["tokens"] > 0


def test_tokens_a_second_are_those_of_the_last_seconds() -> None:
    clock = Clock()
    meter = Meter(total=100, completed=0, clock=clock)
    rates = []
    for tokens in [1000] * 30 + [0] * 30:
        clock.now += 1.0
        meter.tokens += tokens
        rates.append(meter.rate)
    assert rates[20] == pytest.approx(1000.0)
    assert rates[-1] == 0.0
