"""The sample step, ended at a named point: `mortal_sample.py POINT CONFIG`; with the fake engine unless MORTAL_ENGINE=real.

The points ending in KILL end the process as SIGKILL does; those ending in TERM are a request to stop that arrives there.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.steps.sampling import FakeEngine, LightTokenizer, Solver
from tpt_runtime.artifacts.mirror import Mirror
from tpt_runtime.core.choices import SamplingEngine
from tpt_runtime.core.configs import SampleConfig
from tpt_runtime.core.status import SampleSummary
from tpt_runtime.sample.chunks import ChunkFolder
from tpt_runtime.sample.engine import EngineSettings, Request, Result, open_engine
from tpt_runtime.sample.feeding import Pace
from tpt_runtime.sample.modelfolder import ModelFolder
from tpt_runtime.sample.part import Part
from tpt_runtime.sample.step import sample
from tpt_runtime.step.context import Context
from tpt_runtime.step.program import run_step

POINT = sys.argv.pop(1)
REAL = os.environ.get("MORTAL_ENGINE") == "real"
KILLED: dict[str, tuple[Any, str, int]] = {
    "before the first chunk KILL": (ChunkFolder, "write", 1),
    "inside the third chunk KILL": (Path, "replace", 3),
    "after the third chunk KILL": (ChunkFolder, "write", 4),
    "before the first manifest KILL": (Part, "finish", 1),
    "between the manifests KILL": (Part, "finish", 2),
    "before the third put KILL": (Mirror, "keep", 3),
    "before the second manifest is put KILL": (Mirror, "conclude", 2),
}
"""What ends the process when it is called for the nth time."""


class Watched:
    """A real engine, whose every step can be looked at."""

    def __init__(self) -> None:
        self.on_step: Callable[[int], None] = lambda step: None

    def open(self, kind: SamplingEngine, settings: EngineSettings) -> "Watched":
        self._engine = open_engine(kind, settings)
        return self

    def generate(self, requests: Iterator[Request]) -> Iterator[list[Result]]:
        for step, results in enumerate(self._engine.generate(requests)):
            self.on_step(step)
            yield results

    def close(self) -> None:
        self._engine.close()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(number: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function`, which ends the process instead of being called for the `number`th time."""
    calls = iter(range(1, 10**6))

    def mortal(*arguments: Any, **options: Any) -> Any:
        if next(calls) == number:
            die()
        return function(*arguments, **options)

    return mortal


def work(config: SampleConfig, context: Context) -> SampleSummary:
    def stop() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        context.stopping.wait(10)

    engine: Any = Watched() if REAL else FakeEngine()
    if any(part.pruning for part in config.parts) and not REAL:
        engine.make = Solver(Path(config.root) / config.model)
    match POINT:
        case "engine start KILL":
            engine.open = at_call(1, engine.open)
        case "engine start TERM":
            opened = engine.open
            engine.open = lambda kind, settings: (stop(), opened(kind, settings))[1]  # type: ignore[func-returns-value]
        case "generation TERM":
            engine.on_step = lambda step: stop() if step == 9 else None
        case _:
            owner, name, number = KILLED[POINT]
            setattr(owner, name, at_call(number, getattr(owner, name)))
    return sample(config, context, engine.open, Pace(seconds=0.0))


if __name__ == "__main__":
    if not REAL:
        ModelFolder.load_tokenizer = lambda model: LightTokenizer(model.path)  # type: ignore[method-assign,assignment]
    sys.exit(run_step(SampleConfig, work))
