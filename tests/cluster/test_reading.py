"""The pod that reads a claim: a real API server admits it in a restricted namespace, it gets ready, and is gone afterwards."""

import threading
from collections.abc import Iterator

import pytest
from kubernetes import client

from tests.cluster.conftest import condition, until
from tests.cluster.kube import PODS
from tests.cluster.kubelet import DONE, Kubelet
from tpt_runtime.core.errors import ConfigurationError, TptError
from tpt_runtime.core.resource import parse_run
from tpt_viewer import cluster as viewers
from tpt_viewer import reader
from tpt_viewer.cluster import Cluster
from tpt_viewer.seen import from_resource

VERBS = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "list", "watch", "delete"]},
    {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]},
]
"""What docs/cli.md says that a reader of claims needs, beside seeing runs."""


def connected(cluster, token) -> Iterator[Cluster]:
    configuration = client.Configuration(host=cluster.plane.url)
    configuration.ssl_ca_cert = str(cluster.plane.authority)
    configuration.api_key = {"authorization": f"Bearer {token}"}
    with client.ApiClient(configuration) as opened:
        yield Cluster(opened, cluster.namespace, "the cluster")


def token_of(cluster, rules):
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{cluster.namespace}"
    binding = {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": cluster.namespace}],
    }
    cluster.kube.post(f"{rbac}/roles", {"metadata": {"name": "reader"}, "rules": rules})
    cluster.kube.post(f"{rbac}/rolebindings", {"metadata": {"name": "reader"}, **binding})
    accounts = f"/api/v1/namespaces/{cluster.namespace}/serviceaccounts"
    return cluster.kube.post(f"{accounts}/default/token", {"spec": {}})["status"]["token"]


@pytest.fixture
def user(cluster):
    """Somebody who may do what the documentation says, and nothing else."""
    yield from connected(cluster, token_of(cluster, VERBS))


@pytest.fixture
def manifest(cluster):
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.kube.patch(f"/api/v1/namespaces/{cluster.namespace}", {"metadata": {"labels": labels}})
    cluster.operator()
    with Kubelet(cluster.kube, cluster.namespace, lambda pod, before: DONE):
        cluster.create(maxRounds=1)
        item = cluster.wait_for("Complete")
    return reader.pod(parse_run(item, "example"), from_resource(item).status)


def readers(cluster):
    return cluster.kube.items(PODS.format(cluster.namespace), labelSelector="app.kubernetes.io/managed-by=tpt-viewer")


def write_ready(cluster):
    """Do a kubelet's part."""
    (pod,) = until(lambda: readers(cluster))
    cluster.write_pod(pod, {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})


def test_a_restricted_namespace_admits_it_and_it_is_gone_afterwards(cluster, user, manifest):
    kubelet = threading.Thread(target=write_ready, args=(cluster,))
    kubelet.start()
    with user.pod(manifest) as name:
        (pod,) = readers(cluster)
        assert pod["metadata"]["name"] == name
        assert pod["spec"]["volumes"][0]["persistentVolumeClaim"] == {"claimName": "runs"}
        assert pod["spec"]["containers"][0]["volumeMounts"][0]["readOnly"] is True
        assert pod["spec"]["containers"][0]["image"] == "pruner:1"
        assert pod["metadata"]["ownerReferences"][0]["uid"] == cluster.run()["metadata"]["uid"]
    kubelet.join()
    until(lambda: not readers(cluster))


def test_the_operator_takes_it_for_nobodys_step(cluster, user, manifest):
    kubelet = threading.Thread(target=write_ready, args=(cluster,))
    kubelet.start()
    before = cluster.run()["metadata"]["resourceVersion"]
    with user.pod(manifest):
        pass
    kubelet.join()
    until(lambda: not readers(cluster))
    assert cluster.run()["metadata"]["resourceVersion"] == before
    assert condition(cluster.run(), "Complete")["status"] == "True"


def test_one_that_cannot_start_is_told_in_the_schedulers_words_and_gone(cluster, user, manifest, monkeypatch):
    monkeypatch.setattr(viewers, "READY_SECONDS", 2.0)
    words = "0/3 nodes are available: 3 node(s) had volume node affinity conflict"

    def unschedulable():
        (pod,) = until(lambda: readers(cluster))
        scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
        cluster.write_pod(pod, {"phase": "Pending", "conditions": [scheduled]})

    scheduler = threading.Thread(target=unschedulable)
    scheduler.start()
    with pytest.raises(TptError, match="which was to read the claim, is not ready after 2 s: 0/3 nodes"), user.pod(manifest):
        pass
    scheduler.join()
    until(lambda: not readers(cluster))


def test_who_may_not_make_pods_is_told_what_to_ask_for(cluster, manifest):
    wanted = f"does not let you create pods in namespace {cluster.namespace} .* for the verb create on pods"
    for somebody in connected(cluster, token_of(cluster, VERBS[1:])):
        with pytest.raises(ConfigurationError, match=wanted), somebody.pod(manifest):
            pass
    assert readers(cluster) == []
