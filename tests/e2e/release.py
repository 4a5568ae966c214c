"""The operator's release, as helm has it."""

import json
from pathlib import Path

from tests.cluster.kube import PODS, Json
from tests.e2e.archives import ORDER
from tests.e2e.cluster import Cluster

NAME = "tpt-operator"
CHART = str(Path(__file__).parents[2] / "charts" / "tpt-operator")
SECONDS = 180.0


def install(cluster: Cluster, namespace: str, **values: str) -> None:
    """Install the chart in `namespace`, or upgrade the release that is there; the Deployment follows in its own time."""
    given = {"images.registry": ORDER.registry, **values}
    settings = [part for name, value in given.items() for part in ("--set", f"{name}={value}")]
    cluster.run("helm", "upgrade", "--install", NAME, CHART, "--namespace", namespace, *settings, seconds=SECONDS)


def rolled_out(cluster: Cluster, namespace: str) -> None:
    """Wait until the operator's pods are those of the present Deployment, and ready."""
    wait = ("rollout", "status", f"deployment/{NAME}", "--namespace", namespace, f"--timeout={SECONDS:.0f}s")
    cluster.kubectl(*wait, seconds=SECONDS + 10)


def pods(cluster: Cluster, namespace: str) -> list[Json]:
    """Return the operator's pods, without those that are going."""
    found = cluster.kube.items(PODS.format(namespace), labelSelector="app.kubernetes.io/name=tpt-operator")
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def uninstall(cluster: Cluster, namespace: str) -> None:
    """Uninstall the release, and wait until its Deployment and its pods are gone: helm may end before."""
    cluster.run("helm", "uninstall", NAME, "--namespace", namespace, "--cascade", "foreground", seconds=SECONDS)
    gone = ("--for=delete", f"deployment/{NAME}", f"--timeout={SECONDS:.0f}s")
    cluster.kubectl("wait", *gone, "--namespace", namespace, seconds=SECONDS + 10)


def revisions(cluster: Cluster, namespace: str) -> list[Json]:
    """Return what was done to the release, the oldest first."""
    found: list[Json] = json.loads(cluster.run("helm", "history", NAME, "--namespace", namespace, "--output", "json"))
    return found
