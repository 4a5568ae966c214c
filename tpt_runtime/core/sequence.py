"""The order of the steps: which one is next, and with what it is started. Derived from rounds and spec alone.

    prepare; for every round n: sample(n), prune(n), train(n); after the last model m: evaluate(m), grade(m), finalize(m)

sample(n) also evaluates model n-1 if that is due; prune(n) then tells its figures, and so whether round n is to be trained.
The closing evaluation measures the last model, unless that is done. When the run goes on later, sample(n) need not do it again.
"""

from tpt_runtime.core.actions import StartStep
from tpt_runtime.core.completion import best_before, best_round, ending, measured
from tpt_runtime.core.rounds import PREPARE, Rounds, StepKey
from tpt_runtime.core.spec import Spec
from tpt_runtime.core.status import StepName


def next_step(rounds: Rounds, spec: Spec) -> StepKey | None:
    """Return the first step that is not done; None when the run is over (see `completion.ending`)."""
    if not rounds.done(PREPARE):
        return PREPARE
    end = ending(rounds, spec)
    last = rounds.trained
    if end is None:
        steps = [StepKey(last + 1, step) for step in (StepName.SAMPLE, StepName.PRUNE, StepName.TRAIN)]
    elif end.failed:
        steps = []
    else:
        closing = (StepName.EVALUATE, StepName.GRADE) if last not in measured(rounds, spec.objective) else ()
        steps = [StepKey(last, step) for step in (*closing, StepName.FINALIZE)]
    return next((key for key in steps if not rounds.done(key)), None)


def evaluates(key: StepKey, rounds: Rounds, spec: Spec) -> bool:
    """Return whether a sample or prune step also measures the model that its round begins with."""
    model = key.round - 1
    due = model % spec.evaluation.every_rounds == 0
    return key.step in (StepName.SAMPLE, StepName.PRUNE) and due and model not in measured(rounds, spec.objective)


def start(key: StepKey, attempt: int, job: str, rounds: Rounds, spec: Spec) -> StartStep:
    """Return what starts attempt `attempt` of a step."""
    values = measured(rounds, spec.objective)
    evaluate = evaluates(key, rounds, spec)
    compare = None
    if key.step is StepName.GRADE:
        compare = best_before(values, key.round)
    elif key.step is StepName.PRUNE and evaluate:
        compare = best_before(values, key.round - 1)
    indexes = {
        StepName.SAMPLE: spec.sampling.shards,
        StepName.EVALUATE: spec.sampling.shards,
        StepName.TRAIN: spec.training.nodes,
    }
    return StartStep(
        job=job,
        step=key.step,
        round=key.round,
        attempt=attempt,
        indexes=indexes.get(key.step, 1),
        evaluate=evaluate,
        compare=compare,
        best_round=best_round(values) if key.step is StepName.FINALIZE else None,
    )
