"""The pod of a step, as a pure function of the run: restricted, without a writable root, with all that the programs look for.

A worker's opaque fields go in as they are; what we set ourselves cannot be overridden by them, save for the security context.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from tpt_operator import labels
from tpt_operator.settings import Images
from tpt_runtime.core.actions import StartStep
from tpt_runtime.core.commands import PROGRAMS, Commands
from tpt_runtime.core.spec import Run, SecretRef, Spec
from tpt_runtime.core.status import StepName
from tpt_runtime.core.worker import Worker, over

Json = dict[str, Any]

STORAGE: Final = "/storage"
HOME: Final = "/scratch"
CONTAINER: Final = "step"
METRICS_PORT: Final = 9464
GPUS: Final = ("nvidia.com/gpu", "amd.com/gpu")
"""What GPUs are called in a container's limits."""
RENDEZVOUS_PORT: Final = 29500
GROUP: Final = 10001
"""Of the images' user; volumes are made writable for it."""
GPU_GRACE_SECONDS: Final = 120
GRACE_SECONDS: Final = 30

CONFINED: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
"""The security context of every container."""

SAMPLING: Final = (StepName.SAMPLE, StepName.EVALUATE)
_HUB_KEYS: Final = {"HF_TOKEN": True}
_S3_KEYS: Final = {
    "AWS_ACCESS_KEY_ID": True,
    "AWS_SECRET_ACCESS_KEY": True,
    "AWS_SESSION_TOKEN": False,
    "AWS_ENDPOINT_URL": False,
    "AWS_REGION": False,
}
"""What is taken from a Secret, and whether it must be there."""


def role(step: StepName) -> str:
    """Return whose image a step runs in: sampler, pruner or trainer."""
    if step in SAMPLING:
        return "sampler"
    return "trainer" if step is StepName.TRAIN else "pruner"


def worker(spec: Spec, step: StepName) -> Worker:
    """Return where and as what a step runs: its own settings over the run's."""
    sections = {"sampler": spec.sampling.worker, "pruner": spec.pruning.worker, "trainer": spec.training.worker}
    return over(spec.worker, sections[role(step)])


def storage(run: Run) -> str:
    """Return what a run's relative URIs count from: where the claim is mounted, or the object store's URI."""
    return STORAGE if run.spec.storage.uri is None else run.spec.storage.uri.rstrip("/")


def root(run: Run) -> str:
    """Return the home of a run's artifacts, below its storage."""
    return f"{storage(run)}/{run.metadata.namespace}/{run.metadata.name}"


def template(run: Run, start: StartStep, image: str, images: Images) -> Json:
    """Return the pod template of one attempt; `image` is what the run pinned for the step's role, pulled as `images` says."""
    chosen = worker(run.spec, start.step)
    own = {labels.STEP: start.step.value, labels.ROUND: str(start.round), labels.ATTEMPT: str(start.attempt)}
    metadata: Json = {"labels": {**(chosen.labels or {}), **labels.of_run(run.metadata), **own}}
    if chosen.annotations:
        metadata["annotations"] = dict(chosen.annotations)
    pod = _pod(run, start, chosen, _container(run, start, chosen, image, images.pull_policy))
    if images.pull_secrets and not chosen.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in images.pull_secrets]
    return {"metadata": metadata, "spec": pod}


def _pod(run: Run, start: StartStep, chosen: Worker, container: Json) -> Json:
    gpu_step = role(start.step) != "pruner"
    pod: Json = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GPU_GRACE_SECONDS if gpu_step else GRACE_SECONDS,
        "securityContext": security(chosen),
        "containers": [container],
        "volumes": [*_volumes(run.spec), *(chosen.volumes or [])],
    }
    if meets(start):
        pod["subdomain"] = labels.child_name(run.metadata, "nodes")
    return pod | {name: value for name, value in scheduling(chosen) if value}


def scheduling(chosen: Worker) -> Iterator[tuple[str, Any]]:
    """Yield where a worker wants its pods, and what they may use there, as fields of a pod; those not set are empty."""
    yield "nodeSelector", chosen.node_selector
    yield "tolerations", chosen.tolerations
    yield "affinity", chosen.affinity
    yield "topologySpreadConstraints", chosen.topology_spread_constraints
    yield "schedulerName", chosen.scheduler_name
    yield "priorityClassName", chosen.priority_class_name
    yield "runtimeClassName", chosen.runtime_class_name
    yield "serviceAccountName", chosen.service_account_name
    yield "imagePullSecrets", chosen.image_pull_secrets
    yield "resourceClaims", chosen.resource_claims


