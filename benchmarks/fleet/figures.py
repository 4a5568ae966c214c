"""The arithmetic of the operator's benchmark: hand-offs paired, percentiles, what a window of time says. Pure functions."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Seen(NamedTuple):
    """A Job of a run was made, or has completed."""

    owner: str
    """UID of the run that it belongs to."""
    at: float
    completed: bool


class HandOff(NamedTuple):
    """From the completion of a Job to the making of the next one of its run."""

    at: float
    """When the Job completed."""
    seconds: float


class Sample(NamedTuple):
    """What a process has used up to a moment."""

    at: float
    cpu: float
    """Seconds, of user and system together."""
    memory: int
    """Resident bytes."""


class Request(NamedTuple):
    """A kind of request, as the API server counts them."""

    verb: str
    resource: str
    """With its subresource: `jobs`, `jobs/status`."""
    dry: bool


Counts = Mapping[Request, float]

WRITES = ("POST", "PUT", "PATCH", "APPLY", "DELETE")


@dataclass(frozen=True)
class Window:
    """What was measured of one side while steps ended."""

    begin: float
    end: float
    handoffs: tuple[HandOff, ...]
    """Those that became due in it."""
    ended: tuple[float, ...]
    """When steps ended in it."""
    samples: tuple[Sample, ...]
    """Of the process; the first one at the beginning, the last one at the end."""
    writes: Counts
    """Requests in it that were the side's own, Events apart."""
    events: int = 0
    """Events that were written of what it carries out."""
    busy: float = 0.0
    """Share of all cores that was used, by whatever program."""

    @property
    def latencies(self) -> list[float]:
        """Seconds of each hand-off."""
        return [handoff.seconds for handoff in self.handoffs]

    @property
    def rate(self) -> float:
        """Steps that ended in a second."""
        return len(self.ended) / (self.end - self.begin)

    @property
    def cpu_per_step(self) -> float:
        """Seconds of CPU for each step that ended."""
        return (self.samples[-1].cpu - self.samples[0].cpu) / len(self.ended)

    @property
    def memory(self) -> int:
        """Most resident bytes."""
        return max(sample.memory for sample in self.samples)

    @property
    def writes_per_step(self) -> float:
        """Writes for each step; a dry run is none."""
        return sum(count for kind, count in self.writes.items() if not kind.dry) / len(self.ended)

    def blocks(self) -> list["Window"]:
        """Return the window cut at its samples: repetitions of the same measurement. Writes are of the whole window only."""
        pairs = zip(self.samples, self.samples[1:], strict=False)
        return [self._block(first, last) for first, last in pairs]

    def _block(self, first: Sample, last: Sample) -> "Window":
        due = tuple(handoff for handoff in self.handoffs if first.at <= handoff.at < last.at)
        ended = tuple(at for at in self.ended if first.at <= at < last.at)
        return Window(first.at, last.at, due, ended, (first, last), {})


def percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed (nearest rank).

    Raises:
        ValueError: there are no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values: nothing was measured")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def handoffs(seen: Iterable[Seen]) -> list[HandOff]:
    """Return the hand-offs: the Jobs of one run follow each other, so each that is made answers the last that completed."""
    due: dict[str, float] = {}
    found: list[HandOff] = []
    for event in sorted(seen, key=lambda event: event.at):
        if event.completed:
            due[event.owner] = event.at
        elif (since := due.pop(event.owner, None)) is not None:
            found.append(HandOff(since, event.at - since))
    return sorted(found)


def requests(page: str) -> dict[Request, float]:
    """Return how many requests the API server has answered, by kind, from its metrics page; watches and reads apart."""
    found: dict[Request, float] = {}
    for labels, count in re.findall(r"^apiserver_request_total\{(.*)\} (\S+)$", page, re.MULTILINE):
        said = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if said["verb"] not in WRITES or not said["code"].startswith("2"):
            continue
        resource = "/".join(filter(None, (said["resource"], said["subresource"])))
        kind = Request(said["verb"], resource, said["dry_run"] != "")
        found[kind] = found.get(kind, 0.0) + float(count)
    return found


def without_collection(counts: Counts) -> dict[Request, float]:
    """Return `counts` without what the garbage collector asks for: it patches each Job that was deleted once, to let it go."""
    patched, deleted = Request("PATCH", "jobs", dry=False), Request("DELETE", "jobs", dry=False)
    own = max(0.0, counts.get(patched, 0.0) - counts.get(deleted, 0.0))
    return {kind: own if kind == patched else count for kind, count in counts.items()}


def difference(after: Counts, before: Counts) -> dict[Request, float]:
    """Return what was added."""
    added = {kind: count - before.get(kind, 0.0) for kind, count in after.items()}
    return {kind: count for kind, count in added.items() if count}


def quiet_since(samples: Sequence[Sample], seconds: float, share: float) -> float | None:
    """Return since when a process has used at most `share` of a core for `seconds`; None if it has not yet."""
    for index, first in enumerate(samples):
        later = next((sample for sample in samples[index + 1 :] if sample.at - first.at >= seconds), None)
        if later is not None and later.cpu - first.cpu <= share * (later.at - first.at):
            return first.at
    return None
