"""Why a run is over, derived from its rounds and its present spec, and which model is best. Nothing here is remembered.

All of it is measured on validation, by the objective's pass@k. The best model is the one with the highest value, the earliest of
equals. That is the plain choice, and a flattering one: the highest of several noisy values is too high on average. So what is
reported of the best model is its figure on `eval`, which decides nothing.

Early stopping looks at the gain over the best earlier model, paired by question. Both models answer the same questions, so the
mean of the paired differences is the difference of the two values; pairing narrows its interval only, which prune reports.
The difference is taken here from the values, so that it also holds after the objective's metric has been changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tpt_runtime.core.rounds import Rounds
from tpt_runtime.core.spec import EarlyStopping, Objective, Spec
from tpt_runtime.core.status import PruneOutcome, Reason, RoundStatus


@dataclass(frozen=True)
class Ending:
    """Why no further round is trained."""

    reason: Reason
    message: str
    failed: bool = False


def percent(share: float) -> str:
    """Return a fraction of 1 for people: `46.1 %`."""
    return f"{100 * share:.1f} %"


def objective_value(entry: RoundStatus, objective: Objective) -> float | None:
    """Return the objective's value of a round's model, None as long as it has not been measured."""
    name = f"validation/{objective.metric}"
    return next((metric.value for metric in entry.metrics if metric.name == name), None)


def measured(rounds: Rounds, objective: Objective) -> dict[int, float]:
    """Return the objective's value of every measured model by its number, in order."""
    values = ((entry.round, objective_value(entry, objective)) for entry in rounds)
    return {number: value for number, value in values if value is not None}


def best_round(values: Mapping[int, float]) -> int | None:
    """Return the number of the best of the measured models: the highest value, the earliest of equals."""
    return min(values, key=lambda number: (-values[number], number), default=None)


def best_before(values: Mapping[int, float], number: int) -> int | None:
    """Return the best of the models before `number`: what model `number` is compared with."""
    return best_round({earlier: value for earlier, value in values.items() if earlier < number})


def rounds_without_gain(values: Mapping[int, float], min_delta: float) -> int:
    """Return how many measured models in a row, up to the last, were not better by more than `min_delta` than the best before."""
    count = 0
    for number, value in values.items():
        before = best_before(values, number)
        # Nine decimals, so that 0.465 - 0.46 is not more than 0.005.
        gained = before is None or round(value - values[before], 9) > min_delta
        count = 0 if gained else count + 1
    return count


def ending(rounds: Rounds, spec: Spec) -> Ending | None:
    """Return why the run ends at the last model that exists, None while it goes on.

    A reached goal comes first: it is what the user asked for, whatever else is true.
    """
    values = measured(rounds, spec.objective)
    return _goal(values, spec.objective) or _nothing_to_train_on(rounds, spec) or _rounds_spent(rounds, spec, values)


def _goal(values: Mapping[int, float], objective: Objective) -> Ending | None:
    best = best_round(values)
    if best is None or objective.goal is None or values[best] < objective.goal:
        return None
    reached = f"{objective.metric} {percent(values[best])} on validation, the goal is {percent(objective.goal)}"
    return Ending(Reason.GOAL_REACHED, f"model {best} has reached the goal: {reached}")


def _nothing_to_train_on(rounds: Rounds, spec: Spec) -> Ending | None:
    number = rounds.trained + 1
    if number not in rounds:
        return None
    entry = rounds[number]
    drawn = f"{entry.samples.total:,} samples" if entry.samples is not None else "its samples"
    if entry.outcome is PruneOutcome.NO_CORRECT_SAMPLES:
        reason, found = Reason.NO_CORRECT_SAMPLES, f"none of {drawn} is correct"
    elif entry.outcome is PruneOutcome.TOO_FEW_EXAMPLES:
        fewer = f"fewer than pruning.minExamples={spec.pruning.min_examples}"
        reason, found = Reason.TOO_FEW_EXAMPLES, f"{entry.examples or 0:,} examples were kept of {drawn}, {fewer}"
    else:
        return None
    advice = "read the samples of each verdict: is the answer in the verifier's format, is the model strong enough?"
    after = advice if number == 1 else "the models so far stay"
    return Ending(reason, f"round {number}: {found}; {after}", failed=number == 1)


def _rounds_spent(rounds: Rounds, spec: Spec, values: Mapping[int, float]) -> Ending | None:
    early = spec.objective.early_stopping
    if rounds.trained >= spec.max_rounds:
        return Ending(Reason.MAX_ROUNDS_REACHED, f"all {spec.max_rounds} rounds are done")
    return None if early is None else _patience_spent(values, early)


def _patience_spent(values: Mapping[int, float], early: EarlyStopping) -> Ending | None:
    count = rounds_without_gain(values, early.min_delta)
    if count < early.patience_rounds:
        return None
    models = "1 measured model was" if count == 1 else f"{count} measured models in a row were"
    gain = f"by more than {percent(early.min_delta)} " if early.min_delta else ""
    return Ending(Reason.EARLY_STOPPED, f"{models} not {gain}better than the best before")
