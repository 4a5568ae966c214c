"""The operator works under exactly the rights that the chart renders, and uses every one of them."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.chart.helm import rendered
from tests.cluster.conftest import SETTINGS, Cluster, Operator, until
from tests.cluster.kube import JOBS, Json, Kube, Refused
from tests.cluster.proxy import Asked, Proxy
from tests.tpt_operator.runs import run as some_run
from tests.tpt_operator.runs import start
from tpt_operator import manifests
from tpt_operator.settings import Lease
from tpt_runtime.core.names import job_name
from tpt_runtime.core.status import StepName

ROLES = "/apis/rbac.authorization.k8s.io/v1"
PLACE = r"/(?:api/v1|apis/[^/]+/[^/]+)(?:/namespaces/[^/]+)?"
PATH = re.compile(PLACE + r"/(?P<resource>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<below>[a-z]+))?")
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
BEYOND_REQUESTS = {("selfimprovementruns/finalizers", "update"), ("services", "create"), ("networkpolicies", "create")}
"""Rights that are asked for by the API server beside that to a request: tested one by one."""

Right = tuple[str, str]


def used(asked: Asked) -> Right | None:
    """Return the right that a request needs; None if it is one that everybody has."""
    found = PATH.fullmatch(asked.path)
    if found is None:
        return None
    resource = "/".join(part for part in (found["resource"], found["below"]) if part)
    if asked.method == "GET":
        return resource, "watch" if asked.watch else "get" if found["name"] else "list"
    return resource, VERBS[asked.method]


def granted(rules: list[Json]) -> set[Right]:
    return {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}


@pytest.fixture(params=["cluster-wide", "namespaced"])
def installed(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[list[Json]]:
    """Account, roles and bindings as the chart renders them, in the operator's one or all namespaces."""
    values = {"watchNamespace": cluster.namespace} if request.param == "namespaced" else {}
    values |= {"tests__enabled": "false", "rbac__aggregatedRoles": "false"}
    kinds = ("ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
    made = [item for item in rendered(cluster.namespace, **values) if item["kind"] in kinds]
    places = [_place(item) for item in made]
    for place, item in zip(places, made, strict=True):
        cluster.kube.post(place, item)
    yield made
    for place, item in zip(places, made, strict=True):
        cluster.kube.delete(f"{place}/{item['metadata']['name']}")


def _place(item: Json) -> str:
    namespace = item["metadata"].get("namespace")
    if item["kind"] == "ServiceAccount":
        return f"/api/v1/namespaces/{namespace}/serviceaccounts"
    return f"{ROLES}/namespaces/{namespace}/{item['kind'].lower()}s" if namespace else f"{ROLES}/{item['kind'].lower()}s"


def token_of(cluster: Cluster) -> str:
    path = f"/api/v1/namespaces/{cluster.namespace}/serviceaccounts/tpt-operator/token"
    token: str = cluster.kube.post(path, {"spec": {}})["status"]["token"]
    return token


@contextlib.contextmanager
def operating(cluster: Cluster, *, everywhere: bool) -> Iterator[Proxy]:
    """Have an operator work through a proxy that remembers what it asked."""
    with Proxy(cluster.plane, lambda asked: None).serving() as proxy:
        lease = Lease(cluster.namespace, "only", duration_seconds=3)
        settings = replace(SETTINGS, namespace=None if everywhere else cluster.namespace, lease=lease)
        with Operator(replace(cluster.plane, url=proxy.url), token_of(cluster), settings):
            yield proxy


def test_a_run_that_meets_everything_needs_all_of_the_rendered_rights_and_no_other(cluster: Cluster, installed: list[Json]):
    everywhere = any(item["kind"] == "ClusterRoleBinding" for item in installed)
    kube, namespace = cluster.kube, cluster.namespace
    quota = f"/api/v1/namespaces/{namespace}/resourcequotas"
    kube.post(quota, {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}})
    until(lambda: kube.get(f"{quota}/none").get("status"))
    with operating(cluster, everywhere=everywhere) as proxy:
        run = cluster.create(maxRounds=1, training={"nodes": 2})
        cluster.wait_for("ResourcesAvailable", "False")  # its Events were asked why there is no pod
        cluster.change(suspend=True)
        cluster.wait_for("Suspended")
        until(lambda: not cluster.jobs())
        kube.delete(f"{quota}/none")
        stranger = job_name("example", run["metadata"]["uid"], 0, StepName.PREPARE, 2)
        kube.post(JOBS.format(namespace), {"metadata": {"name": stranger}, "spec": _idle()})
        cluster.kubelet()
        cluster.change(suspend=False)
        until(lambda: any(asked.method == "GET" and asked.path.endswith(stranger) for asked in list(proxy.asked)))
        kube.delete(f"{JOBS.format(namespace)}/{stranger}", propagationPolicy="Background")
        cluster.wait_for("Complete")
        until(lambda: all("ttlSecondsAfterFinished" in job["spec"] for job in cluster.jobs()))
    asked = {right for right in map(used, list(proxy.asked)) if right is not None}
    roles = [item for item in installed if item["kind"].endswith("Role")]
    may = granted([rule for role in roles for rule in role["rules"]])
    assert asked == may - BEYOND_REQUESTS
    assert may >= BEYOND_REQUESTS


