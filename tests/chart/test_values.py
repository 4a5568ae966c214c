"""Every value is described, bounded and used; a wrong one is refused with its path, by both Helms."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from tests.chart.helm import CHART, HelmRefused, helm, one, rendered_with
from tests.chart.matrix import EVERYTHING, MATRIX, NOTHING
from tests.cluster.binaries import KUBERNETES

SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
OF_KUBERNETES = {
    *("global", "resources", "affinity", "podSecurityContext", "securityContext", "tests.worker", "extraEnv[].valueFrom"),
    *("tolerations[]", "topologySpreadConstraints[]", "networkPolicy.metricsFrom[]"),
}
"""Objects whose fields are somebody else's."""
WRONG = {
    "replicas=two": "/replicas",
    "replicas=11": "/replicas",
    "images.pullPolicy=Sometimes": "/images/pullPolicy",
    "images.variant=rocm": "/images/variant",
    "images.registry=": "/images/registry",
    "images.stepPullSecrets[0]=name": "/images/stepPullSecrets/0",
    "watchNamespace=Team_A": "/watchNamespace",
    "logLevel=info": "/logLevel",
    "leaseSeconds=1": "/leaseSeconds",
    "crds.keep=perhaps": "/crds/keep",
    "extraEnv[0].nmae=A": "/extraEnv/0",
    "livenessProbe.periodSecond=5": "/livenessProbe",
    "podDisruptionBudget.maxUnavailable=half": "/podDisruptionBudget/maxUnavailable",
    "networkPolicy.apiServerPorts[0]=70000": "/networkPolicy/apiServerPorts/0",
    "monitoring.podMonitor.interval=5": "/monitoring/podMonitor/interval",
    "monitoring.rules.runbookUrl=": "/monitoring/rules/runbookUrl",
    "tests.storage.size=big": "/tests/storage/size",
    "tests.storage.accessModes[0]=ReadOnlyMany": "/tests/storage/accessModes/0",
}


