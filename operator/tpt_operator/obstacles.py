"""What keeps a step from running, and the way out of it, in words for people. Pure functions; nobody decides by these words."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from tpt_operator import labels
from tpt_operator.views import JobView, PodView

NO_PODS: Final = timedelta(seconds=5)
"""After this time without a pod the Job's own Events are asked why."""
NO_START: Final = timedelta(seconds=30)
"""After this time a pod that neither runs nor says why has its Events asked: only they tell of a volume that is elsewhere."""
NO_END: Final = timedelta(minutes=10)
"""A pod that was deleted and is still there after this long is a case for a person: its node cannot be reached."""

_WAYS_OUT: Final[Mapping[str, str]] = {
    r"Multi-Attach|[Vv]olume node affinity conflict|ReadWriteOnce": (
        "several nodes need a claim that is ReadWriteMany; with a ReadWriteOnce one set training.nodes to 1"
    ),
    r"persistentvolumeclaim \S+ not found": "create the claim that spec.storage.persistentVolumeClaim.claimName names",
    r"unbound immediate PersistentVolumeClaims": "the claim is not bound: see kubectl describe pvc",
    r"ErrImage|ImagePullBackOff|InvalidImageName|ImageInspectError": (
        "correct spec.worker.image or its imagePullSecrets, then suspend the run and resume it: the next Job has the new settings"
    ),
    r"(secret|configmap) \S+ not found|couldn't find key": "create it, or the key that is missing; the pod then starts by itself",
    r"exceeded quota|must specify limits|must specify requests": (
        "raise the quota, or lower spec.worker.resources or spec.sampling.shards, then suspend the run and resume it"
    ),
    r"Insufficient": "it starts once others have ended or nodes are added; else lower the resources of the step's worker",
    r"untolerated taint|didn't match Pod's node affinity": "see nodeSelector, affinity and tolerations of the step's worker",
}
"""By what the cluster says; the first that is found counts."""


@dataclass(frozen=True)
class Silent:
    """Something that ought to have begun or to have gone, and whose status does not say why it has not."""

    kind: str
    name: str
    uid: str
    ask_from: datetime
    """When its Events are worth asking."""
    words: str | None = None
    """What is to be said then; its Events need not be asked."""

    @property
    def fields(self) -> str:
        """The field selector of the Events that say why."""
        about = f"involvedObject.kind={self.kind},involvedObject.name={self.name}"
        return f"{about},reason=FailedCreate" if self.kind == "Job" else f"{about},type=Warning"

    def told(self, events: Iterable[Mapping[str, Any]]) -> str | None:
        """Return what the latest of its Events says; None if there is none."""
        latest = max(events, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""), default=None)
        if latest is None:
            return None
        return f"{'no pod can be made' if self.kind == 'Job' else latest.get('reason')}: {latest.get('message', '')}"


def silent(job: JobView, pods: Sequence[PodView]) -> Silent | None:
    """Return what of a Job does not get on and does not say why: itself while it has no pod, a pod, or one that does not go."""
    if job.ending is not None or job.deleting_since is not None or job.suspended:
        return None
    if not pods:
        return None if job.seen_pods else Silent("Job", job.name, job.uid, job.created + NO_PODS)
    if (since := leaving_since(pods)) is not None:
        return Silent("Job", job.name, job.uid, since + NO_END, _stays(job.name, since))
    waiting = [pod for pod in pods if pod.phase == "Pending" and pod.started is None and pod.blocked is None]
    first = min(waiting, key=lambda pod: (pod.created, pod.index), default=None)
    return None if first is None else Silent("Pod", first.name, first.uid, first.created + NO_START)


def leaving_since(pods: Iterable[PodView]) -> datetime | None:
    """Return since when all pods that have not ended are on their way out; None if one is not, or there is none."""
    left = [pod.deleting_since for pod in pods if pod.phase in ("Pending", "Running", "Unknown")]
    known = [since for since in left if since is not None]
    return min(known, default=None) if len(known) == len(left) else None


def _stays(job: str, since: datetime) -> str:
    force = f"kubectl delete pod --force --selector {labels.JOB_NAME}={job}"
    return (
        f"a pod was deleted at {since:%Y-%m-%d %H:%M:%S} UTC and is still there, so its node may be unreachable; no other"
        f" pod takes its place meanwhile. If that node is gone for good, delete it, or the pod: {force}"
    )


def with_way_out(words: str) -> str:
    """Return what the cluster says, followed by what can be done about it where that is known."""
    advice = next((advice for pattern, advice in _WAYS_OUT.items() if re.search(pattern, words)), None)
    return f"{words} ({advice})" if advice else words
