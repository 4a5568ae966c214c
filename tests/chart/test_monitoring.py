"""Monitors, alerts and dashboard: read by Prometheus' own tools, and tied to the metrics and runbooks that there are."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.dashboard import dashboard, metrics, panels, queries
from tests.chart.helm import rendered_with
from tests.prometheus import program
from tests.tpt_operator.test_docs import metrics as served
from tests.tpt_operator.test_docs import section
from tpt_operator import labels, pods
from tpt_runtime.step.metrics import DESCRIPTIONS

RESOURCES = Path(__file__).parent / "resources"
RULES: dict[str, Any] = {"monitoring": {"rules": {"enabled": True}}}
OF_STEPS = {f"tpt_step_{name}" for name in DESCRIPTIONS}


def only(values: dict[str, Any], kind: str) -> Any:
    (found,) = (item for item in rendered_with(values) if item["kind"] == kind)
    return found


def alerts(values: dict[str, Any] = RULES) -> list[dict[str, Any]]:
    return [rule for group in only(values, "PrometheusRule")["spec"]["groups"] for rule in group["rules"]]


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A folder with the alerts as a file of rules."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(only(RULES, "PrometheusRule")["spec"]))
    return tmp_path


def promtool(*arguments: str, folder: Path) -> str:
    command = [program("promtool"), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_alert_fires_when_it_should_and_only_then(rules: Path):
    shutil.copy(RESOURCES / "alerts_test.yaml", rules)
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yaml", folder=rules)


def test_every_alert_is_tested_both_ways_or_beside_one_that_stays_silent():
    tests = yaml.safe_load((RESOURCES / "alerts_test.yaml").read_text())["tests"]
    fired = {test["alertname"] for entry in tests for test in entry["alert_rule_test"] if test["exp_alerts"]}
    assert fired == {alert["alert"] for alert in alerts()}


def test_prometheus_has_nothing_against_the_alerts(rules: Path):
    assert f"{len(alerts())} rules found" in promtool("check", "rules", "rules.yaml", folder=rules)


def test_no_alert_asks_for_a_metric_that_is_not_there():
    asked = set().union(*(metrics(alert["expr"]) for alert in alerts()))
    assert asked
    assert asked <= set(served())


def test_every_section_of_the_runbook_has_its_alert_and_every_alert_its_section():
    headings = re.findall(r"^### (.+)$", section("Runbook"), re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    linked = {alert["annotations"]["runbook_url"].removeprefix("docs/operator.md#") for alert in alerts()}
    assert linked == anchors


def test_the_runbook_names_the_alerts_of_each_section():
    for alert in alerts():
        heading = alert["annotations"]["runbook_url"].partition("#")[2].replace("-", " ").capitalize()
        assert f"`{alert['alert']}`" in section(heading), alert["alert"]


def test_runbooks_are_where_the_value_says():
    values = {"monitoring": {"rules": {"enabled": True, "runbookUrl": "https://docs.example/", "alertLabels": {"team": "a"}}}}
    for alert in alerts(values):
        assert alert["annotations"]["runbook_url"].startswith("https://docs.example/#")
        assert alert["labels"] == {"team": "a", "severity": alert["labels"]["severity"]}


def test_lists_may_be_late_by_as_much_as_the_operator_itself_allows():
    late = {alert["alert"]: alert["expr"] for alert in alerts(RULES | {"resyncSeconds": 60})}["TPTOperatorSilent"]
    assert late.endswith("(tpt_operator_list_age_seconds) > 240")


@pytest.mark.parametrize("kind", ["podMonitor", "serviceMonitor"])
def test_a_monitor_finds_the_operator_and_leaves_runs_their_namespace(kind: str):
    values = {"monitoring": {kind: {"enabled": True, "interval": "7s", "labels": {"release": "prometheus"}}}}
    monitor = only(values, kind[0].upper() + kind[1:])
    (endpoint,) = monitor["spec"].get("podMetricsEndpoints") or monitor["spec"]["endpoints"]
    assert endpoint == {"port": "metrics", "interval": "7s", "honorLabels": True}
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    found = only(values, "Service")
    labelled = found["metadata"]["labels"]
    if kind == "podMonitor":
        labelled = only(values, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labelled.items()
    assert labelled[monitor["spec"]["jobLabel"]] == "tpt-operator"
    assert 'up{job="tpt-operator"}' in json.dumps([alert["expr"] for alert in alerts()]).replace('\\"', '"')


def test_the_steps_monitor_finds_pods_by_what_the_operator_gives_them():
    values: dict[str, Any] = {"monitoring": {"stepMonitor": {"enabled": True}}}
    monitor = only(values, "PodMonitor")["spec"]
    assert monitor["selector"]["matchLabels"] == {labels.MANAGED_BY: labels.OPERATOR}
    assert monitor["namespaceSelector"] == {"any": True}
    (endpoint,) = monitor["podMetricsEndpoints"]
    named = {item["targetLabel"]: item["sourceLabels"] for item in endpoint["relabelings"]}
    wanted = {"run": labels.RUN, "step": labels.STEP, "round": labels.ROUND}
    assert named == {name: [f"__meta_kubernetes_pod_label_{re.sub('[^a-z_]', '_', label)}"] for name, label in wanted.items()}
    assert (endpoint["port"], pods.METRICS_PORT) == ("metrics", 9464)
    assert only(values | {"watchNamespace": "team"}, "PodMonitor")["spec"]["namespaceSelector"] == {"matchNames": ["team"]}


def test_the_dashboard_is_what_grafanas_sidecar_looks_for():
    found = only({"dashboard": {"enabled": True, "namespace": "monitoring", "annotations": {"folder": "TPT"}}}, "ConfigMap")
    assert found["metadata"]["namespace"] == "monitoring"
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["metadata"]["annotations"] == {"folder": "TPT"}
    assert json.loads(found["data"]["tpt.json"]) == dashboard()


def test_the_dashboard_shows_every_metric_that_there_is_and_no_other():
    shown = set().union(*(metrics(query.expression) for query in queries()))
    there = {re.sub(r"_(bucket|count|sum)$", "", name) for name in served()} | OF_STEPS
    assert shown - there == set()
    assert there - shown == {"tpt_step_optimizer_step", "tpt_step_tokens"}, "whose rate and whose neighbour are shown"


def test_every_panel_says_what_it_shows_and_has_a_place_of_its_own():
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])
    for panel in panels():
        assert panel["description"].endswith("."), panel["title"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
