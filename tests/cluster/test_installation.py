"""The chart's life on a real control plane, told as a story of each Helm, whose pods run as processes of this machine.

An older chart is installed, a run begins, the chart is upgraded while the run trains, the run ends, `helm test` tries the
installation, and the chart is uninstalled: first as it is, which leaves the runs, at last with a definition that goes along.
"""

import contextlib
import json
import math
import os
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.chart.dashboard import panels, queries
from tests.chart.helm import CHART, helm
from tests.cluster.binaries import find, in_ci
from tests.cluster.conftest import until
from tests.cluster.control_plane import ControlPlane, control_plane
from tests.cluster.kube import JOBS, PODS, RUNS, Json, Refused
from tests.cluster.kubelet import DONE, Kubelet, Outcome, label
from tests.cluster.processnode import ProcessNode
from tests.core.corpus import BASE
from tests.e2e.prometheus import scraping
from tests.prometheus import program as prometheus_program
from tpt_runtime import __version__
from tpt_runtime.core.crd import FILE, crd
from tpt_runtime.step.metrics import DESCRIPTIONS, LiveMetrics

MAIN = "helm"
"""The present Helm; the other one is version 3."""
HERE, TEAM, RELEASE = "tpt-system", "team-a", "tpt"
NAME = "tpt-tpt-operator"
OLDER = Path(__file__).parent / "resources" / "older-chart"
DEFINITION = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd()['metadata']['name']}"
ACCOUNTS = "/api/v1/namespaces/{}/serviceaccounts"
SECONDS = 120.0


def older_chart(folder: Path) -> Path:
    """Return a chart of an earlier version, whose definition knows no `spec.queue`."""
    definition = crd()
    del definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["queue"]
    shutil.copytree(OLDER, folder)
    (folder / "files" / FILE).write_text(json.dumps(definition))
    return folder


@dataclass
class Story:
    """What was seen."""

    before: Json = field(default_factory=dict)
    """The run while it trains, under the older operator."""
    job: Json = field(default_factory=dict)
    """The Job of that training."""
    job_after: Json = field(default_factory=dict)
    """The same one, after the upgrade."""
    run: Json = field(default_factory=dict)
    """The run at its end."""
    ended: list[str] = field(default_factory=list)
    """Every step's pods that were carried out, in order."""
    operators: list[str] = field(default_factory=list)
    """Versions of the operator's pods, in the order in which they began."""
    definitions: list[Json] = field(default_factory=list)
    """The definition under the older chart, and after the upgrade."""
    tested: str = ""
    """What `helm test` printed."""
    said: str = ""
    """What its pods said."""
    panels: dict[str, list[list[float]]] = field(default_factory=dict)
    """The numbers that each query of the dashboard's panels brought, by panel."""
    left: Json = field(default_factory=dict)
    """What is there after `helm uninstall`, by kind."""
    again: Json = field(default_factory=dict)
    """The run after the chart was installed again, under its name and under another one."""


