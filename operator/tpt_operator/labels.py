"""The labels by which what belongs to a run is known, and the names of what a run has one of. Jobs are named by `core.names`."""

import hashlib
from collections.abc import Mapping
from typing import Final

from tpt_runtime.core.spec import Metadata

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
OPERATOR: Final = "tpt-operator"
RUN: Final = "tpt.dev/run"
RUN_UID: Final = "tpt.dev/run-uid"
STEP: Final = "tpt.dev/step"
ROUND: Final = "tpt.dev/round"
ATTEMPT: Final = "tpt.dev/attempt"
JOB_NAME: Final = "batch.kubernetes.io/job-name"
JOB_INDEX: Final = "batch.kubernetes.io/job-completion-index"
QUEUE: Final = "kueue.x-k8s.io/queue-name"
PRIORITY: Final = "kueue.x-k8s.io/priority-class"

OURS: Final = f"{MANAGED_BY}={OPERATOR}"
"""The selector of everything that this operator made."""


def of_run(metadata: Metadata) -> dict[str, str]:
    """Return the labels of everything that belongs to a run."""
    return {MANAGED_BY: OPERATOR, RUN: metadata.name, RUN_UID: metadata.uid}


def selector(labels: Mapping[str, str]) -> str:
    """Return the label selector of what bears all of `labels`."""
    return ",".join(f"{name}={value}" for name, value in labels.items())


def child_name(metadata: Metadata, suffix: str) -> str:
    """Return the name of the run's one Service or NetworkPolicy: a DNS label, another one for a new run of the same name."""
    digest = hashlib.sha256(f"{metadata.name}/{metadata.uid}".encode()).hexdigest()[:8]
    stem = metadata.name if metadata.name[:1].isalpha() else f"run-{metadata.name}"
    tail = f"-{digest}-{suffix}"
    return stem[: 63 - len(tail)].rstrip("-") + tail
