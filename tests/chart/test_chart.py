"""What the chart renders to, in both of its modes."""

from pathlib import Path

import pytest
import yaml

from tests.chart.helm import CHART, helm, one, rendered, rendered_with
from tpt_operator.__main__ import main
from tpt_runtime import __version__
from tpt_runtime.core.crd import FILE, crd, crd_yaml
from tpt_runtime.core.resource import parse_run

ROOT = Path(__file__).parents[2]
RULES = yaml.safe_load((CHART / "files" / "rbac-rules.yaml").read_text(encoding="utf-8"))
RULES_BY_PLACE = sorted(RULES, key=lambda rule: "leases" in rule["resources"])
"""In the order in which they are rendered."""
MODES = {"cluster-wide": {}, "namespaced": {"watchNamespace": "team-a"}}


def container(manifests):
    (found,) = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    return found


def understood(manifests):
    """Return what the operator makes of its arguments."""
    return main.make_context("tpt_operator", list(container(manifests)["args"])).params


def of_operator(manifests, *kinds):
    """Return the manifests of some kinds, without those of `helm test` and those that are for people."""
    return [item for item in manifests if item["kind"] in kinds and not is_test(item) and not is_for_people(item)]


def is_test(item):
    return item["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"


def is_for_people(item):
    return any("/aggregate-to-" in label for label in item["metadata"].get("labels", {}))


def grants(manifests):
    """Return the rules of each role, by where they hold: None is everywhere."""
    found = of_operator(manifests, "Role", "ClusterRole")
    return [(item["metadata"].get("namespace"), rule) for item in found for rule in item["rules"]]


@pytest.mark.parametrize("values", MODES.values(), ids=MODES)
def test_helm_has_nothing_to_complain_of(values):
    helm("lint", "--strict", str(CHART), *(f"--set={name}={value}" for name, value in values.items()))


@pytest.mark.parametrize("values", MODES.values(), ids=MODES)
def test_the_operator_may_do_exactly_what_the_shipped_rules_say(values):
    rules = [rule for _, rule in grants(rendered(**values))]
    key = str
    assert sorted(rules, key=key) == sorted(RULES, key=key)


def test_cluster_wide_it_may_do_that_everywhere_and_hold_leases_at_home_only():
    places = {(rule["resources"][0], where) for where, rule in grants(rendered())}
    assert ("leases", "tpt-system") in places
    assert {where for resource, where in places if resource != "leases"} == {None}


def test_for_one_namespace_it_may_do_nothing_elsewhere():
    manifests = rendered(watchNamespace="team-a")
    assert of_operator(manifests, "ClusterRole", "ClusterRoleBinding") == []
    places = {(rule["resources"][0], where) for where, rule in grants(manifests)}
    assert {where for resource, where in places if resource != "leases"} == {"team-a"}
    assert ("leases", "tpt-system") in places


@pytest.mark.parametrize("values", MODES.values(), ids=MODES)
def test_every_role_is_bound_to_the_operators_account(values):
    manifests = rendered(**values)
    account = one(manifests, "ServiceAccount")["metadata"]
    bindings = of_operator(manifests, "RoleBinding", "ClusterRoleBinding")
    given = {(item["roleRef"]["kind"], item["roleRef"]["name"], item["metadata"].get("namespace")) for item in bindings}
    roles = of_operator(manifests, "Role", "ClusterRole")
    assert given == {(item["kind"], item["metadata"]["name"], item["metadata"].get("namespace")) for item in roles}
    subject = {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    assert all(item["subjects"] == [subject] for item in bindings)
    assert one(manifests, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == account["name"]


def test_the_operator_understands_its_arguments():
    assert understood(rendered(watchNamespace="team-a", leaseSeconds=5, logLevel="DEBUG", images__tag="9.9.9")) == {
        "sampler_image": "localhost/tpt-sampler:9.9.9-cpu",
        "pruner_image": "localhost/tpt-pruner:9.9.9-cpu",
        "trainer_image": "localhost/tpt-trainer:9.9.9-cpu",
        "image_pull_policy": "IfNotPresent",
        "image_pull_secret": (),
        "network_policies": True,
        "namespace": "team-a",
        "lease_namespace": "tpt-system",
        "lease_name": "tpt-operator",
        "lease_seconds": 5,
        "port": 8080,
        "resync_seconds": 180.0,
        "log_level": "DEBUG",
    }


def test_releases_in_one_namespace_do_not_wait_for_each_others_lease():
    """Where each watches a namespace of its own, all of them have to be active."""
    text = helm("template", "team-b", str(CHART), "--namespace=tpt-system", "--set=watchNamespace=team-b")
    (other,) = (item for item in yaml.safe_load_all(text) if item and item["kind"] == "Deployment")
    name = other["metadata"]["name"]
    args = other["spec"]["template"]["spec"]["containers"][0]["args"]
    told = main.make_context("tpt_operator", args).params
    assert (told["lease_namespace"], told["lease_name"]) == ("tpt-system", name)
    assert name != understood(rendered(watchNamespace="team-a"))["lease_name"]


def test_what_is_set_of_the_steps_reaches_the_operator():
    made = rendered_with({"images": {"stepPullSecrets": [{"name": "a"}, {"name": "b"}]}, "steps": {"networkPolicies": False}})
    assert understood(made)["image_pull_secret"] == ("a", "b")
    assert understood(made)["network_policies"] is False


def test_an_operator_that_makes_no_policies_may_make_none():
    made = rendered_with({"steps": {"networkPolicies": False}})
    assert [rule for _, rule in grants(made)] == [rule for rule in RULES_BY_PLACE if "networkpolicies" not in rule["resources"]]


def test_people_may_see_runs_with_view_and_change_them_with_edit_and_nobody_writes_a_status():
    roles = {item["metadata"]["name"]: item for item in rendered() if is_for_people(item)}
    assert set(roles) == {"tpt-operator-view", "tpt-operator-edit"}
    aggregated = {
        name: {label.rpartition("-")[2] for label in item["metadata"]["labels"] if "/aggregate-to-" in label}
        for name, item in roles.items()
    }
    assert aggregated == {"tpt-operator-view": {"view", "edit", "admin"}, "tpt-operator-edit": {"edit", "admin"}}
    written = {resource for rule in roles["tpt-operator-edit"]["rules"] for resource in rule["resources"]}
    assert written == {"selfimprovementruns"}
    assert {verb for rule in roles["tpt-operator-view"]["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert not any(is_for_people(item) for item in rendered(rbac__aggregatedRoles="false"))


def test_a_release_without_roles_and_account_leaves_both_to_others():
    made = rendered_with({"rbac": {"create": False}, "serviceAccount": {"create": False, "name": "theirs"}})
    assert of_operator(made, "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "ServiceAccount") == []
    assert one(made, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "theirs"


def test_cluster_wide_no_namespace_is_named():
    assert understood(rendered())["namespace"] is None


def test_images_are_of_the_charts_version_unless_whole_names_are_given():
    manifests = rendered(images__registry="registry.example/tpt", images__trainer="own/trainer:1")
    assert container(manifests)["image"] == f"registry.example/tpt/tpt-operator:{__version__}"
    assert understood(manifests)["sampler_image"] == f"registry.example/tpt/tpt-sampler:{__version__}-cpu"
    assert understood(manifests)["trainer_image"] == "own/trainer:1"


def test_probes_and_service_ask_where_the_operator_answers():
    manifests = rendered()
    operator = container(manifests)
    (port,) = operator["ports"]
    assert port == {"name": "metrics", "containerPort": understood(manifests)["port"]}
    assert operator["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert operator["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    service = one(manifests, "Service")["spec"]
    assert service["ports"] == [{"name": "metrics", "port": 8080, "targetPort": "metrics"}]
    assert service["selector"].items() <= one(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"].items()


def test_a_user_without_a_name_has_a_home_and_a_name():
    given = {item["name"]: item["value"] for item in container(rendered())["env"]}
    assert given == {"HOME": "/tmp", "USER": "tpt-operator"}


def test_the_definition_comes_with_the_chart_unless_it_is_left_out():
    assert one(rendered(), "CustomResourceDefinition", crd()["metadata"]["name"]) == crd()
    without = [item["kind"] for item in rendered(crds__enabled="false")]
    assert "CustomResourceDefinition" not in without
    assert "Deployment" in without


def test_neither_helm_nor_argo_cd_removes_the_definition_and_so_all_runs_unless_told_to():
    definition = one(rendered(), "CustomResourceDefinition", crd()["metadata"]["name"])
    kept = {"helm.sh/resource-policy": "keep", "argocd.argoproj.io/sync-options": "Prune=false,Delete=false"}
    assert definition["metadata"]["annotations"] == kept
    loose = one(rendered(crds__keep="false"), "CustomResourceDefinition", crd()["metadata"]["name"])
    assert "annotations" not in loose["metadata"]
    assert loose["spec"] == definition["spec"]


@pytest.mark.parametrize("values", MODES.values(), ids=MODES)
def test_the_trial_is_where_runs_are_carried_out_and_may_only_read_its_run(values):
    manifests = [item for item in rendered(**values) if is_test(item)]
    assert {item["metadata"]["namespace"] for item in manifests} == {values.get("watchNamespace", "tpt-system")}
    (run,) = (item for item in manifests if item["kind"] == "SelfImprovementRun")
    (role,) = (item for item in manifests if item["kind"] == "Role")
    name = run["metadata"]["name"]
    assert role["rules"] == [
        {"apiGroups": ["tpt.dev"], "resources": ["selfimprovementruns"], "resourceNames": [name], "verbs": ["get"]}
    ]
    assert parse_run(run, "the trial").spec.max_rounds == 1


def test_the_trial_makes_a_claim_of_its_own_unless_one_is_named():
    assert one(rendered(), "PersistentVolumeClaim", "tpt-operator-test")["spec"]["accessModes"] == ["ReadWriteOnce"]
    manifests = rendered(tests__storage__claimName="mine")
    assert "PersistentVolumeClaim" not in {item["kind"] for item in manifests}
    run = one(manifests, "SelfImprovementRun", "tpt-operator-test")
    assert run["spec"]["storage"]["persistentVolumeClaim"] == {"claimName": "mine"}
    (volume, _) = one(manifests, "Pod", "tpt-operator-test-artifacts")["spec"]["volumes"]
    assert volume["persistentVolumeClaim"] == {"claimName": "mine"}


def test_the_pods_of_the_trial_are_not_taken_for_the_operators():
    manifests = rendered()
    selector = one(manifests, "Service")["spec"]["selector"].items()
    pods = [item for item in manifests if item["kind"] == "Pod"]
    assert len(pods) == 2
    assert not any(selector <= pod["metadata"]["labels"].items() for pod in pods)


def test_the_trial_can_be_left_out():
    assert not any(is_test(item) for item in rendered(tests__enabled="false"))


def test_the_charts_definition_is_the_one_for_kubectl_and_of_the_models():
    of_chart = (CHART / "files" / FILE).read_text(encoding="utf-8")
    assert of_chart == (ROOT / "crds" / FILE).read_text(encoding="utf-8") == crd_yaml()


def test_the_chart_has_the_projects_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_what_artifact_hub_reads_can_be_read_and_its_example_is_a_run():
    told = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["annotations"]
    read = {name.removeprefix("artifacthub.io/"): yaml.safe_load(text) for name, text in told.items()}
    (definition,) = read["crds"]
    assert (definition["name"], definition["kind"]) == (crd()["metadata"]["name"], crd()["spec"]["names"]["kind"])
    assert definition["version"] == crd()["spec"]["versions"][0]["name"]
    (example,) = read["crdsExamples"]
    assert parse_run(example, "Artifact Hub's example").spec.max_rounds == 4
    assert {change["kind"] for change in read["changes"]} == {"added"}
    assert (read["license"], read["operator"], read["prerelease"]) == ("Apache-2.0", True, True)
