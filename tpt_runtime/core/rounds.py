"""The rounds of a run while one plan is made: looked up, added to, and at last put back into the status, small enough to keep.

`Rounds` knows which steps are done. Which one comes next is in `sequence.py`, what an attempt is in `attempts.py`.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from tpt_runtime.core.status import Metric, RoundStatus, StepName, StepStatus

WHOLE_ROUNDS = 8
"""A run of up to so many rounds is always kept whole."""
STATUS_BYTES = 40 * 1024
"""Above this the oldest rounds of a longer run are compacted. What stays whole has room below etcd's and our 64 KiB."""
METRICS = 40
"""Most figures of one round, as the schema has it."""

_OF_A_ROUND = (StepName.SAMPLE, StepName.PRUNE, StepName.TRAIN)
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
        found = (record for record in self[key.round].steps if record.name is key.step)
        return next(found, None) or StepStatus(name=key.step)

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

    def compacted(self, keep: Iterable[int | None]) -> list[RoundStatus]:
        """Return the rounds in order, those of a long run compacted from the oldest on until they are small.

        Rounds in `keep` and the last two stay as they are. A compacted round keeps pass@k without intervals, the counts, and the
        steps that say how far the run is. The full figures are in the round's own report on the storage.
        """
        rounds = list(self)
        if len(rounds) <= WHOLE_ROUNDS:
            return rounds
        sizes = [_size(entry) for entry in rounds]
        for index, entry in enumerate(rounds[:-2]):
            if sum(sizes) <= STATUS_BYTES:
                break
            if entry.round not in keep:
                rounds[index] = _compact(entry)
                sizes[index] = _size(rounds[index])
        return rounds


def _compact(entry: RoundStatus) -> RoundStatus:
    metrics = [Metric(name=m.name, value=round(m.value, 6)) for m in entry.metrics if m.name.startswith(_DECIDING)]
    lasting = [record for record in entry.steps if record.name in (StepName.PREPARE, StepName.TRAIN)]
    steps = [StepStatus(name=r.name, attempts=r.attempts, ended=r.ended, completion_time=r.completion_time) for r in lasting]
    return entry.model_copy(update={"metrics": metrics, "steps": steps, "comparison": None})


def _size(entry: RoundStatus) -> int:
    return len(json.dumps(entry.full_wire()))
