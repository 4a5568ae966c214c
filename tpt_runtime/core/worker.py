"""Where and as what a step's pods run. Nothing here changes what comes of a run, so all of it may change while one is under way.

Scheduling and volumes are Kubernetes' own fields and stay opaque: the CRD takes them as they are, and the operator has the API
server validate them, by a dry run of the Jobs, before the first one exists. `tpt run` has one machine and passes it all over.
"""

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from tpt_runtime.core.model import Model

Opaque = Annotated[
    dict[str, Any],
    WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
]
"""A part of a pod as Kubernetes defines it."""
OpaqueList = Annotated[list[Opaque], Field(max_length=64)]

Pairs = Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=64)]

_NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
Name = Annotated[str, Field(pattern=_NAME, max_length=253)]


class Worker(Model):
    """The pods of a step. A field that is set for a step replaces the run's as a whole."""

    image: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """Container image. Default: the operator's image for the step, pinned when the run starts."""
    resources: Opaque | None = None
    """Requests and limits of the container, as in a pod."""
    resource_claims: OpaqueList | None = None
    """Claims of dynamic resources, as in a pod; the container gets all of them."""
    node_selector: Pairs | None = None
    """Labels that a node must have."""
    tolerations: OpaqueList | None = None
    """Taints that the pods tolerate, as in a pod."""
    affinity: Opaque | None = None
    """Affinity of the pods, as in a pod."""
    topology_spread_constraints: OpaqueList | None = None
    """How the pods spread over the cluster, as in a pod."""
    scheduler_name: Name | None = None
    """The scheduler that places the pods."""
    priority_class_name: Name | None = None
    """Priority of the pods."""
    runtime_class_name: Name | None = None
    """The container runtime, such as gvisor for steps that run generated code."""
    service_account_name: Name | None = None
    """The account that the pods run as, for ambient credentials. Its token is not mounted."""
    image_pull_secrets: OpaqueList | None = None
    """Secrets to pull images with, as in a pod."""
    env: OpaqueList | None = None
    """More environment variables of the container, as in a pod."""
    env_from: OpaqueList | None = None
    """More environment from ConfigMaps and Secrets, as in a pod."""
    volumes: OpaqueList | None = None
    """More volumes, as in a pod."""
    volume_mounts: OpaqueList | None = None
    """Where they are mounted, as in a pod."""
    pod_security_context: Opaque | None = None
    """Laid over the pod's own security context: runAsUser, fsGroup and the like. A field that is null is taken out."""
    labels: Pairs | None = None
    """More labels of the pods."""
    annotations: Pairs | None = None
    """Annotations of the pods."""


def over(run: Worker, step: Worker) -> Worker:
    """Return the settings of a step: its own, and the run's where it has none."""
    given = {name: value for name in Worker.model_fields if (value := getattr(step, name)) is not None}
    return run.model_copy(update=given)


class Queue(Model):
    """Admission by Kueue: each step's Job waits for its quota, one after the other."""

    name: Name
    """The LocalQueue in the run's namespace."""
    priority_class: Name | None = None
    """A WorkloadPriorityClass."""
