"""Carries out what was planned, in an order that makes a crash between any two calls safe: the status first, then the actions.

Before a Job is created or deleted it is made sure that the run is still what it was planned with, else the plan is dropped
(`Stale`): its status was written a moment ago, which the API server takes only of the latest version, or it is read live.

Before a Job is created the run's Jobs are listed live, unless every version of the run since the last such list, or since the
last list of everything, is our own writing. As long as that is so nobody else can have begun an attempt: it would have written
the status first. And a Job of the attempt that the status has under way has the same name, whoever creates it.

Nothing here decides what is to be done.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tpt_operator import labels, manifests, pods
from tpt_operator.api import JOBS, POLICIES, RUNS, SERVICES, Api, ApiError, Conflict, Invalid, NotFound
from tpt_operator.cache import Cache, RunView, run_view
from tpt_operator.settings import Settings
from tpt_operator.views import JobView, job_view
from tpt_runtime.core.actions import Action, DeleteJob, ReleaseJob, StartStep
from tpt_runtime.core.errors import Problem
from tpt_runtime.core.spec import Run
from tpt_runtime.core.status import RunStatus

LOGGER = logging.getLogger(__name__)


class Stale(Exception):
    """What was planned with is not what is there: observe and plan again."""


class Refused(Exception):
    """The API server finds a Job of the run invalid, and always will under this spec."""

    def __init__(self, problem: Problem) -> None:
        """Keep what is wrong."""
        super().__init__(str(problem))
        self.problem = problem


@dataclass(frozen=True)
class Planned:
    """A run as it was planned with, and how it is remembered."""

    run: Run
    view: RunView
    written: bool
    """Whether its status was written since it was looked at."""


class Applier:
    """Writes to the cluster, and remembers what the answers say."""

    def __init__(self, api: Api, cache: Cache, settings: Settings) -> None:
        """Write through `api`; steps run in the images of `settings` unless their run has pinned others."""
        self._api, self._cache, self._images = api, cache, settings.images
        self._walls = settings.network_policies
        self._policies: dict[str, str] = {}
        self._known: dict[str, int] = {}
        """By UID the version up to which a run's Jobs are known: they were listed after it, or we wrote it over such a one."""

    def listed(self, runs: Iterable[RunView]) -> None:
        """Take note that all Jobs were listed after these runs were."""
        for view in runs:
            self._known[view.uid] = max(view.version, self._known.get(view.uid, 0))

    def forget(self, uid: str) -> None:
        """Forget a run that is gone."""
        self._policies.pop(uid, None)
        self._known.pop(uid, None)

    async def write_status(self, view: RunView, status: RunStatus) -> RunView:
        """Write a run's status if it differs from the one that is there; return the run as it is then.

        Raises:
            Stale: the run has changed, or is gone.
        """
        said, there = status.full_wire(), view.raw.get("status")
        if said == there or said == _read(there):
            return view
        metadata = {name: view.raw["metadata"][name] for name in ("name", "namespace", "uid", "resourceVersion")}
        body = {**view.raw, "metadata": metadata, "status": said}
        try:
            written = run_view(await self._api.replace_status(body))
        except (Conflict, NotFound) as error:
            raise Stale(str(error)) from error
        self._cache.runs.put(written)
        if self._known.get(view.uid) == view.version:
            self._known[view.uid] = written.version
        return written

    async def carry_out(self, planned: Planned, actions: tuple[Action, ...]) -> None:
        """Carry out the actions of a plan, in their order.

        Raises:
            Stale: what was planned with is not what is there.
            Refused: the API server finds a Job invalid.
        """
        if not planned.written and any(isinstance(action, StartStep | DeleteJob) for action in actions):
            await self._check_live(planned.view)
        for action in actions:
            match action:
                case StartStep():
                    await self._start(planned, action)
                case DeleteJob():
                    await self.delete(planned.view, action.job, action.why)
                case ReleaseJob():
                    await self._release(planned, action.job)

    async def delete(self, view: RunView, name: str, why: str) -> None:
        """Delete a Job of a run; one that is gone already is forgotten."""
        job = self._cache.jobs.get(view.key.namespace, name)
        if job is None:
            return
        LOGGER.info("%s/%s: deleting %s: %s", *view.key, name, why)
        try:
            await self._api.delete_job(view.key.namespace, name, job.uid)
        except (NotFound, Conflict):
            self._cache.jobs.remove(job)

    async def rehearse(self, run: Run, start: StartStep) -> Invalid | None:
        """Return what the API server has against the Job of a step, without making one."""
        try:
            await self._api.create(JOBS, manifests.job(run, start, self._images), dry_run=True)
        except Invalid as error:
            return error
        except ApiError as error:  # a quota, say: it will be told when the Job is due
            LOGGER.info("%s/%s: dry run of %s: %s", run.metadata.namespace, run.metadata.name, start.step, error)
        return None

    async def _check_live(self, view: RunView) -> None:
        try:
            live = run_view(await self._api.get(RUNS, *view.key))
        except NotFound as error:
            raise Stale(f"{view.key} is gone") from error
        if (live.uid, live.version) != (view.uid, view.version):
            self._cache.runs.put(live)
            raise Stale(f"{view.key} has changed")

    async def _start(self, planned: Planned, start: StartStep) -> None:
        run = planned.run
        if await self._already_there(planned.view, start):
            return
        await self._wall_off(run)
        if pods.meets(start):
            await self._api.apply(SERVICES, manifests.service(run))
        manifest = manifests.job(run, start, self._images)
        try:
            made = await self._api.create(JOBS, manifest)
        except Invalid as error:
            raise Refused(Problem(f"the Job of {start.step}", error.message)) from error
        except Conflict:
            made = await self._api.get(JOBS, run.metadata.namespace, start.job)
            _check_owner(made, run)
        self._remember(made)

    async def _already_there(self, view: RunView, start: StartStep) -> bool:
        """Return whether the Job exists, though it was not seen yet; another live one of the step makes the plan stale."""
        if self._known.get(view.uid) == view.version:
            return False
        found: list[JobView] = []
        async for page in self._api.list(JOBS, view.key.namespace, f"{labels.OURS},{labels.RUN_UID}={view.uid}"):
            found += [job for job in map(job_view, page["items"]) if job is not None]
        for job in found:
            self._cache.jobs.put(job)
        if any(job.name == start.job for job in found):
            return True
        mine = [job for job in found if (job.names.step, job.names.round) == (start.step, start.round)]
        if any(job.ending is None for job in mine):
            raise Stale(f"another Job of {start.step} is there: {', '.join(job.name for job in mine)}")
        self._known[view.uid] = view.version
        return False

    async def _wall_off(self, run: Run) -> None:
        """Have the run's NetworkPolicies be as its spec says, unless this operator makes none: those that are there stay."""
        if not self._walls:
            return
        policies = list(manifests.network_policies(run))
        digest = hashlib.sha256(json.dumps(policies, sort_keys=True).encode()).hexdigest()
        if self._policies.get(run.metadata.uid) == digest:
            return
        for policy in policies:
            await self._api.apply(POLICIES, policy)
        self._policies[run.metadata.uid] = digest

    async def _release(self, planned: Planned, name: str) -> None:
        seconds = planned.run.spec.retention.job_ttl_seconds_after_finished
        try:
            made = await self._api.patch(JOBS, planned.view.key.namespace, name, {"spec": {"ttlSecondsAfterFinished": seconds}})
        except NotFound:
            return
        self._remember(made)

    def _remember(self, job: Mapping[str, Any]) -> None:
        view = job_view(job)
        if view is not None:
            self._cache.jobs.put(view)


def _check_owner(job: Mapping[str, Any], run: Run) -> None:
    owners = [owner["uid"] for owner in job["metadata"].get("ownerReferences", ())]
    if run.metadata.uid not in owners:
        name = job["metadata"]["name"]
        raise ApiError(f"create the Job {name}", 409, "a Job of this name exists that is not this run's; delete or rename it")


def _read(status: Mapping[str, Any] | None) -> Any:
    """Return a stored status as it would be written again; what cannot be read is equal to nothing."""
    try:
        return RunStatus.from_wire(status).full_wire() if status else None
    except ValueError:
        return None