@pytest.fixture(scope="module")
def own_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane without the definition, which is for the charts to bring."""
    folder, why = find(os.environ)
    if why:
        (pytest.fail if in_ci(os.environ) else pytest.skip)(why)
    with control_plane(folder, tmp_path_factory.mktemp("own-plane")) as running:
        for namespace in (HERE, TEAM):
            running.kube().post("/api/v1/namespaces", {"metadata": {"name": namespace}})
            until(partial(running.kube().items, ACCOUNTS.format(namespace)))
        yield running


def told(name: str, plane: ControlPlane, folder: Path) -> Story:
    seen = Story()
    with ProcessNode(plane, HERE, folder / "pods") as node:
        _tell(name, plane, node, older_chart(folder / "older-chart"), seen)
    return seen


def _tell(name: str, plane: ControlPlane, node: ProcessNode, older: Path, seen: Story) -> None:
    kube = plane.kube()

    def run_helm(*arguments: str) -> str:
        return helm(*arguments, f"--namespace={HERE}", name=name, kubeconfig=plane.kubeconfig, seconds=SECONDS)

    run_helm("install", RELEASE, str(older), "--wait")
    seen.definitions.append(kube.get(DEFINITION))
    training: list[Json] = []

    def script(pod: Json, before: int) -> Outcome | None:
        if label(pod, "step") != "train":
            return DONE
        training.append(pod)
        return None

    with Kubelet(kube, TEAM, script) as kubelet:
        run = {**BASE, "metadata": {"name": "example"}}
        run["spec"] = {**run["spec"], "maxRounds": 1}
        kube.post(RUNS.format(TEAM), run)
        until(lambda: training)
        seen.before = until(lambda: _running(kube.get(f"{RUNS.format(TEAM)}/example")))
        seen.job = _job(plane, training[0])
        run_helm("upgrade", RELEASE, str(CHART), "--wait")
        until(lambda: _leader_is_new(plane))
        seen.definitions.append(kube.get(DEFINITION))
        seen.job_after = _job(plane, training[0])
        seen.operators = [running.pod["metadata"]["labels"]["helm.sh/chart"] for running in node.all.values()]
        with shown(node, seen) if name == MAIN else contextlib.nullcontext():
            kubelet.end(training[0])
            seen.run = until(lambda: _complete(kube.get(f"{RUNS.format(TEAM)}/example")))
            seen.ended = kubelet.ended
            seen.tested = run_helm("test", RELEASE, f"--timeout={SECONDS:.0f}s")
    seen.said = node.log(f"{NAME}-test")
    until(lambda: not _left_of_test(plane))  # the garbage collector has the run's pods
    run_helm("uninstall", RELEASE, "--wait")
    seen.left = {"definition": kube.get(DEFINITION), "runs": kube.items(RUNS.format(TEAM)), "pods": kube.items(PODS.format(HERE))}
    run_helm("install", RELEASE, str(CHART))
    run_helm("uninstall", RELEASE, "--wait")
    run_helm("install", "another", str(CHART), "--take-ownership", "--set=crds.keep=false")
    seen.again = kube.get(f"{RUNS.format(TEAM)}/example")
    run_helm("uninstall", "another", "--wait")
    until(lambda: _gone(plane))  # with all runs, as it was told: so the control plane is as it was before the story


@contextlib.contextmanager
def shown(node: ProcessNode, seen: Story) -> Iterator[None]:
    """Have a real Prometheus scrape the operator that runs now, and ask it at the end what the dashboard asks.

    It has the labels that the Prometheus operator would give it. What pods of steps serve is served here, by their own code.
    """
    operator = list(node.all.values())[-1]
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    live = LiveMetrics(port)
    live.serve()
    live.set(**dict.fromkeys(DESCRIPTIONS, 2.0))
    pod = {"namespace": HERE, "pod": operator.pod["metadata"]["name"]}
    step = {"namespace": TEAM, "run": "example", "step": "train", "round": "1"}
    targets = {"tpt-operator": (operator.port, pod), f"{HERE}/{NAME}-steps": (port, step)}
    jobs: list[Json] = [
        {"job_name": job, "honor_labels": True, "static_configs": [{"targets": [f"127.0.0.1:{number}"], "labels": labels}]}
        for job, (number, labels) in targets.items()
    ]
    begin = time.time()
    try:
        with scraping(prometheus_program("prometheus"), jobs, node.folder / "prometheus") as server:
            yield
            until(lambda: server.query('tpt_run_status{run="example", phase="Complete"} == 1'))
            for query in queries():
                found = server.over_time(query.expression, begin, time.time())
                numbers = [float(value) for series in found for _, value in series["values"]]
                seen.panels.setdefault(query.panel, []).append(numbers)
    finally:
        live.close()


def _job(plane: ControlPlane, pod: Json) -> Json:
    return plane.kube().get(f"{JOBS.format(TEAM)}/{pod['metadata']['labels']['batch.kubernetes.io/job-name']}")


def _running(run: Json) -> Json | None:
    return run if run["status"].get("step") == "train" and run["status"]["phase"] == "Running" else None


def _complete(run: Json) -> Json | None:
    return run if run["status"]["phase"] == "Complete" else None


def _leader_is_new(plane: ControlPlane) -> bool:
    """Return whether the Lease is held by an operator of the new chart: the one whose process is left."""
    pods = plane.kube().items(PODS.format(HERE), labelSelector="app.kubernetes.io/name=tpt-operator")
    leases = plane.kube().items(f"/apis/coordination.k8s.io/v1/namespaces/{HERE}/leases")
    return len(pods) == 1 and any(lease["spec"].get("holderIdentity") for lease in leases)


def _left_of_test(plane: ControlPlane) -> list[str]:
    kinds = {"pods": PODS, "runs": RUNS, "claims": "/api/v1/namespaces/{}/persistentvolumeclaims", "accounts": ACCOUNTS}
    return [
        f"{kind}/{item['metadata']['name']}"
        for kind, path in kinds.items()
        for item in plane.kube().items(path.format(HERE))
        if "-test" in item["metadata"]["name"] and "deletionTimestamp" not in item["metadata"]
    ]


def _gone(plane: ControlPlane) -> bool:
    try:
        plane.kube().get(DEFINITION)
    except Refused as refused:
        return refused.status == 404
    return False


def properties(definition: Json) -> Json:
    found: Json = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    return found


def an_upgrade_brings_the_new_definition(story: Story) -> None:
    older, newer = story.definitions
    assert "queue" not in properties(older)
    assert "queue" in properties(newer)


def an_upgrade_replaces_the_operator(story: Story) -> None:
    assert story.operators == ["tpt-operator-0.0.9", f"tpt-operator-{__version__}"]


def a_run_in_progress_does_not_notice_an_upgrade(story: Story) -> None:
    assert story.job_after["metadata"]["uid"] == story.job["metadata"]["uid"]
    assert story.run["metadata"]["uid"] == story.before["metadata"]["uid"]
    steps = ("prepare-r0", "sample-r1", "prune-r1", "train-r1", "evaluate-r1", "grade-r1", "finalize-r1")
    assert story.ended == [f"{step}-0" for step in steps]


def no_panel_of_the_dashboard_is_empty(story: Story) -> None:
    assert set(story.panels) == {panel["title"] for panel in panels()}
    for title, found in story.panels.items():
        for numbers in found:
            assert any(math.isfinite(number) for number in numbers), title


def the_dashboard_shows_what_the_statuses_say(story: Story) -> None:
    measured = {metric["name"]: metric["value"] for entry in story.run["status"]["rounds"] for metric in entry["metrics"]}
    (shares,) = story.panels["pass@k by round"]
    assert measured["validation/pass@1"] in shares
    assert max(shares) == 1.0, "of the trial, whose model 1 is always right"
    assert 1.0 in story.panels["Training loss"][0]
    assert set(story.panels["Tokens per second"][0]) == {2.0}


def the_trial_is_a_whole_run_and_says_how_it_ended(story: Story) -> None:
    assert story.tested.count("Phase:") == story.tested.count("Succeeded") > 0
    assert "what the steps of the trial find" in story.said
    assert "round 1/1: MaxRoundsReached: " in story.said
    for step in ("prepared", "sampled"):
        assert f"already {step}" in story.said


def uninstalling_leaves_the_definition_and_all_runs(story: Story) -> None:
    assert [run["metadata"]["name"] for run in story.left["runs"]] == ["example"]
    assert story.left["runs"][0]["status"] == story.run["status"]
    assert "deletionTimestamp" not in story.left["definition"]["metadata"]
    assert story.left["pods"] == []


def a_chart_that_is_installed_again_finds_the_runs_that_were_left(story: Story) -> None:
    assert story.again["metadata"]["uid"] == story.run["metadata"]["uid"]
    assert story.again["status"]["phase"] == "Complete"


ALWAYS = (
    an_upgrade_brings_the_new_definition,
    an_upgrade_replaces_the_operator,
    a_run_in_progress_does_not_notice_an_upgrade,
    the_trial_is_a_whole_run_and_says_how_it_ended,
    uninstalling_leaves_the_definition_and_all_runs,
    a_chart_that_is_installed_again_finds_the_runs_that_were_left,
)
SHOWN = (no_panel_of_the_dashboard_is_empty, the_dashboard_shows_what_the_statuses_say)
"""What is looked at with one Helm only."""


@pytest.mark.parametrize("name", [MAIN, "helm3"])
def test_the_story_of_a_chart(name: str, own_plane: ControlPlane, tmp_path: Path):
    story = told(name, own_plane, tmp_path)
    for holds in (*ALWAYS, *(SHOWN if name == MAIN else ())):
        holds(story)
