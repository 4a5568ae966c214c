"""What a real API server says of the chart's manifests."""

import os

import pytest
import yaml

from tests.chart.helm import one, rendered, rendered_with
from tests.chart.matrix import MATRIX
from tests.cluster.binaries import in_ci
from tests.cluster.conftest import Cluster, until
from tests.cluster.kube import Json, Refused

GROUPS = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "PodMonitor": "/apis/monitoring.coreos.com/v1/namespaces/{}/podmonitors",
    "PrometheusRule": "/apis/monitoring.coreos.com/v1/namespaces/{}/prometheusrules",
    "ServiceMonitor": "/apis/monitoring.coreos.com/v1/namespaces/{}/servicemonitors",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "Pod": "/api/v1/namespaces/{}/pods",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "SelfImprovementRun": "/apis/tpt.dev/v1alpha1/namespaces/{}/selfimprovementruns",
    "Service": "/api/v1/namespaces/{}/services",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
}
STRICT = {"fieldManager": "test", "force": "true", "fieldValidation": "Strict"}
DRY = {"dryRun": "All"}


def apply(cluster: Cluster, manifest: Json, *, dry: bool = True) -> Json:
    place = GROUPS[manifest["kind"]].format(manifest["metadata"].get("namespace"))
    options = STRICT | (DRY if dry else {})
    return cluster.kube.patch(f"{place}/{manifest['metadata']['name']}", manifest, kind="apply-patch+yaml", **options)


def make_accounts(cluster: Cluster, manifests: list[Json]) -> None:
    """Make the accounts really: a pod is refused without its own."""
    for manifest in manifests:
        if manifest["kind"] == "ServiceAccount":
            apply(cluster, manifest, dry=False)


@pytest.fixture
def monitored(cluster: Cluster) -> None:
    """The control plane knows what the Prometheus operator defines."""
    file = cluster.plane.programs / "prometheus-operator-crds.yaml"
    if not file.is_file():
        why = f"{file} is not there: what the Prometheus operator defines is not tested"
        (pytest.fail if in_ci(os.environ) else pytest.skip)(why)
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for definition in filter(None, yaml.safe_load_all(file.read_text(encoding="utf-8"))):
        cluster.kube.patch(f"{definitions}/{definition['metadata']['name']}", definition, kind="apply-patch+yaml", **STRICT)
    until(lambda: all(served(cluster, place) for kind, place in GROUPS.items() if "monitoring" in place))


def served(cluster: Cluster, place: str) -> bool:
    try:
        cluster.kube.get(place.format(cluster.namespace))
    except Refused:
        return False
    return True


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_every_manifest_is_accepted_as_it_is(cluster: Cluster, monitored: None, values: Json):
    here = {"watchNamespace": cluster.namespace} if "watchNamespace" in values else {}
    manifests = rendered_with(values | here, cluster.namespace)
    assert {item["kind"] for item in manifests} <= GROUPS.keys()
    make_accounts(cluster, manifests)
    for manifest in manifests:
        assert apply(cluster, manifest)["metadata"]["name"] == manifest["metadata"]["name"]


def test_all_kinds_of_the_chart_were_among_them():
    assert {item["kind"] for values in MATRIX.values() for item in rendered_with(values)} == GROUPS.keys()


def test_a_field_that_does_not_exist_would_be_refused(cluster: Cluster):
    deployment = one(rendered(cluster.namespace), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(Refused, match="livenesProbe"):
        apply(cluster, deployment)


def test_the_pods_of_operator_and_trial_pass_the_restricted_standard(cluster: Cluster):
    enforced = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    cluster.kube.patch(f"/api/v1/namespaces/{cluster.namespace}", enforced)
    manifests = rendered(cluster.namespace)
    make_accounts(cluster, manifests)
    template = one(manifests, "Deployment")["spec"]["template"]
    operator = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {"name": "operator"}}
    pods = f"/api/v1/namespaces/{cluster.namespace}/pods"
    loose = {**operator, "spec": {**operator["spec"], "securityContext": {}}}
    until(lambda: refuses(cluster, pods, loose))
    for pod in [operator, *(item for item in manifests if item["kind"] == "Pod")]:
        assert cluster.kube.post(pods, pod, dryRun="All")["metadata"]["name"] == pod["metadata"]["name"]


def refuses(cluster: Cluster, pods: str, pod: Json) -> bool:
    """Return whether the standard is enforced already, which takes the API server a moment to see."""
    try:
        cluster.kube.post(pods, pod, dryRun="All")
    except Refused as refused:
        return "violates PodSecurity" in refused.message
    return False