def parts(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every value of a schema with its path; `[]` stands for the items of a list."""
    for name, below in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        yield here, below
        yield from parts(below, here)
    if isinstance(schema.get("items"), dict):
        yield f"{path}[]", schema["items"]
        yield from parts(schema["items"], f"{path}[]")


def paths(values: Any, path: str = "") -> Iterator[str]:
    """Yield the path of every value that the schema knows, down to what is Kubernetes' own."""
    for name, below in values.items():
        here = f"{path}.{name}" if path else name
        yield here
        closed = dict(parts(SCHEMA))[here].get("properties")
        if isinstance(below, dict) and closed:
            yield from paths(below, here)


def test_every_value_is_described_and_every_object_is_closed_unless_it_is_kubernetes_own():
    found = dict(parts(SCHEMA))
    assert len(found) > 80
    for path, schema in found.items():
        assert schema.get("description", "").endswith(".") or path.endswith("[]"), path
        if schema["type"] == "object" and path not in OF_KUBERNETES:
            assert "additionalProperties" in schema, path
    assert SCHEMA["additionalProperties"] is False
    assert {
        path for path, schema in found.items() if schema["type"] == "object" and "additionalProperties" not in schema
    } == OF_KUBERNETES


def test_the_schema_describes_exactly_the_values_that_there_are():
    described = {path for path, _ in parts(SCHEMA) if "[]" not in path and path != "global"}
    assert set(paths(VALUES)) == described


def test_the_defaults_are_what_the_schema_allows():
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(VALUES, SCHEMA)


@pytest.mark.parametrize("name", ["helm", "helm3"])
@pytest.mark.parametrize(("setting", "path"), WRONG.items(), ids=WRONG)
def test_a_wrong_value_is_refused_with_its_path(setting: str, path: str, name: str):
    with pytest.raises(HelmRefused) as refused:
        helm("template", "x", str(CHART), f"--set={setting}", f"--kube-version={KUBERNETES}", name=name)
    assert f"at '{path}" in str(refused.value)


def test_a_value_that_does_not_exist_is_refused_by_name():
    with pytest.raises(HelmRefused, match="additional properties 'replica' not allowed"):
        helm("template", "x", str(CHART), "--set=replica=2")


def test_both_monitors_at_once_are_refused():
    both = {"monitoring": {kind: {"enabled": True} for kind in ("podMonitor", "serviceMonitor")}}
    with pytest.raises(HelmRefused, match="podMonitor and serviceMonitor are both enabled"):
        rendered_with(both)


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_both_helms_render_the_same(values: dict[str, Any]):
    made = [rendered_with(values, name=name) for name in ("helm", "helm3")]
    keys = [sorted(json.dumps(item, sort_keys=True) for item in manifests) for manifests in made]
    assert keys[0] == keys[1]
    assert len(keys[0]) >= 2


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_helm_has_nothing_to_complain_of(values: dict[str, Any]):
    helm("lint", "--strict", str(CHART), "--values=-", given=json.dumps(values))


def test_the_matrix_sets_every_value_to_something_that_is_not_its_default():
    def told(values: dict[str, Any]) -> set[str]:
        return {path for path in paths(values) if _at(values, path) != _at(VALUES, path)}

    changed = set().union(*map(told, MATRIX.values()))
    untried = {path for path in paths(VALUES) if not isinstance(_at(VALUES, path), dict)} - changed
    assert untried == {"images.operator", "images.sampler", "images.pruner", "tests.storage.claimName", "dashboard.namespace"}
    """Those are tried by tests of their own."""


def _at(values: Any, path: str) -> Any:
    for name in path.split("."):
        values = values.get(name) if isinstance(values, dict) else None
    return values


def pod(values: dict[str, Any]) -> dict[str, Any]:
    (deployment,) = (item for item in rendered_with(values) if item["kind"] == "Deployment")
    return dict(deployment["spec"]["template"])


def test_everything_that_may_be_set_of_the_operators_pod_is_there():
    made = pod(EVERYTHING)
    spec, (container,) = made["spec"], made["spec"]["containers"]
    for field in (
        "nodeSelector",
        "tolerations",
        "affinity",
        "topologySpreadConstraints",
        "priorityClassName",
        "runtimeClassName",
    ):
        assert spec[field] == EVERYTHING[field], field
    assert spec["securityContext"] == EVERYTHING["podSecurityContext"]
    assert spec["terminationGracePeriodSeconds"] == 40
    assert spec["serviceAccountName"] == "somebody"
    assert spec["imagePullSecrets"] == [{"name": "of-operator"}]
    assert container["securityContext"] == EVERYTHING["securityContext"]
    assert container["resources"]["requests"] == {"cpu": "1", "memory": "128Mi"}
    assert container["env"][-2:] == EVERYTHING["extraEnv"]
    assert (container["image"], container["imagePullPolicy"]) == ("registry.example:5000/tpt/tpt-operator:9.9.9", "Always")
    assert container["livenessProbe"]["initialDelaySeconds"] == 60
    assert container["readinessProbe"]["periodSeconds"] == 2
    assert made["metadata"]["annotations"] == EVERYTHING["podAnnotations"]
    assert made["metadata"]["labels"]["team"] == "research"


def test_the_charts_own_labels_cannot_be_taken_from_the_pods():
    labels = pod({"podLabels": {"app.kubernetes.io/name": "other"}})["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] == "tpt-operator"


def test_what_is_empty_is_left_out():
    spec = pod(NOTHING)["spec"]
    assert set(spec) == {"serviceAccountName", "terminationGracePeriodSeconds", "containers", "volumes"}
    assert spec["serviceAccountName"] == "default"
    assert {"resources", "securityContext"}.isdisjoint(spec["containers"][0])


@pytest.mark.parametrize(("replicas", "budgets"), [(0, 0), (1, 0), (2, 1)])
def test_a_budget_is_there_only_above_one_replica(replicas: int, budgets: int):
    kinds = [item["kind"] for item in rendered_with({"replicas": replicas})]
    assert kinds.count("PodDisruptionBudget") == budgets


def test_names_can_be_chosen():
    assert one(rendered_with({"nameOverride": "improver"}), "Deployment", "tpt-operator-improver")
    assert one(rendered_with({"fullnameOverride": "improver"}), "Deployment", "improver")


def test_the_operators_policy_lets_in_who_asks_and_out_what_it_asks():
    (policy,) = (item["spec"] for item in rendered_with(EVERYTHING) if item["kind"] == "NetworkPolicy")
    (asked,) = policy["ingress"]
    assert asked["ports"] == [{"protocol": "TCP", "port": 8080}]
    assert asked["from"] == EVERYTHING["networkPolicy"]["metricsFrom"]
    assert [rule["ports"][0]["port"] for rule in policy["egress"]] == [53, 8443, 9464]
    here = rendered_with({"networkPolicy": {"enabled": True}, "watchNamespace": "team-a"})
    (policy,) = (item["spec"] for item in here if item["kind"] == "NetworkPolicy")
    (steps,) = policy["egress"][-1]["to"]
    assert steps["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "team-a"}}
