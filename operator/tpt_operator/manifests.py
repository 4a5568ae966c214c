"""What a run has in the cluster, as pure functions: the Job of an attempt, the Service of its nodes, its NetworkPolicies.

Everything has an owner reference to the run, so the cluster's garbage collection removes it, and never the run's own labels.
"""

from collections.abc import Iterator
from typing import Any, Final

from tpt_operator import labels, pods
from tpt_operator.pods import Json
from tpt_operator.settings import Images
from tpt_runtime.core.actions import StartStep
from tpt_runtime.core.crd import PLURAL
from tpt_runtime.core.errors import CONFIGURATION_EXITS
from tpt_runtime.core.spec import API_VERSION, KIND, Run
from tpt_runtime.core.status import StepName

MANAGER: Final = "tpt.dev/operator"
"""What `spec.managedBy` says of a run that is ours."""
RETRIES_OF_A_SHARD: Final = 1
"""Pod retries of one shard inside one attempt; so a shard runs at most maxAttempts x 2 times."""
RESOURCE: Final = PLURAL


def images_of(run: Run, images: Images) -> dict[str, str]:
    """Return the images by role: what the run has pinned, else what the operator has now."""
    resolved = (run.status or {}).get("resolved") or {}
    return images.by_role | dict(resolved.get("images") or {})


def job(run: Run, start: StartStep, images: Images) -> Json:
    """Return the Job of one attempt of a step."""
    pod = pods.template(run, start, images_of(run, images)[pods.role(start.step)], images)
    own = {name: pod["metadata"]["labels"][name] for name in (*labels.of_run(run.metadata), *_STEP_LABELS)}
    indexed = start.step in (*pods.SAMPLING, StepName.TRAIN)
    spec: Json = {
        "completions": start.indexes,
        "parallelism": start.indexes,
        "completionMode": "Indexed" if indexed else "NonIndexed",
        "podReplacementPolicy": "Failed",  # never two pods of one index on the same files
        "podFailurePolicy": {"rules": [_disruption(start), _configuration()]},
        "template": pod,
    }
    if start.step in pods.SAMPLING:
        # One shard that cannot end ends the attempt: the others flush, and go on in the next one.
        spec |= {"backoffLimitPerIndex": RETRIES_OF_A_SHARD, "maxFailedIndexes": 0}
    else:
        spec["backoffLimit"] = 0
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": _metadata(run, start.job, own | _queue(run)), "spec": spec}


_STEP_LABELS: Final = (labels.STEP, labels.ROUND, labels.ATTEMPT)


def _disruption(start: StartStep) -> Json:
    """Return what an eviction means: of several nodes that train together it ends the attempt, else the pod is replaced."""
    conditions = [{"type": "DisruptionTarget", "status": "True"}]
    return {"action": "FailJob" if pods.meets(start) else "Ignore", "onPodConditions": conditions}


def _configuration() -> Json:
    codes = {"containerName": pods.CONTAINER, "operator": "In", "values": list(CONFIGURATION_EXITS)}
    return {"action": "FailJob", "onExitCodes": codes}


def _queue(run: Run) -> dict[str, str]:
    queue = run.spec.queue
    if queue is None:
        return {}
    priority = {labels.PRIORITY: queue.priority_class} if queue.priority_class else {}
    return {labels.QUEUE: queue.name, **priority}


def _metadata(run: Run, name: str, its_labels: dict[str, str]) -> Json:
    owner = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": run.metadata.name,
        "uid": run.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {"name": name, "namespace": run.metadata.namespace, "labels": its_labels, "ownerReferences": [owner]}


def service(run: Run) -> Json:
    """Return the headless Service by which the nodes of a training find each other; one serves all trainings of a run."""
    own = labels.of_run(run.metadata)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(run, labels.child_name(run.metadata, "nodes"), own),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,  # they meet before any of them is ready
            "selector": {labels.RUN_UID: run.metadata.uid, labels.STEP: StepName.TRAIN.value},
            "ports": [{"name": "rendezvous", "port": pods.RENDEZVOUS_PORT}],
        },
    }


def network_policies(run: Run) -> Iterator[Json]:
    """Yield the run's NetworkPolicies: pods talk to each other, to DNS, and are asked for metrics; some steps may go out."""
    mine = {"matchLabels": {labels.RUN_UID: run.metadata.uid}}
    each_other = [{"podSelector": mine}]
    dns = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    metrics = {"ports": [{"protocol": "TCP", "port": pods.METRICS_PORT}]}
    yield _policy(
        run,
        "pods",
        {
            "podSelector": mine,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": each_other}, metrics],
            "egress": [{"to": each_other}, {"ports": dns}],
        },
    )
    going_out = [step.value for step in _going_out(run)]
    if going_out:
        chosen = {**mine, "matchExpressions": [{"key": labels.STEP, "operator": "In", "values": going_out}]}
        yield _policy(run, "out", {"podSelector": chosen, "policyTypes": ["Egress"], "egress": [{}]})


def _going_out(run: Run) -> Iterator[StepName]:
    if run.spec.storage.uri is not None:
        yield from StepName
        return
    data = run.spec.dataset
    sources = (run.spec.model, data.train, data.validation, data.eval)
    if any(source is not None and (source.uri or "").startswith(("hf://", "s3://")) for source in sources):
        yield StepName.PREPARE
    if run.spec.training.report_to:
        yield StepName.TRAIN
    if run.spec.publish is not None:
        yield StepName.FINALIZE


def _policy(run: Run, suffix: str, spec: dict[str, Any]) -> Json:
    metadata = _metadata(run, labels.child_name(run.metadata, suffix), labels.of_run(run.metadata))
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}