def security(chosen: Worker) -> Json:
    """Return the security context of a pod: restricted, as far as the worker does not say otherwise."""
    context: Json = {
        "runAsNonRoot": True,
        "fsGroup": GROUP,
        "fsGroupChangePolicy": "OnRootMismatch",  # else every file of a large storage is touched at every start
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    context |= chosen.pod_security_context or {}
    return {name: value for name, value in context.items() if value is not None}


def _volumes(spec: Spec) -> Iterator[Json]:
    claim = spec.storage.persistent_volume_claim
    if claim is not None:
        yield {"name": "storage", "persistentVolumeClaim": {"claimName": claim.claim_name}}
    yield {"name": "tmp", "emptyDir": {}}
    yield {"name": "home", "emptyDir": {}}
    yield {"name": "shm", "emptyDir": {"medium": "Memory"}}


def _container(run: Run, start: StartStep, chosen: Worker, image: str, pull_policy: str | None) -> Json:
    config = Commands(run, storage(run), root(run)).config(start)
    container: Json = {
        "name": CONTAINER,
        "image": chosen.image or image,
        "command": ["python", "-m", PROGRAMS[start.step]],
        "args": [config.model_dump_json(by_alias=True, exclude_none=True)],
        "env": [*(chosen.env or []), *_environment(run, start)],
        "ports": [{"name": "metrics", "containerPort": METRICS_PORT}],
        "securityContext": dict(CONFINED),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [*_mounts(run.spec), *(chosen.volume_mounts or [])],
    }
    if pull_policy:
        container["imagePullPolicy"] = pull_policy
    if chosen.env_from:
        container["envFrom"] = chosen.env_from
    resources: Json = dict(chosen.resources or {})
    if chosen.resource_claims:
        resources["claims"] = [{"name": claim["name"]} for claim in chosen.resource_claims if "name" in claim]
    return container | ({"resources": resources} if resources else {})


def _mounts(spec: Spec) -> Iterator[Json]:
    if spec.storage.persistent_volume_claim is not None:
        yield {"name": "storage", "mountPath": STORAGE}
    yield {"name": "tmp", "mountPath": "/tmp"}
    yield {"name": "home", "mountPath": HOME}
    yield {"name": "shm", "mountPath": "/dev/shm"}


def _environment(run: Run, start: StartStep) -> Iterator[Json]:
    plain = {
        "HOME": HOME,
        "USER": "tpt",
        "TMPDIR": "/tmp",
        "XDG_CACHE_HOME": f"{HOME}/.cache",
        "HF_HOME": f"{HOME}/.cache/huggingface",
        "TRITON_CACHE_DIR": f"{HOME}/.cache/triton",
        "TORCHINDUCTOR_CACHE_DIR": f"{HOME}/.cache/inductor",
        "TPT_LOG": "json",
        "TPT_METRICS_PORT": str(METRICS_PORT),
    }
    if start.step is not StepName.PREPARE and not (start.step is StepName.FINALIZE and publishes_to_hub(run.spec)):
        plain["HF_HUB_OFFLINE"] = "1"  # prepare has copied everything; a look-up would be a mistake, and fails at once
    if meets(start):
        plain["TPT_RENDEZVOUS"] = f"{start.job}-0.{labels.child_name(run.metadata, 'nodes')}:{RENDEZVOUS_PORT}"
    for name, value in plain.items():
        yield {"name": name, "value": value}
    yield from _secrets(secrets_of(run.spec, start.step))


def _secrets(sources: Iterable[tuple[str, str, SecretRef]]) -> Iterator[Json]:
    named: dict[str, tuple[str, bool]] = {}
    for _, uri, secret in sources:
        keys = _HUB_KEYS if uri.startswith("hf://") else _S3_KEYS
        named |= {key: (secret.name, needed) for key, needed in keys.items()}
    for key, (secret_name, needed) in named.items():
        reference: Json = {"name": secret_name, "key": key}
        yield {"name": key, "valueFrom": {"secretKeyRef": reference if needed else {**reference, "optional": True}}}


def secrets_of(spec: Spec, step: StepName) -> Iterator[tuple[str, str, SecretRef]]:
    """Yield path, URI and Secret of all that a step reads or writes with one."""
    if step is StepName.PREPARE:
        yield from secret_sources(spec)
        return
    yield from storage_secret(spec)
    if step is StepName.FINALIZE and spec.publish is not None and spec.publish.secret_ref is not None:
        yield "spec.publish", spec.publish.uri, spec.publish.secret_ref


def publishes_to_hub(spec: Spec) -> bool:
    """Return whether finalize has to reach the hub."""
    return spec.publish is not None and spec.publish.uri.startswith("hf://")


def storage_secret(spec: Spec) -> Iterator[tuple[str, str, SecretRef]]:
    """Yield path, URI and Secret of the storage, if it has a Secret; every step needs its keys."""
    if spec.storage.uri is not None and spec.storage.secret_ref is not None:
        yield "spec.storage", spec.storage.uri, spec.storage.secret_ref


def secret_sources(spec: Spec) -> Iterator[tuple[str, str, SecretRef]]:
    """Yield path, URI and Secret of everything that has a Secret; all of it is read by prepare."""
    yield from storage_secret(spec)
    data = spec.dataset
    named = {
        "spec.model": spec.model,
        "spec.dataset.train": data.train,
        "spec.dataset.validation": data.validation,
        "spec.dataset.eval": data.eval,
    }
    for path, source in named.items():
        if source is not None and source.secret_ref is not None and source.uri is not None:
            yield path, source.uri, source.secret_ref


def meets(start: StartStep) -> bool:
    """Return whether the pods of an attempt have to find each other."""
    return start.step is StepName.TRAIN and start.indexes > 1
