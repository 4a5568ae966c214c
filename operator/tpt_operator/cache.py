"""What the operator remembers of the cluster: runs, and projections of their Jobs and pods.

It is filled by lists, kept fresh by watches and by the answers to our own writes, and replaced by lists now and then: what a list
does not have is gone, whatever the watch said or did not say. An older version never replaces a newer one.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from tpt_operator.views import JobView, PodView, version


class RunKey(NamedTuple):
    """A run by its place: what is reconciled."""

    namespace: str
    name: str


@dataclass(frozen=True)
class RunView:
    """A run as it was read, without its managed fields."""

    name: str
    uid: str
    version: int
    raw: Mapping[str, Any]

    @property
    def key(self) -> RunKey:
        """Its place."""
        return RunKey(self.raw["metadata"]["namespace"], self.name)


def run_view(run: Mapping[str, Any]) -> RunView:
    """Return what is remembered of a run."""
    metadata = {name: value for name, value in run["metadata"].items() if name != "managedFields"}
    return RunView(metadata["name"], metadata["uid"], version(metadata), {**run, "metadata": metadata})


def run_of(view: RunView | JobView | PodView) -> RunKey:
    """Return the run that something belongs to."""
    return view.key if isinstance(view, RunView) else RunKey(view.names.namespace, view.names.run)


def _uid_of_run(view: RunView | JobView | PodView) -> str:
    return view.uid if isinstance(view, RunView) else view.names.run_uid


View = TypeVar("View", RunView, JobView, PodView)
Place = tuple[str, str]


class Shelf(Generic[View]):
    """All objects of one kind, by namespace and name, and by the run that they belong to."""

    def __init__(self) -> None:
        """Begin empty."""
        self._views: dict[Place, View] = {}
        self._by_run: dict[str, dict[Place, View]] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._views)

    def __iter__(self) -> Iterator[View]:
        """Yield all of them."""
        return iter(list(self._views.values()))

    def get(self, namespace: str, name: str) -> View | None:
        """Return the object at a place, if it is remembered."""
        return self._views.get((namespace, name))

    def of(self, run_uid: str) -> list[View]:
        """Return what belongs to a run."""
        return list(self._by_run.get(run_uid, {}).values())

    def put(self, view: View) -> bool:
        """Remember an object, unless a newer version is known; return whether that changed anything."""
        place = _place(view)
        known = self._views.get(place)
        if known is not None and known.uid == view.uid and known.version >= view.version > 0:
            return False
        self._drop(place)
        self._views[place] = view
        self._by_run.setdefault(_uid_of_run(view), {})[place] = view
        return known != view

    def remove(self, view: View) -> bool:
        """Forget a deleted object, unless what is known at its place is newer; return whether that changed anything."""
        place = _place(view)
        known = self._views.get(place)
        if known is None or known.version > view.version > 0:
            return False
        self._drop(place)
        return True

    def replace(self, views: Iterable[View], at: int) -> list[View]:
        """Have what a list said, made at version `at`; return what has changed, in its last known version."""
        listed = {_place(view): view for view in views}
        changed = [view for view in listed.values() if self.put(view)]
        for place in [place for place in self._views if place not in listed]:
            view = self._views[place]
            if view.version <= at or not at:  # what is newer than the list was made after it
                self._drop(place)
                changed.append(view)
        return changed

    def _drop(self, place: Place) -> None:
        known = self._views.pop(place, None)
        if known is None:
            return
        of_run = self._by_run[_uid_of_run(known)]
        del of_run[place]
        if not of_run:
            del self._by_run[_uid_of_run(known)]


def _place(view: RunView | JobView | PodView) -> Place:
    return (run_of(view).namespace, view.name)


class Cache:
    """Everything that is remembered."""

    def __init__(self) -> None:
        """Begin empty: nothing is planned before all shelves were filled once."""
        self.runs: Shelf[RunView] = Shelf()
        self.jobs: Shelf[JobView] = Shelf()
        self.pods: Shelf[PodView] = Shelf()
