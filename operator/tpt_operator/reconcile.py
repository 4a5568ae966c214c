"""One look at one run: what is remembered goes to the planner, and what it asks for is carried out.

Level-based: a call more or less, or one too late, changes nothing. What a run does next is decided by `core.plan` alone.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tpt_operator import checks, labels, manifests
from tpt_operator.api import EVENTS, JOBS, PODS, Api, ApiError, Forbidden, NotFound
from tpt_operator.apply import Applier, Planned, Refused, Stale
from tpt_operator.cache import Cache, RunKey, RunView
from tpt_operator.observe import Said, complete_view, observed, unseen_jobs
from tpt_operator.obstacles import Silent, silent
from tpt_operator.progress import Listener, remembered
from tpt_operator.settings import Settings
from tpt_operator.telling import Teller
from tpt_operator.views import JobView, job_view, pod_view
from tpt_runtime.core import plan as planner
from tpt_runtime.core.actions import Event, EventReason, Plan, StartStep
from tpt_runtime.core.attempts import shortened
from tpt_runtime.core.errors import InvalidResource, Problem
from tpt_runtime.core.resource import parse_run
from tpt_runtime.core.spec import Metadata, Run
from tpt_runtime.core.status import ConditionType

ASK_AGAIN = timedelta(seconds=30)
"""So soon at the earliest are Events asked again that said why something does not begin; else after as long as it has waited."""
ASK_SOON = timedelta(seconds=5)
"""The same where they did not say why."""
ASK_SELDOM = timedelta(minutes=5)
"""So soon at the latest. To answer, an API server reads all Events of a namespace; and when something begins the watches tell."""


BEGUN = timedelta(seconds=1)
"""So soon is a Job looked at that was just made, for how long it may wait: without pods it may never be heard of."""


@dataclass
class Findings:
    """What was found out about a run, so that it need not be asked again; forgotten with the run."""

    uid: str
    read: tuple[int, Run | tuple[Problem, ...]] = (0, ())
    """A generation of the spec, and the run as it was read from it, or what is wrong."""
    rehearsed: int = 0
    """The generation whose Jobs the API server has found well."""
    looked_at: set[str] = field(default_factory=set)
    """UIDs of the finished Jobs whose pods were read live."""
    told: dict[str, tuple[datetime, str | None]] = field(default_factory=dict)
    """By UID of what does not begin: when to ask again why, and what was said last."""

    def keep(self, there: set[str]) -> None:
        """Forget Jobs and pods that are not there any more."""
        self.looked_at &= there
        self.told = {uid: said for uid, said in self.told.items() if uid in there}


class Reconciler:
    """Looks at runs."""

    def __init__(self, api: Api, cache: Cache, settings: Settings, listener: Listener, now: Callable[[], datetime]) -> None:
        """Look at what `cache` remembers, and at what `listener` has heard; `now` is the present moment, with a time zone."""
        self._api, self._cache, self._settings, self._listener, self._now = api, cache, settings, listener, now
        self._applier = Applier(api, cache, settings)
        self._teller = Teller(api, now)
        self._findings: dict[RunKey, Findings] = {}

    async def reconcile(self, key: RunKey) -> float | None:
        """Look at a run once; return the seconds after which to look again even if nothing happens.

        Raises:
            Stale: what is remembered is not what is there; look again.
            ApiError: the API server could not do what was asked; look again, later.
        """
        view = self._cache.runs.get(*key)
        if view is None:
            self._forget(key)
            return None
        if _left_alone(view):
            return None
        known = self._known(view)
        run = self._read(view, known)
        if not isinstance(run, Run):
            await self._refuse(view, run)
            return None
        made, again = await self._plan(view, run, known)
        starts = any(isinstance(action, StartStep) for action in made.actions)
        if starts and (wrong := await self._rehearse(run, known)):
            known.read = (run.metadata.generation, wrong)
            await self._refuse(view, wrong)
            return None
        written = await self._applier.write_status(view, made.status)
        run = run.model_copy(update={"status": written.raw.get("status")})
        try:
            await self._carry_out(Planned(run, written, written is not view), made)
        except Forbidden as error:  # such as a quota of Jobs: it is tried again, but somebody has to act
            words = shortened(f"{error.what}: {error.message}")
            await self._teller.tell(written, Event(EventReason.NOT_ALLOWED, words, warning=True))
            raise
        except Refused as refused:
            known.read = (run.metadata.generation, (refused.problem,))
            await self._refuse(written, (refused.problem,))
            return None
        return self._delay(made.wake_at, again, self._now() + BEGUN if starts else None)

    async def _carry_out(self, planned: Planned, made: Plan) -> None:
        """Carry out what was planned, then tell of it however that went: a run does not wait for words."""
        failed: Exception | None = None
        try:
            await self._applier.carry_out(planned, made.actions)
        except (ApiError, Stale, Refused) as error:
            failed = error
        for event in made.events:
            await self._teller.tell(planned.view, event)
        if failed is not None:
            raise failed

    def _known(self, view: RunView) -> Findings:
        """Return what was found out about a run; nothing yet, where one of the same name was there before it."""
        known = self._findings.get(view.key)
        if known is None or known.uid != view.uid:
            self._forget(view.key)
            known = self._findings[view.key] = Findings(view.uid)
        return known

    def listed(self, runs: Iterable[RunView]) -> None:
        """Take note of a list of runs, after which all Jobs were listed and put into the cache."""
        self._applier.listed(runs)

    def _forget(self, key: RunKey) -> None:
        """Forget a run that is gone."""
        known = self._findings.pop(key, None)
        if known is not None:
            self._applier.forget(known.uid)

    def _delay(self, *moments: datetime | None) -> float | None:
        due = min((moment for moment in moments if moment is not None), default=None)
        return None if due is None else max(0.0, (due - self._now()).total_seconds())

    def _read(self, view: RunView, known: Findings) -> Run | tuple[Problem, ...]:
        """Return the run, read once for each generation, with its present status and its images pinned; or what is wrong."""
        generation = view.raw["metadata"].get("generation", 1)
        if known.read[0] != generation:
            known.read = (generation, _parse(view))
        run = known.read[1]
        if not isinstance(run, Run):
            return run
        resolved = {**((view.raw.get("status") or {}).get("resolved") or {})}
        if not resolved.get("images"):
            resolved["images"] = self._settings.images.by_role
        status = {**(view.raw.get("status") or {}), "resolved": resolved}
        metadata = run.metadata.model_copy(update={"resource_version": view.raw["metadata"]["resourceVersion"]})
        return run.model_copy(update={"status": status, "metadata": metadata})

    async def _plan(self, view: RunView, run: Run, known: Findings) -> tuple[Plan, datetime | None]:
        blocked: dict[str, str] = {}
        again: datetime | None = None
        await self._look_for_jobs(view)
        for job in self._cache.jobs.of(view.uid):
            mine = [pod for pod in self._cache.pods.of(view.uid) if pod.job == job.name]
            if job.ending is not None and not job.released and job.uid not in known.looked_at and not complete_view(job, mine):
                await self._look(job)
                known.looked_at.add(job.uid)
            elif (quiet := silent(job, mine)) is not None:
                why, at = await self._ask_why(quiet, job.names.namespace, known)
                again = min(at, again) if again else at
                if why is not None:
                    blocked[job.name] = why
        jobs, pods = self._cache.jobs.of(view.uid), self._cache.pods.of(view.uid)
        known.keep({job.uid for job in jobs} | {pod.uid for pod in pods})
        live = (job for job in jobs if job.ending is None)
        reported = ((job.name, self._listener.said(job) or remembered(view.raw, job)) for job in live)
        said = Said(blocked, {name: progress for name, progress in reported if progress is not None})
        seen = observed(jobs, pods, said)
        return planner.plan(run, seen, self._now()), again

    async def _look_for_jobs(self, view: RunView) -> None:
        """Read live the Jobs of pods that were seen without them: every kind has a watch of its own, and none waits for another.

        A Job that another operator has just made would be taken for a deleted one, and its attempt for ended.
        """
        for name in unseen_jobs(self._cache.jobs.of(view.uid), self._cache.pods.of(view.uid)):
            try:
                job = job_view(await self._api.get(JOBS, view.key.namespace, name))
            except NotFound:
                continue
            if job is not None:
                self._cache.jobs.put(job)

    async def _look(self, job: JobView) -> None:
        """Read the pods of a finished Job live: its end may have been seen before theirs."""
        selector = f"{labels.OURS},{labels.JOB_NAME}={job.name}"
        async for page in self._api.list(PODS, job.names.namespace, selector):
            for pod in map(pod_view, page["items"]):
                if pod is not None:
                    self._cache.pods.put(pod)

    async def _ask_why(self, quiet: Silent, namespace: str, known: Findings) -> tuple[str | None, datetime]:
        """Return why something does not begin, as its Events say it, and when to ask again."""
        now = self._now()
        if now < quiet.ask_from:
            return None, quiet.ask_from
        if quiet.words:
            return quiet.words, now + ASK_AGAIN
        told = known.told.get(quiet.uid)
        if told is not None and now < told[0]:
            return told[1], told[0]
        events: list[Mapping[str, Any]] = []
        async for page in self._api.list(EVENTS, namespace, fields=quiet.fields):
            events += page["items"]
        why = quiet.told(events)
        again = now + min(max(ASK_AGAIN if why else ASK_SOON, now - quiet.ask_from), ASK_SELDOM)
        known.told[quiet.uid] = (again, why)
        return why, again

    async def _rehearse(self, run: Run, known: Findings) -> tuple[Problem, ...]:
        """Have the API server say once for each generation what it thinks of the Jobs; return what is wrong."""
        generation = run.metadata.generation
        if known.rehearsed == generation or _begun(run.status, generation):
            return ()
        found = []
        for start in checks.rehearsals(run):
            refused = await self._applier.rehearse(run, start)
            if refused is not None:
                found.append(Problem(checks.section(start.step), refused.message, "see also spec.worker"))
        if not found:
            known.rehearsed = generation
        return tuple(found)

    async def _refuse(self, view: RunView, problems: tuple[Problem, ...]) -> None:
        """Say that a run's spec is not usable, and stop what still runs of it."""
        metadata = Metadata.from_wire(view.raw["metadata"])
        status = planner.invalid(metadata, view.raw.get("status"), problems, self._now())
        written = await self._applier.write_status(view, status)
        if written is not view:
            failed = next(condition for condition in status.conditions if condition.type is ConditionType.FAILED)
            await self._teller.tell(written, Event(EventReason.INVALID_SPEC, failed.message, warning=True))
        for job in self._cache.jobs.of(view.uid):
            if job.ending is None and job.deleting_since is None:
                await self._applier.delete(written, job.name, "the spec is not valid")


def _left_alone(view: RunView) -> bool:
    """Return whether a run is about to go, or is somebody else's to carry out."""
    managed_by = view.raw["spec"].get("managedBy", manifests.MANAGER)
    return bool(view.raw["metadata"].get("deletionTimestamp")) or managed_by != manifests.MANAGER


def _begun(status: Mapping[str, Any] | None, generation: int) -> bool:
    """Return whether a step was begun under this generation of the spec: after a rehearsal, then."""
    steps = (step for entry in (status or {}).get("rounds", ()) for step in entry.get("steps", ()))
    return any(step.get("generation") == generation for step in steps)


def _parse(view: RunView) -> Run | tuple[Problem, ...]:
    try:
        run = parse_run(view.raw, "/".join(view.key))
    except InvalidResource as error:
        return error.problems
    return tuple(checks.problems(run)) or run
