"""The quickstart on a real node: `kubectl apply` carries it through two rounds, whatever it meets on its way."""

import time

import pytest

from tests.chart.dashboard import metrics, queries
from tests.cluster.kube import EVENTS
from tests.e2e import release
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import OPERATORS, RUNNING, Ended
from tests.e2e.figures import ROUNDED, of_artifacts, of_prometheus, of_status
from tests.e2e.prometheus import Prometheus
from tpt_runtime.core.status import StepName

pytestmark = pytest.mark.e2e
SCRAPED_SECONDS = 30.0
PANEL_SECONDS = 300.0
OF_PODS = {f"tpt_step_{name}" for name in ("completed", "total", "samples", "tokens", "tokens_per_second", "loss")}
"""What pods of steps serve themselves; only the operator is scraped here."""


def steps(ended: Ended):
    return {(entry["round"], step["name"]): step for entry in ended.run["status"]["rounds"] for step in entry.get("steps", ())}


def test_the_run_is_complete_after_two_rounds(quickstart: Ended):
    status = quickstart.run["status"]
    conditions = {item["type"]: (item["status"], item["reason"]) for item in status["conditions"]}
    assert conditions["Complete"] == ("True", "MaxRoundsReached")
    assert (status["phase"], status["round"]) == ("Complete", "2/2")
    rounds = ["sample", "prune", "train"]
    expected = [(0, "prepare"), *((n, step) for n in (1, 2) for step in rounds), (2, "evaluate"), (2, "grade"), (2, "finalize")]
    assert sorted(steps(quickstart)) == sorted(expected)


def test_a_pod_of_each_kind_of_step_was_evicted_and_no_attempt_failed(quickstart: Ended):
    assert set(quickstart.met.evicted) == set(StepName)
    assert {key: step["failures"] for key, step in steps(quickstart).items() if step.get("failures")} == {}


def test_an_evicted_shard_is_replaced_and_an_evicted_node_ends_the_attempt(quickstart: Ended):
    found = steps(quickstart)
    assert found[1, "sample"]["attempts"] == 1
    assert (found[1, "train"]["attempts"], found[1, "train"]["disruptions"]) == (2, 1)


def test_the_operator_was_replaced_and_is_ready(quickstart: Ended, cluster: Cluster):
    release.rolled_out(cluster, OPERATORS)
    (pod,) = release.pods(cluster, OPERATORS)
    assert quickstart.met.operator_deleted not in (None, pod["metadata"]["name"])
    (container,) = pod["status"]["containerStatuses"]
    assert (container["ready"], container["restartCount"]) == (True, 0)


def test_the_kubelet_was_away_while_a_pod_worked(quickstart: Ended, cluster: Cluster):
    assert (quickstart.met.kubelet_during is not None) is cluster.is_ours


def test_held_out_pass_at_1_rises(quickstart: Ended):
    metrics = [{item["name"]: item for item in entry["metrics"]} for entry in quickstart.run["status"]["rounds"]]
    assert [entry["round"] for entry in quickstart.run["status"]["rounds"]] == [0, 1, 2]
    assert metrics[2]["eval/pass@1"]["low"] > metrics[0]["eval/pass@1"]["high"]


def test_prometheus_status_and_artifacts_agree(quickstart: Ended, cluster: Cluster, server: Prometheus, reader: str):
    def read(path: str) -> str:
        return cluster.kubectl("exec", "-n", RUNNING, reader, "--", "cat", f"/storage/{RUNNING}/quickstart/{path}")

    of_status_ = of_status(quickstart.run)
    assert len(of_status_) == 36
    assert of_artifacts(quickstart.run, read) == pytest.approx(of_status_, abs=ROUNDED)
    deadline = time.monotonic() + SCRAPED_SECONDS
    while (scraped := of_prometheus(server, quickstart.run)) != of_status_ and time.monotonic() < deadline:
        time.sleep(1)
    assert scraped == of_status_


def test_prometheus_saw_the_run_end(quickstart: Ended, server: Prometheus):
    (value,) = server.query('tpt_run_status{run="quickstart", phase="Complete"}').values()
    assert value == 1


def test_no_panel_of_the_dashboard_about_runs_or_the_operator_is_empty(quickstart: Ended, server: Prometheus):
    now = time.time()
    asked = [query for query in queries() if not metrics(query.expression) & OF_PODS]
    assert len(asked) > 15
    assert [query for query in asked if not server.over_time(query.expression, now - PANEL_SECONDS, now)] == []


def test_a_person_is_told_the_story(quickstart: Ended, cluster: Cluster):
    line = cluster.kubectl("get", "sir", "quickstart", "-n", RUNNING, "--no-headers").split()
    assert line[:3] == ["quickstart", "Complete", "2/2"]
    fields = "involvedObject.kind=SelfImprovementRun"
    said = [event["message"] for event in cluster.kube.items(EVENTS.format(RUNNING), fieldSelector=fields)]
    assert any(message.startswith("Round 1: kept ") for message in said)
    assert any(message.startswith("Round 2: trained model 2") for message in said)
