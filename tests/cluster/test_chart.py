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
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "Service": "/api/v1/namespaces/{}/services",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
}
STRICT = {"fieldManager": "test", "force": "true", "fieldValidation": "Strict", "dryRun": "All"}


def apply(cluster: Cluster, manifest: Json) -> Json:
    place = GROUPS[manifest["kind"]].format(manifest["metadata"].get("namespace"))
    return cluster.kube.patch(f"{place}/{manifest['metadata']['name']}", manifest, kind="apply-patch+yaml", **STRICT)


@pytest.mark.parametrize("namespaced", [False, True], ids=["cluster-wide", "namespaced"])
def test_every_manifest_is_accepted_as_it_is(cluster: Cluster, namespaced: bool):
    manifests = rendered(cluster.namespace, **({"watchNamespace": cluster.namespace} if namespaced else {}))
    assert {item["kind"] for item in manifests} <= GROUPS.keys()
    for manifest in manifests:
        assert apply(cluster, manifest)["metadata"]["name"] == manifest["metadata"]["name"]


def test_a_field_that_does_not_exist_would_be_refused(cluster: Cluster):
    deployment = one(rendered(cluster.namespace), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(Refused, match="livenesProbe"):
        apply(cluster, deployment)


def test_the_operators_pod_passes_the_restricted_standard(cluster: Cluster):
    enforced = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    cluster.kube.patch(f"/api/v1/namespaces/{cluster.namespace}", enforced)
    template = one(rendered(cluster.namespace), "Deployment")["spec"]["template"]
    template["spec"]["serviceAccountName"] = "default"
    pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {"name": "operator"}}
    pods = f"/api/v1/namespaces/{cluster.namespace}/pods"
    loose = {**pod, "spec": {**pod["spec"], "securityContext": {}}}
    until(lambda: refuses(cluster, pods, loose))
    assert cluster.kube.post(pods, pod, dryRun="All")["metadata"]["name"] == "operator"


def refuses(cluster: Cluster, pods: str, pod: Json) -> bool:
    """Return whether the standard is enforced already, which takes the API server a moment to see."""
    try:
        cluster.kube.post(pods, pod, dryRun="All")
    except Refused as refused:
        return "violates PodSecurity" in refused.message
    return False
