"""The rounds of a run while one plan is made: looked up, added to, and at last put back into the status, small enough to keep.

`Rounds` knows which steps are done. Which one comes next is in `sequence.py`, what an attempt is in `attempts.py`.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from tpt_runtime.core.status import Metric, RoundStatus, StepName, StepStatus

WHOLE_ROUNDS = 8
"""A run of up to so many rounds is always kept whole."""
ROUNDS_BYTES = 40 * 1024
"""Above this the oldest rounds of a longer run are compacted: the whole status stays below 64 KiB, at 64 rounds too."""
METRICS = 40
"""Most figures of one round, as the schema has it."""

_OF_A_ROUND = (StepName.SAMPLE, StepName.PRUNE, StepName.TRAIN)
_NOT_BEGUN = {step: StepStatus(name=step) for step in StepName}
_DECIDING = ("validation/pass@", "eval/pass@")


class StepKey(NamedTuple):
    """One step of one round."""

    round: int
    step: StepName

    def __str__(self) -> str:
        """Return it in words: `round 2: train`."""
        if self.step in (StepName.PREPARE, StepName.FINALIZE):
            return self.step.value
        closing = self.step in (StepName.EVALUATE, StepName.GRADE)
        return f"closing evaluation of model {self.round}: {self.step}" if closing else f"round {self.round}: {self.step}"


PREPARE = StepKey(0, StepName.PREPARE)


class Rounds:
    """A working copy of `status.rounds`."""

    def __init__(self, rounds: Iterable[RoundStatus] = ()) -> None:
        """Begin with `rounds`."""
        self._rounds = {entry.round: entry for entry in rounds}
        trained = (key.round for key, record in self.records() if key.step is StepName.TRAIN and record.completion_time)
        self.trained = max(trained, default=0)
        """Number of the last model that exists; 0 is the base model."""

    def __getitem__(self, number: int) -> RoundStatus:
        """Return round `number`, empty if it has not begun."""
        return self._rounds.get(number) or RoundStatus(round=number)

    def __contains__(self, number: int) -> bool:
        """Return whether round `number` has begun."""
        return number in self._rounds

    def __iter__(self) -> Iterator[RoundStatus]:
        """Yield every round that has begun, in order."""
        return (self._rounds[number] for number in sorted(self._rounds))

    def update(self, number: int, **fields: Any) -> None:
        """Set fields of round `number`."""
        self._rounds[number] = self[number].model_copy(update=fields)

    def add_metrics(self, number: int, metrics: Iterable[Metric]) -> None:
        """Add figures of model `number`; one of the same name replaces the earlier. Past the cap, pass@k stay and others go."""
        by_name = {metric.name: metric for metric in (*self[number].metrics, *metrics)}
        ordered = sorted(by_name.values(), key=lambda metric: not metric.name.startswith(_DECIDING))
        self.update(number, metrics=ordered[:METRICS])

    def records(self) -> Iterator[tuple[StepKey, StepStatus]]:
        """Yield every step that has begun, with its record."""
        for number in sorted(self._rounds):
            for record in self._rounds[number].steps:
                yield StepKey(number, record.name), record

    def step(self, key: StepKey) -> StepStatus:
        """Return the record of a step, empty if it has not begun."""
        entry = self._rounds.get(key.round)
        found = (record for record in entry.steps if record.name is key.step) if entry else ()
        return next(iter(found), _NOT_BEGUN[key.step])

    def put(self, key: StepKey, record: StepStatus) -> None:
        """Replace the record of a step."""
        steps = [other for other in self[key.round].steps if other.name is not key.step]
        self.update(key.round, steps=[*steps, record])
        if key.step is StepName.TRAIN and record.completion_time is not None:
            self.trained = max(self.trained, key.round)

    def done(self, key: StepKey) -> bool:
        """Return whether nothing is left to do of a step: its summary is stored, or what was built on it is."""
        built_upon = key.round < self.trained or (key.round == self.trained > 0 and key.step in _OF_A_ROUND)
        return built_upon or self.step(key).completion_time is not None

    def compacted(self, best: int | None) -> list[RoundStatus]:
        """Return the rounds in order, those of a long run compacted from the oldest on until they are small enough.

        A compacted round keeps its counts and pass@k, without intervals unless it is the best; which steps led to it is no longer
        asked, because later ones are built upon them. The last two rounds stay as they are. All figures of a round are in its own
        report on the storage.
        """
        rounds = list(self)
        if len(rounds) <= WHOLE_ROUNDS:
            return rounds
        sizes = [_size(entry) for entry in rounds]
        for index, entry in enumerate(rounds[:-2]):
            if sum(sizes) <= ROUNDS_BYTES:
                break
            rounds[index] = _compact(entry, intervals=entry.round == best)
            sizes[index] = _size(rounds[index])
        return rounds


def _compact(entry: RoundStatus, *, intervals: bool) -> RoundStatus:
    metrics = [metric for metric in entry.metrics if metric.name.startswith(_DECIDING)]
    if not intervals:
        metrics = [Metric(name=metric.name, value=round(metric.value, 6)) for metric in metrics]
    return entry.model_copy(update={"metrics": metrics, "steps": [], "comparison": None, "outcome": None})


def _size(entry: RoundStatus) -> int:
    return len(json.dumps(entry.full_wire()))
