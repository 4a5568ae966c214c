"""The operator's release on a real node: upgraded in the middle of a run, tried by `helm test`, uninstalled at the end."""

import json

import pytest

from tests.cluster.kube import RUNS
from tests.e2e import release
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import OPERATORS, RUNNING, Ended, provide
from tests.e2e.disturbing import UPGRADED

pytestmark = pytest.mark.e2e
TRIAL_SECONDS = 600.0


def test_the_operator_was_upgraded_while_a_pod_worked(quickstart: Ended, cluster: Cluster):
    assert quickstart.met.upgraded_during is not None
    assert [revision["status"] for revision in release.revisions(cluster, OPERATORS)] == ["superseded", "deployed"]
    release.rolled_out(cluster, OPERATORS)
    (pod,) = release.pods(cluster, OPERATORS)
    assert f"--log-level={UPGRADED}" in pod["spec"]["containers"][0]["args"]


def test_helm_test_carries_a_run_of_its_own_to_its_end(quickstart: Ended, cluster: Cluster):
    provide(cluster, f"{release.NAME}-test", OPERATORS)
    within = f"--timeout={TRIAL_SECONDS:.0f}s"
    cluster.run("helm", "test", release.NAME, "--namespace", OPERATORS, within, seconds=TRIAL_SECONDS + 10)


def test_uninstalling_keeps_the_definition_and_every_run(quickstart: Ended, cluster: Cluster):
    release.uninstall(cluster, OPERATORS)
    left = json.loads(cluster.kubectl("get", "all,serviceaccounts,roles,rolebindings", "-n", OPERATORS, "-o", "json"))["items"]
    assert [item["metadata"]["name"] for item in left if item["metadata"]["name"].startswith("tpt-operator")] == []
    (kept,) = [run for run in cluster.kube.items(RUNS.format(RUNNING)) if run["metadata"]["name"] == "quickstart"]
    assert kept["metadata"]["uid"] == quickstart.run["metadata"]["uid"]
    assert kept["status"]["rounds"] == quickstart.run["status"]["rounds"]
