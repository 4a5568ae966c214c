"""One cluster for the session: with images, the operator, a filled claim, and a run that was carried through disturbances."""

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.cluster.kube import Json
from tests.e2e import release
from tests.e2e.archives import ORDER, REGISTRY, build
from tests.e2e.cluster import Cluster, cluster_for_test
from tests.e2e.disturbing import Disturbances, Disturber
from tests.e2e.evidence import collect, gist
from tests.e2e.prometheus import Prometheus, prometheus
from tests.prometheus import program

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "quickstart"
EVIDENCE = ROOT / "e2e-artifacts"
OPERATORS, RUNNING = "tpt-system", "quickstart"
METRICS = f"/api/v1/namespaces/{OPERATORS}/services/tpt-operator:metrics/proxy/metrics"
"""Of the operator, through the API server: where it is does not matter."""
GPUS = 2
END_SECONDS = 180.0
FILL_SECONDS = 1200.0
RUN_SECONDS = 3000.0
GROUP = 10001
CLUSTER = pytest.StashKey[Cluster]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Leave behind what explains a failure, and say where."""
    report = yield
    if report.failed and report.when != "teardown" and CLUSTER in item.config.stash:
        folder = collect(item.config.stash[CLUSTER], (OPERATORS, RUNNING), METRICS, EVIDENCE / item.name)
        report.sections.append(("evidence", f"logs, descriptions, events: {folder}\n{gist(folder, (OPERATORS, RUNNING))}"))
    return report


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("e2e") / f"node-{os.getpid()}"
    with cluster_for_test(folder, EVIDENCE / "node") as found:
        pytestconfig.stash[CLUSTER] = found
        found.offer_gpus(GPUS)
        for namespace in (OPERATORS, RUNNING):
            restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
            manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": restricted}}
            found.apply(manifest, namespace=namespace)
        yield found
        del pytestconfig.stash[CLUSTER]
        found.kubectl("delete", "namespaces", OPERATORS, RUNNING, f"--timeout={END_SECONDS:.0f}s", seconds=END_SECONDS + 10)


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The images' archives: built now, or those in the folder that TPT_E2E_ARCHIVES names."""
    named = os.environ.get("TPT_E2E_ARCHIVES")
    if named is None:
        return build(tmp_path_factory.mktemp("archives"), EVIDENCE / "images.log")
    found = sorted(Path(named).glob("*.tar"))
    assert found, f"TPT_E2E_ARCHIVES: {named} holds no archive; run: make images ARCHIVE={named}"
    return found


@pytest.fixture(scope="session")
def loaded(cluster: Cluster, request: pytest.FixtureRequest) -> None:
    """The images are where pods start, or where nodes pull them from."""
    if cluster.is_ours and REGISTRY is None:
        for archive in request.getfixturevalue("archives"):
            cluster.load(archive)


@pytest.fixture(scope="session")
def operator(cluster: Cluster, loaded: None) -> None:
    """The operator, installed with the chart."""
    release.install(cluster, OPERATORS)
    release.rolled_out(cluster, OPERATORS)


@pytest.fixture(scope="session")
def server(cluster: Cluster, operator: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    with prometheus(program("prometheus"), f"127.0.0.1:{cluster.proxy_port}", METRICS, folder) as running:
        yield running


@pytest.fixture(scope="session")
def claim(cluster: Cluster, loaded: None) -> None:
    """The shipped claim, filled by the shipped Job."""
    provide(cluster, "runs", RUNNING)
    cluster.kubectl("apply", "-n", RUNNING, "-f", str(EXAMPLE / "cluster/claim.yaml"))
    fill = (EXAMPLE / "cluster/fill.yaml").read_text().replace("localhost/", f"{ORDER.registry}/")
    cluster.kubectl("apply", "-n", RUNNING, "-f", "-", given=fill)
    wait = f"--timeout={FILL_SECONDS:.0f}s"
    cluster.kubectl("wait", "--for=condition=Complete", "job/fill-claim", "-n", RUNNING, wait, seconds=FILL_SECONDS + 10)


def provide(cluster: Cluster, claim: str, namespace: str) -> None:
    """Provide a claim with a folder of the node that was started here; a cluster that was named has storage of its own."""
    if cluster.folder is None:
        return
    place = cluster.folder / "claims" / claim
    place.mkdir(parents=True)
    made: Json = yaml.safe_load((Path(__file__).parent / "volume.yaml").read_text())
    (term,) = made["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    term["matchExpressions"][0]["values"] = ["local"]
    made["metadata"]["name"] = claim
    made["spec"] |= {"local": {"path": str(place)}, "claimRef": {"namespace": namespace, "name": claim}}
    cluster.apply(made, namespace=namespace)


@dataclass(frozen=True)
class Ended:
    """A run that has ended, and what it met."""

    run: Json
    met: Disturbances


@pytest.fixture(scope="session")
def quickstart(cluster: Cluster, operator: None, claim: None, server: Prometheus) -> Ended:
    """The quickstart, carried through disturbances to its end."""
    cluster.kubectl("apply", "-n", RUNNING, "-k", str(EXAMPLE))
    disturber = Disturber(cluster, RUNNING, OPERATORS, GPUS)
    run = disturber.follow("quickstart", RUN_SECONDS)
    assert run["status"]["phase"] == "Complete", run["status"]["conditions"]
    cluster.kubectl("wait", "--for=condition=Complete", "sir/quickstart", "-n", RUNNING, "--timeout=10s")
    return Ended(run, disturber.done)


@pytest.fixture(scope="session")
def reader(cluster: Cluster, quickstart: Ended) -> str:
    """A pod that sees the claim, to read artifacts through."""
    image = quickstart.run["status"]["resolved"]["images"]["pruner"]
    container = {
        "name": "reader",
        "image": image,
        "command": ["sleep", "infinity"],
        "volumeMounts": [{"name": "storage", "mountPath": "/storage", "readOnly": True}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "containers": [container],
        "securityContext": {"runAsNonRoot": True, "fsGroup": GROUP, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "storage", "persistentVolumeClaim": {"claimName": "runs"}}],
        "terminationGracePeriodSeconds": 1,
    }
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "reader"}, "spec": spec}, namespace=RUNNING)
    cluster.kubectl("wait", "--for=condition=Ready", "pod/reader", "-n", RUNNING, "--timeout=120s", seconds=130)
    return "reader"
