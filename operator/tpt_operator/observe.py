"""From Jobs and pods to what the planner understands: states, failures in words, summaries, obstacles. Pure functions.

A Job has ended when its condition Complete or Failed is true, not before: with `FailureTarget` its pods may still run.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from tpt_operator.obstacles import leaving_since, with_way_out
from tpt_operator.views import JobView, Names, PodView
from tpt_runtime.core.errors import CONFIGURATION_EXITS, EXIT_INTERRUPTED
from tpt_runtime.core.observed import Failure, FailureKind, JobState, Observed, ObservedJob, Span
from tpt_runtime.core.status import Progress, Reported, StepName

LAST_WORDS = 600
"""Characters of a log's end that are told where a step said nothing itself."""
_SHARDS_FIRST = (FailureKind.CONFIGURATION, FailureKind.CRASH, FailureKind.DISRUPTION)
_NODES_FIRST = (FailureKind.DISRUPTION, FailureKind.CONFIGURATION, FailureKind.CRASH)
"""Which failure of several speaks for the Job. One evicted node crashes those that train with it."""


@dataclass(frozen=True)
class Said:
    """What was learned of Jobs beside their status and their pods', by name."""

    blocked: Mapping[str, str] = field(default_factory=dict)
    """What Events say of Jobs that do not begin."""
    progress: Mapping[str, Reported] = field(default_factory=dict)
    """How far its first pod says that it is."""


NOTHING: Final = Said()


def observed(jobs: Iterable[JobView], pods: Iterable[PodView], said: Said = NOTHING) -> Observed:
    """Return what is seen of one run."""
    by_job: dict[str, list[PodView]] = {}
    for pod in pods:
        by_job.setdefault(pod.job, []).append(pod)
    seen = [observed_job(job, by_job.pop(job.name, []), said) for job in jobs]
    orphans = (_orphaned(name, left) for name, left in by_job.items())
    return Observed((*seen, *(orphan for orphan in orphans if orphan is not None)))


def unseen_jobs(jobs: Iterable[JobView], pods: Iterable[PodView]) -> list[str]:
    """Return the Jobs that are not among `jobs` though pods of them still run: they are gone, or were not seen yet."""
    return sorted({pod.job for pod in pods if _still_there(pod)} - {job.name for job in jobs})


def observed_job(job: JobView, pods: Sequence[PodView], said: Said = NOTHING) -> ObservedJob:
    """Return what a Job and its pods say together."""
    names, told = job.names, said.blocked.get(job.name)
    stuck = leaving_since(pods) if told and job.ending is None else None  # its pods are there, but nothing runs in them
    state = JobState.PENDING if stuck else _state(job, pods)
    over = state in (JobState.SUCCEEDED, JobState.FAILED)
    began = min((_since(pod.started, job.turned) for pod in pods if pod.started), default=None)
    return ObservedJob(
        name=job.name,
        step=StepName(names.step),
        round=names.round,
        attempt=names.attempt,
        state=state,
        created=job.created,
        started=began or (job.created if state is not JobState.PENDING else None),
        waiting_since=stuck or (_since(job.created, job.turned) if state is JobState.PENDING else None),
        finished=job.ending[3] if job.ending else None,
        deleting=job.deleting_since is not None,
        deleting_since=job.deleting_since,
        failure=_failure(job, pods) if state is JobState.FAILED else None,
        summaries=summaries(job, pods) if state is JobState.SUCCEEDED else (),
        blocked=_blocked(job, pods, told) if state is JobState.PENDING else None,
        queue=(job.queue, job.priority) if job.suspended and job.queue else None,
        progress=None if over else _progress(job, said.progress.get(job.name)),
        gpus=job.gpus,
        ran=tuple(Span(pod.started, pod.termination.finished if pod.termination else None) for pod in pods if pod.started),
        released=job.released,
    )


def complete_view(job: JobView, pods: Sequence[PodView]) -> bool:
    """Return whether the pods that were seen explain how the Job ended; if not, they are looked at anew."""
    if job.ending is None:
        return True
    if job.ending[0] == "Complete":
        return None not in summaries(job, pods)
    return any(_ended_badly(pod) for pod in pods)


def summaries(job: JobView, pods: Iterable[PodView]) -> tuple[Mapping[str, Any] | None, ...]:
    """Return what each index handed in; None where that is missing or no JSON object."""
    handed_in = {pod.index: _json(pod.termination.message) for pod in pods if pod.phase == "Succeeded" and pod.termination}
    return tuple(handed_in.get(index) for index in range(job.completions))


def _json(text: str) -> Mapping[str, Any] | None:
    try:
        data = json.loads(text)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def _state(job: JobView, pods: Iterable[PodView]) -> JobState:
    if job.ending is not None:
        return JobState.SUCCEEDED if job.ending[0] == "Complete" else JobState.FAILED
    begun = [pod for pod in pods if pod.started]
    if job.held:  # what it has done before does not run now; pods on their way out do
        runs = any(pod.phase == "Running" for pod in begun)
    elif job.names.step == StepName.TRAIN and job.completions > 1:  # no node gets anywhere before all of them are there
        runs = job.ended_pods or len({pod.index for pod in begun}) == job.completions
    else:
        runs = job.seen_pods or bool(begun)
    return JobState.RUNNING if runs else JobState.PENDING


