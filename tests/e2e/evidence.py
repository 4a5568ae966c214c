"""What a failure leaves behind: logs, descriptions, events and metrics, in a folder that its report names."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.kube import Refused
from tests.e2e.cluster import Cluster

LINES = 40
KINDS = "jobs,pods,services,networkpolicies,persistentvolumeclaims,deployments,events"


def collect(cluster: Cluster, namespaces: tuple[str, ...], metrics: str, folder: Path) -> Path:
    """Write everything that may explain a failure below `folder`; what cannot be had says so in its place.

    `metrics` is the path of the operator's metrics at the API server.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _ask(cluster, folder / "nodes.txt", "describe", "nodes")
    for namespace in namespaces:
        into = folder / namespace
        into.mkdir()
        here = ("--namespace", namespace)
        _ask(cluster, into / "all.txt", "get", KINDS, *here, "--output=wide")
        _ask(cluster, into / "all.yaml", "get", KINDS, *here, "--output=yaml")
        _ask(cluster, into / "runs.yaml", "get", "sir", *here, "--output=yaml")  # a kind that is there once the chart is in
        _ask(cluster, into / "pods.txt", "describe", "pods,jobs", *here)
        _ask(cluster, into / "events.txt", "get", "events", *here, "--sort-by=.lastTimestamp", "--output=wide")
        for pod in _pods(cluster, namespace):
            _ask(cluster, into / f"{pod}.log", "logs", pod, *here, "--all-containers", "--timestamps")
            _ask(cluster, into / f"{pod}.before", "logs", pod, *here, "--all-containers", "--previous")
    _ask(cluster, folder / "metrics.txt", "get", "--raw", metrics)
    return folder


def gist(folder: Path, namespaces: tuple[str, ...]) -> str:
    """Return the part of what was collected that tells most, for whoever sees the report only."""
    telling = ("all.txt", "*.log", "events.txt")
    parts = [part for namespace in namespaces for name in telling for part in sorted(folder.glob(f"{namespace}/{name}"))]
    return "\n".join(f"--- {part.relative_to(folder)}\n{_end_of(part)}" for part in parts)


def _end_of(path: Path) -> str:
    return "\n".join(path.read_text().splitlines()[-LINES:])


def _pods(cluster: Cluster, namespace: str) -> Iterator[str]:
    try:
        yield from (pod["metadata"]["name"] for pod in cluster.kube.items(f"/api/v1/namespaces/{namespace}/pods"))
    except (OSError, Refused):
        return


def _ask(cluster: Cluster, path: Path, *arguments: str) -> None:
    try:
        path.write_text(cluster.kubectl(*arguments))
    except AssertionError as error:
        path.write_text(f"{error}\n")
