"""Whatever goes wrong, a run ends, ends right, and does nothing twice: see `simulation.py` for what can go wrong."""

import os
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.core.simulated_work import Scenario
from tests.core.simulation import World
from tests.core.simulation_rules import Violation
from tpt_runtime.core.status import StepName

SOAK = os.environ.get("TPT_SOAK") == "1"
PARTS = 10
"""The examples are spread over so many tests, for processes to share."""
EXAMPLES = (100_000 if SOAK else 2_000) // PARTS

scenarios = st.builds(
    Scenario,
    tape=st.binary(min_size=160, max_size=160),
    max_rounds=st.integers(1, 3),
    every_rounds=st.sampled_from((1, 1, 2)),
    goal=st.sampled_from((None, None, 0.5, 0.9)),
    patience=st.sampled_from((None, None, 1, 2)),
    max_attempts=st.integers(1, 4),
    step_deadline=st.sampled_from((None, None, 300)),
    pending_deadline=st.sampled_from((None, None, None, 900)),
    run_deadline=st.sampled_from((None, None, None, 1500)),
    values=st.sampled_from(((0.2, 0.4, 0.6, 0.8), (0.6, 0.5, 0.4, 0.3), (0.4, 0.4, 0.3, 0.7))),
    barren=st.sampled_from((*[None] * 10, 1, 2)),
    stubborn=st.sampled_from((*[None] * 40, *StepName)),
    calm=st.integers(1, 4),
    release_removes=st.booleans(),
)


def check(scenario: Scenario) -> World:
    """Let a scenario's tape run out, wait for the end, mend what failed, and check what came of it."""
    world = World(scenario)
    while not world.tape.over:
        world.disturb()
    world.quiet_down()
    if world.failed and scenario.stubborn is None:
        # Nothing goes wrong any more: once the spec is touched, the run goes on and ends as if nothing had been.
        free = world.run.spec.failure_policy.model_copy(update={"run_deadline_seconds": None, "pending_deadline_seconds": None})
        world.change("spec touched", failure_policy=free)
        world.quiet_down()
    check_the_end(world)
    return world


def check_the_end(world: World) -> None:
    """Check a run that is over."""
    scenario, status = world.scenario, world.run.status or {}
    reasons = expected(world)
    if reasons and world.over not in reasons:
        raise Violation(f"ended with {world.over}, expected {' or '.join(reasons)}")
    if world.failed and scenario.stubborn is None and scenario.barren != 1:
        raise Violation(f"failed with {world.over}, although nothing goes wrong any more")
    left = [job.start.job for job in world.jobs.values() if not job.released]
    if left and not world.happened["status lost"]:
        raise Violation(f"never released: {left}")
    check_figures(world, status)


def check_figures(world: World, status: dict[str, Any]) -> None:
    """Check that the status says of every model what was measured, and calls the right one the best."""
    metric = world.run.spec.objective.metric
    said = {}
    for entry in status["rounds"]:
        figures = {item["name"]: item["value"] for item in entry["metrics"]}
        if f"validation/{metric}" in figures:
            said[entry["round"]] = figures[f"validation/{metric}"]
        trained = any(record["name"] == "train" and "completionTime" in record for record in entry["steps"])
        if trained and (entry["examples"] != 100 or ("train", entry["round"]) not in world.storage.artifacts):
            raise Violation(f"round {entry['round']} is not what was done: {entry}")
    true = {n: world.scenario.value(n) if metric == "pass@1" else 1 - world.scenario.value(n) for n in said}
    if said != true:
        raise Violation(f"the figures are {said}, measured was {true}")
    best = min(said, key=lambda n: (-said[n], n), default=None)
    if status.get("bestRound") != best:
        raise Violation(f"bestRound is {status.get('bestRound')}, expected {best} of {said}")
    last = max((entry["round"] for entry in status["rounds"] if "model" in entry), default=0)
    if not world.failed and (last not in said or ("finalize", last) not in world.storage.artifacts):
        raise Violation(f"model {last} was not measured, or has no report: {said}")


def expected(world: World) -> tuple[str, ...]:
    """Return the reasons that the run may end with, told by a plain walk through the rounds; none where that is not enough."""
    scenario, happened = world.scenario, world.happened
    if happened["objective"] or (happened["rounds raised"] and scenario.every_rounds > 1) or scenario.stubborn is not None:
        return ()
    measured: list[float] = []
    rounds = world.run.spec.max_rounds
    for model in range(rounds + 1):
        value = scenario.value(model)
        last = model == rounds
        barren = not last and not scenario.trainable(model + 1)
        if model % scenario.every_rounds == 0 or last or (barren and model):
            measured.append(value)
            if scenario.goal is not None and value >= scenario.goal:
                return ("GoalReached",)
        stopped = scenario.patience is not None and patience_spent(measured, scenario.patience)
        if barren:
            # Was it measured by the closing evaluation, before there was a next round, nobody has looked for examples since.
            return ("TooFewExamples", "EarlyStopped") if stopped and happened["rounds raised"] else ("TooFewExamples",)
        if last:
            return ("MaxRoundsReached",)
        if stopped:
            return ("EarlyStopped",)
    return ()


def patience_spent(values: list[float], patience: int) -> bool:
    """Return whether the last `patience` values were all no better than the best before each of them."""
    tail = range(len(values) - patience, len(values))
    return tail.start >= 1 and all(values[i] <= max(values[:i]) for i in tail)


RAISED_TOO_LATE = Scenario(
    tape=bytes(112) + b"/\x01" + bytes(46), max_rounds=1, patience=1, values=(0.6, 0.5, 0.4, 0.3), barren=2, release_removes=True
)
"""The rounds are raised after the closing evaluation has found no gain, and the round after it would find no examples."""


def test_rounds_raised_after_the_patience_was_spent_begin_no_further_round():
    world = check(RAISED_TOO_LATE)
    assert world.happened["rounds raised"]
    assert world.over == "EarlyStopped"


@pytest.mark.parametrize("part", range(PARTS))
@settings(max_examples=EXAMPLES, derandomize=True, database=None, deadline=None)
@given(scenario=scenarios)
def test_whatever_goes_wrong_a_run_ends_right_and_does_nothing_twice(part, scenario):
    """Hypothesis derives the examples from the test's name, of which `part` is a part: each part has its own."""
    world = check(scenario)
    event(f"ended with {world.over}")
