"""What is remembered of Jobs and pods: projections, so that caches stay small. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tpt_operator import labels
from tpt_operator.pods import CONTAINER, GPUS, SAMPLING

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Names:
    """Whose an object is and where it belongs, read from its labels."""

    namespace: str
    run: str
    run_uid: str
    step: str
    round: int
    attempt: int


@dataclass(frozen=True)
class JobView:
    """What counts of a Job."""

    name: str
    uid: str
    version: int = field(compare=False)
    """Its resource version: the greater one is the newer one. Two views that differ in nothing else are equal: nothing changed
    that counts."""
    names: Names
    created: datetime
    completions: int
    gpus: int
    """GPUs of each of its pods, by the limits of its container; claims of dynamic resources are not counted."""
    succeeded: int
    """Indexes done."""
    seen_pods: bool
    """Whether the Job controller has counted a pod that is ready or has ended."""
    ended_pods: bool
    """Whether it has counted a pod that has ended."""
    suspended: bool
    """Whether somebody wants it suspended."""
    held: bool
    """Whether the Job controller has suspended it: it has no pods but those on their way out."""
    turned: datetime | None
    """When the Job controller has last suspended or resumed it."""
    queue: str | None
    priority: str | None
    """In that queue."""
    ending: tuple[str, str, str, datetime] | None
    """Type, reason, message and time of its condition Complete or Failed, once that is true."""
    deleting_since: datetime | None
    released: bool

    @property
    def sharded(self) -> bool:
        """Whether it is a sampling in several shards."""
        return self.completions > 1 and self.names.step in SAMPLING


@dataclass(frozen=True)
class Termination:
    """How the container of a pod ended."""

    exit_code: int
    reason: str
    message: str
    finished: datetime | None


@dataclass(frozen=True)
class PodView:
    """What counts of a pod."""

    name: str
    uid: str
    version: int = field(compare=False)
    names: Names
    job: str
    index: int
    phase: str
    address: str | None
    """Where its container, while it runs, can be reached."""
    created: datetime
    started: datetime | None
    """When its container began to run."""
    termination: Termination | None
    disrupted: str | None
    """The words of its condition DisruptionTarget, if that is true."""
    said: str
    """Reason and message of the pod itself, such as `Evicted: The node was low on resource: memory`."""
    blocked: str | None
    """Why it does not run: the scheduler's words, or the kubelet's."""
    deleting_since: datetime | None


def moment(text: str | None) -> datetime | None:
    """Return a time as Kubernetes writes it."""
    return None if not text else datetime.fromisoformat(text)


def version(metadata: Json) -> int:
    """Return an object's resource version, which Kubernetes 1.35 and later (and etcd always) count up."""
    text = str(metadata.get("resourceVersion", ""))
    return int(text) if text.isdecimal() else 0


def names(metadata: Json) -> Names | None:
    """Return whose an object is; None if its labels do not say it."""
    found = metadata.get("labels") or {}
    try:
        return Names(
            namespace=metadata["namespace"],
            run=found[labels.RUN],
            run_uid=found[labels.RUN_UID],
            step=found[labels.STEP],
            round=int(found[labels.ROUND]),
            attempt=int(found[labels.ATTEMPT]),
        )
    except (KeyError, ValueError):
        return None


def job_view(job: Json) -> JobView | None:
    """Return the projection of a Job; None if it is not of a run."""
    metadata, spec, status = job["metadata"], job.get("spec") or {}, job.get("status") or {}
    whose = names(metadata)
    if whose is None:
        return None
    counted = ("ready", "active", "succeeded", "failed")
    turned: Json = next((item for item in status.get("conditions") or () if item["type"] == "Suspended"), {})
    return JobView(
        name=metadata["name"],
        uid=metadata["uid"],
        version=version(metadata),
        names=whose,
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        completions=spec.get("completions") or 1,
        gpus=_gpus(spec),
        succeeded=status.get("succeeded") or 0,
        seen_pods=any(status.get(count) for count in counted if count != "active"),
        ended_pods=any(status.get(count) for count in ("succeeded", "failed")),
        suspended=bool(spec.get("suspend")),
        held=turned.get("status") == "True",
        turned=moment(turned.get("lastTransitionTime")),
        queue=(metadata.get("labels") or {}).get(labels.QUEUE),
        priority=(metadata.get("labels") or {}).get(labels.PRIORITY),
        ending=_ending(status.get("conditions") or ()),
        deleting_since=moment(metadata.get("deletionTimestamp")),
        released=spec.get("ttlSecondsAfterFinished") is not None,
    )


def _gpus(spec: Json) -> int:
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or ()
    limits = [(container.get("resources") or {}).get("limits") or {} for container in containers]
    counts = (str(limit[gpu]) for limit in limits for gpu in GPUS if gpu in limit)
    return sum(int(count) for count in counts if count.isdecimal())


def _ending(conditions: Any) -> tuple[str, str, str, datetime] | None:
    for condition in conditions:
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            said = condition.get("reason", ""), condition.get("message", "")
            return condition["type"], *said, datetime.fromisoformat(condition["lastTransitionTime"])
    return None


def pod_view(pod: Json) -> PodView | None:
    """Return the projection of a pod; None if it is not of a run's Job."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    whose = names(metadata)
    found = metadata.get("labels") or {}
    if whose is None or labels.JOB_NAME not in found:
        return None
    state, started = _container_state(status)
    ended = state.get("terminated")
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    return PodView(
        name=metadata["name"],
        uid=metadata["uid"],
        version=version(metadata),
        names=whose,
        job=found[labels.JOB_NAME],
        index=int(found.get(labels.JOB_INDEX) or 0),
        phase=status.get("phase", "Pending"),
        address=status.get("podIP") if "running" in state else None,
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        started=started,
        termination=_termination(ended) if ended else None,
        disrupted=_disruption(conditions),
        said=": ".join(filter(None, (status.get("reason"), status.get("message")))),
        blocked=_blocked(conditions, state),
        deleting_since=moment(metadata.get("deletionTimestamp")),
    )


def _container_state(status: Json) -> tuple[Json, datetime | None]:
    """Return the state of the step's container, and since when it runs or ran."""
    for container in status.get("containerStatuses") or ():
        if container["name"] == CONTAINER:
            state = container.get("state") or {}
            ran = state.get("running") or state.get("terminated") or {}
            return state, moment(ran.get("startedAt"))
    return {}, None


def _termination(ended: Json) -> Termination:
    return Termination(
        exit_code=ended.get("exitCode", 0),
        reason=ended.get("reason", ""),
        message=ended.get("message", ""),
        finished=moment(ended.get("finishedAt")),
    )


def _disruption(conditions: Json) -> str | None:
    target = conditions.get("DisruptionTarget")
    if target is None or target["status"] != "True":
        return None
    return ": ".join(filter(None, (target.get("reason"), target.get("message")))) or "DisruptionTarget"


_STARTING = frozenset({"ContainerCreating", "PodInitializing"})


def _blocked(conditions: Json, state: Json) -> str | None:
    scheduled = conditions.get("PodScheduled")
    if scheduled is not None and scheduled["status"] == "False":
        return ": ".join(filter(None, (scheduled.get("reason"), scheduled.get("message")))) or "it is not scheduled"
    waiting = state.get("waiting") or {}
    reason = waiting.get("reason", "")
    if not reason or reason in _STARTING:
        return None
    return ": ".join(filter(None, (reason, waiting.get("message"))))
