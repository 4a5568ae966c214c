"""What a real API server says of the chart's manifests."""

import pytest

from tests.chart.helm import one, rendered
from tests.cluster.conftest import Cluster, until
from tests.cluster.kube import Json, Refused

GROUPS = {
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


@pytest.mark.parametrize("namespaced", [False, True], ids=["cluster-wide", "namespaced"])
def test_every_manifest_is_accepted_as_it_is(cluster: Cluster, namespaced: bool):
    manifests = rendered(cluster.namespace, **({"watchNamespace": cluster.namespace} if namespaced else {}))
    make_accounts(cluster, manifests)
    assert {item["kind"] for item in manifests} <= GROUPS.keys()
    for manifest in manifests:
        assert apply(cluster, manifest)["metadata"]["name"] == manifest["metadata"]["name"]


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
