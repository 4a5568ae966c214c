"""The pod through which a claim is read, as a pure function of the run, and the program that it is asked to run.

It is made with the rights of whoever asks, runs as restricted as the steps, mounts the claim for reading only, has no network
beyond the run's own (its NetworkPolicy holds for it too), and ends by itself.
"""

import json
from collections.abc import Iterable
from typing import Any, Final

from tpt_operator import labels, pods
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.spec import API_VERSION, KIND, Run
from tpt_runtime.core.status import RunStatus, StepName

Json = dict[str, Any]

CONTAINER: Final = "reader"
LIFE_SECONDS: Final = 7200
"""After which the pod ends by itself, whatever became of whoever made it."""

PROGRAM: Final = """
import json, pathlib, sys, tarfile
root, files, patterns = json.loads(sys.argv[1])
root = pathlib.Path(root)
found = [path for pattern in patterns for path in sorted(root.glob(pattern))]
with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", dereference=True) as archive:
    for path in dict.fromkeys([*(root / name for name in files), *found]):
        if path.is_file():
            archive.add(path, str(path.relative_to(root)), recursive=False)
"""
"""Writes those of the named files that are there to its standard output, as a tar archive. Standard library only."""


def command(root: str, files: Iterable[str] = (), patterns: Iterable[str] = ()) -> list[str]:
    """Return what the pod is asked to run to send files below `root`."""
    return ["python", "-c", PROGRAM, json.dumps([root, list(files), list(patterns)])]


def pod(run: Run, status: RunStatus) -> Json:
    """Return the pod; the API server gives it its name.

    Raises:
        ConfigurationError: the run has not begun, so no image is known.
    """
    chosen = pods.worker(run.spec, StepName.FINALIZE)
    claim = run.spec.storage.persistent_volume_claim
    image = chosen.image or (status.resolved.images.get("pruner") if status.resolved else None)
    if image is None or claim is None:
        raise ConfigurationError(f"{run.metadata.name}: the run has not begun yet: there is nothing to read")
    container = {
        "name": CONTAINER,
        "image": image,
        "command": ["python", "-c", f"import time; time.sleep({LIFE_SECONDS})"],
        "securityContext": dict(pods.CONFINED),
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "volumeMounts": [{"name": "storage", "mountPath": pods.STORAGE, "readOnly": True}],
    }
    spec: Json = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "activeDeadlineSeconds": LIFE_SECONDS,
        "terminationGracePeriodSeconds": 0,
        "securityContext": pods.security(chosen),
        "affinity": _beside(run),
        "containers": [container],
        "volumes": [{"name": "storage", "persistentVolumeClaim": {"claimName": claim.claim_name}}],
    }
    spec |= {name: value for name, value in pods.scheduling(chosen) if value and name != "resourceClaims"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": _metadata(run), "spec": spec}


def _beside(run: Run) -> Json:
    """Return the wish to be where the run's steps are: a claim of ReadWriteOnce can be mounted on one node only."""
    term = {"labelSelector": {"matchLabels": {labels.RUN_UID: run.metadata.uid}}, "topologyKey": "kubernetes.io/hostname"}
    return {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}}


def _metadata(run: Run) -> Json:
    owner = {"apiVersion": API_VERSION, "kind": KIND, "name": run.metadata.name, "uid": run.metadata.uid}
    return {
        "generateName": f"{labels.child_name(run.metadata, 'reader')}-"[:57],
        "namespace": run.metadata.namespace,
        # Not the operator's label: it counts this pod among nobody's.
        "labels": {"app.kubernetes.io/managed-by": "tpt-viewer", labels.RUN: run.metadata.name, labels.RUN_UID: run.metadata.uid},
        "ownerReferences": [owner],
    }