def _idle() -> Json:
    container = {"name": "idle", "image": "idle"}
    return {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}


def attempts(cluster: Cluster, kube: Kube) -> dict[Right, Any]:
    """Return what needs each right that no request is named after: the operator's own manifests, written as it writes them."""
    owner = cluster.create(suspend=True)
    run = some_run(training={"nodes": 2})
    metadata = run.metadata.model_copy(
        update={"namespace": cluster.namespace, "uid": owner["metadata"]["uid"], "name": "example"}
    )
    run = run.model_copy(update={"metadata": metadata})
    applied = {"kind": "apply-patch+yaml", "fieldManager": "tpt-operator", "force": "true"}
    service, (policy, *_) = manifests.service(run), manifests.network_policies(run)
    job = manifests.job(run, start("prepare", 1), SETTINGS.images)
    services = f"/api/v1/namespaces/{cluster.namespace}/services/{service['metadata']['name']}"
    policies = f"/apis/networking.k8s.io/v1/namespaces/{cluster.namespace}/networkpolicies/{policy['metadata']['name']}"
    return {
        ("services", "create"): lambda: kube.patch(services, service, **applied),
        ("networkpolicies", "create"): lambda: kube.patch(policies, policy, **applied),
        ("selfimprovementruns/finalizers", "update"): lambda: kube.post(JOBS.format(cluster.namespace), job),
    }


@pytest.mark.parametrize("right", sorted(BEYOND_REQUESTS), ids="/".join)
def test_rights_that_no_request_is_named_after_are_needed_too(cluster: Cluster, right: Right):
    (role, *_) = [
        item
        for item in rendered(cluster.namespace, watchNamespace=cluster.namespace, tests__enabled="false")
        if item["kind"] == "Role" and item["metadata"]["name"] == "tpt-operator"
    ]
    binding = {
        "metadata": {"name": "tpt-operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tpt-operator"},
        "subjects": [{"kind": "ServiceAccount", "name": "tpt-operator", "namespace": cluster.namespace}],
    }
    cluster.kube.post(f"/api/v1/namespaces/{cluster.namespace}/serviceaccounts", {"metadata": {"name": "tpt-operator"}})
    place = f"{ROLES}/namespaces/{cluster.namespace}"
    cluster.kube.post(f"{place}/roles", {**role, "rules": list(_without(role["rules"], right))})
    cluster.kube.post(f"{place}/rolebindings", binding)
    does = attempts(cluster, cluster.plane.kube(token_of(cluster)))[right]
    until(lambda: _forbidden(does))
    cluster.kube.put(f"{place}/roles/tpt-operator", role)
    until(lambda: not _forbidden(does))


def _without(rules: list[Json], right: Right) -> Iterator[Json]:
    for rule in rules:
        verbs = [verb for verb in rule["verbs"] if (rule["resources"][0], verb) != right]
        if verbs:
            yield {**rule, "verbs": verbs}


def _forbidden(does: Any) -> bool:
    try:
        does()
    except Refused as refused:
        if refused.status != 403:
            raise
        return True
    return False
