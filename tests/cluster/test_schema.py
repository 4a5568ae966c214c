"""The CRD on a real API server: it accepts and refuses what the models do, by schema and by CEL rule."""

import json
import subprocess

import pytest

from tests.cluster.conftest import ROOT
from tests.cluster.kube import RUNS, Refused
from tests.core.corpus import BASE, before_and_after, changed, corpus, patched, place
from tpt_runtime.core.rules import RULES


def as_sent(resource):
    """Return what kubectl sends: whole numbers without a fraction."""
    if isinstance(resource, dict):
        return {name: as_sent(item) for name, item in resource.items()}
    if isinstance(resource, list):
        return [as_sent(item) for item in resource]
    return int(resource) if isinstance(resource, float) and resource.is_integer() else resource


def try_out(kube, resource):
    kube.post(RUNS.format("default"), as_sent(resource), dryRun="All", fieldValidation="Strict")


@pytest.fixture(scope="module")
def kube(plane):
    return plane.kube()


@pytest.mark.parametrize("entry", corpus("good"))
def test_what_the_models_accept_the_api_server_accepts(kube, entry):
    try_out(kube, changed(entry))


@pytest.mark.parametrize("entry", corpus("bad"))
def test_what_the_models_refuse_the_api_server_refuses_and_names_the_field(kube, entry):
    with pytest.raises(Refused) as caught:
        try_out(kube, changed(entry))
    assert caught.value.status in (400, 404, 422)
    said = json.loads(caught.value.message)["message"]
    assert any(name in said for name in field_names(entry)), said


def field_names(entry):
    """Return the ways to name the field of an entry; what is not of this kind the API server names in words of its own."""
    where = place(entry)
    *_, last = where.split(".")
    its_own = {"apiVersion": ["version"], "kind": ["Kind"], "metadata": ["ObjectMeta"]}
    sections = [word.partition(".")[0] for word in where.split()]  # of "apiVersion and kind" it names one
    return [where, last.partition("[")[0], *(name for section in sections for name in its_own.get(section, ()))]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.where} {rule.message[:30]}")
def test_a_rule_accepts_and_refuses_on_the_api_server_what_it_does_in_python(kube, rule):
    try_out(kube, patched(BASE, rule.accepts))
    with pytest.raises(Refused) as caught:
        try_out(kube, patched(BASE, rule.rejects))
    assert rule.message in json.loads(caught.value.message)["message"]


@pytest.mark.parametrize("entry", corpus("changes"))
def test_a_change_is_refused_for_exactly_its_fixed_fields(kube, entry):
    before, after = before_and_after(entry)
    path = RUNS.format("default")
    made = kube.post(path, as_sent({**before, "metadata": {"generateName": "change-"}}))
    name = made["metadata"]["name"]
    version = {"name": name, "resourceVersion": made["metadata"]["resourceVersion"]}
    try:
        kube.put(f"{path}/{name}", as_sent({**after, "metadata": version}))
        refused = ""
    except Refused as error:
        refused = error.message
    kube.delete(f"{path}/{name}")
    assert bool(refused) is bool(entry["refused"])
    for field in entry["refused"]:
        assert f"{field}: " in refused or f'"{field}"' in refused, refused


def test_the_definition_is_accepted_by_client_side_apply_too(plane):
    """Apply it as users do without --server-side, which keeps a copy of it in an annotation of at most 256 KiB."""
    file = ROOT / "crds" / "tpt.dev_selfimprovementruns.yaml"
    kubectl = [plane.programs / "kubectl", "--kubeconfig", plane.kubeconfig]
    first = subprocess.run([*kubectl, "apply", "-f", file], capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    definition = plane.kube().get(
        f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{file.stem.partition('_')[2]}.tpt.dev"
    )
    kept = definition["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    assert 10_000 < len(kept.encode()) < 256 * 1024
    again = subprocess.run([*kubectl, "apply", "-f", file], capture_output=True, text=True, check=True)
    assert again.stdout.strip().endswith("unchanged")