def _since(moment: datetime, turned: datetime | None) -> datetime:
    """Return `moment`, or when the Job was last suspended or resumed if that was later: time before it does not count."""
    return moment if turned is None else max(moment, turned)


def _orphaned(name: str, pods: Sequence[PodView]) -> ObservedJob | None:
    """Return a Job that is gone while pods of it still run: no other attempt of its step may start."""
    left = [pod for pod in pods if _still_there(pod)]
    if not left:
        return None
    names: Names = left[0].names
    since = min((pod.deleting_since for pod in left if pod.deleting_since), default=None)
    return ObservedJob(
        name=name,
        step=StepName(names.step),
        round=names.round,
        attempt=names.attempt,
        state=JobState.RUNNING,
        created=min(pod.created for pod in left),
        deleting=True,
        deleting_since=since,
    )


def _still_there(pod: PodView) -> bool:
    return pod.phase in ("Pending", "Running", "Unknown")


def _progress(job: JobView, reported: Reported | None) -> Progress | None:
    if job.sharded:
        return Progress(completed=job.succeeded, total=job.completions, first_shard=reported)
    return Progress(completed=reported.completed, total=reported.total) if reported else None


def _blocked(job: JobView, pods: Iterable[PodView], told: str | None) -> str | None:
    if job.suspended:
        if job.queue:
            return f"waits for admission by the queue {job.queue}"
        return f"somebody else has suspended the Job {job.name}; it goes on once its spec.suspend is false again"
    words = next((pod.blocked for pod in pods if pod.blocked), told)
    return None if words is None else with_way_out(words)


def _failure(job: JobView, pods: Sequence[PodView]) -> Failure:
    order = _NODES_FIRST if job.names.step == StepName.TRAIN and job.completions > 1 else _SHARDS_FIRST
    found = [(pod, failure_of(pod)) for pod in pods if _ended_badly(pod)]
    if not found:
        return _from_condition(job)
    latest = sorted(found, key=lambda pair: _finished(pair[0]), reverse=True)
    pod, failure = min(latest, key=lambda pair: order.index(pair[1].kind))
    if job.completions == 1:
        return failure
    return Failure(failure.kind, f"index {pod.index} of {job.completions}: {failure.message}", failure.exit_code)


def _finished(pod: PodView) -> str:
    finished = pod.termination.finished if pod.termination else None
    return (finished or pod.created).isoformat()


def _ended_badly(pod: PodView) -> bool:
    return pod.phase == "Failed" or (pod.termination is not None and pod.termination.exit_code != 0)


def failure_of(pod: PodView) -> Failure:
    """Return how a pod failed, in words."""
    ended = pod.termination
    code = ended.exit_code if ended else None
    if pod.disrupted is not None:
        return Failure(FailureKind.DISRUPTION, pod.disrupted, code)
    if ended is None:
        return Failure(FailureKind.CRASH, pod.said or "the pod failed without a word", None)
    if ended.reason == "OOMKilled":
        message = "out of memory (OOMKilled): raise resources.limits.memory of the step's worker"
        return Failure(FailureKind.CRASH, message, code)
    if code in CONFIGURATION_EXITS:
        return Failure(FailureKind.CONFIGURATION, _words(pod), code)
    if code == EXIT_INTERRUPTED:  # it was asked to stop: somebody deleted the pod
        return Failure(FailureKind.DISRUPTION, "it was asked to stop (exit code 143)", code)
    return Failure(FailureKind.CRASH, _words(pod), code)


def _words(pod: PodView) -> str:
    ended = pod.termination
    if ended is None:
        return pod.said
    error = (_json(ended.message) or {}).get("error")
    if isinstance(error, str) and error:
        return error
    said = ended.message.strip()[-LAST_WORDS:] or pod.said or ended.reason or "no word why"
    return f"ended with exit code {ended.exit_code}: {said}"


def _from_condition(job: JobView) -> Failure:
    """Return how a Job failed whose pods are gone, from the words of its condition."""
    if job.ending is None:
        raise ValueError(f"the Job {job.name} has not ended")
    _, reason, message, _ = job.ending
    said = ": ".join(filter(None, (reason, message)))
    if "DisruptionTarget" in message:
        return Failure(FailureKind.DISRUPTION, said)
    code = re.search(r"exit code (\d+)", message)
    if reason == "PodFailurePolicy" and code and int(code[1]) in CONFIGURATION_EXITS:
        return Failure(FailureKind.CONFIGURATION, said, int(code[1]))
    return Failure(FailureKind.CRASH, said or "the Job failed without a word")
