"""What is seen of a run from outside while it runs: progress, metrics in a real Prometheus, health, what kubectl prints."""

import http.client
import http.server
import itertools
import json
import os
import socket
import subprocess
import threading
import time
from collections import Counter
from functools import partial
from urllib.parse import urlencode

import pytest

from tests.cluster.conftest import until
from tests.cluster.kube import PODS, RUNS
from tests.cluster.kubelet import DONE, label
from tests.prometheus import program
from tpt_operator.controller import Controller
from tpt_operator.pods import METRICS_PORT

EVERY = 2.0
"""Seconds between two questions after progress, in these tests."""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


def ask(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def never_ends(step):
    return lambda pod, before: None if label(pod, "step") == step else DONE


# progress


class Step(http.server.ThreadingHTTPServer):
    """Serves the metrics of a step that gets on by one at every question."""

    def __init__(self, host):
        super().__init__((host, METRICS_PORT), Answer)
        self.asked: list[float] = []


class Answer(http.server.BaseHTTPRequestHandler):
    """One answer."""

    server: Step

    def do_GET(self):
        self.server.asked.append(time.monotonic())
        text = f"tpt_step_completed {len(self.server.asked)}\ntpt_step_total 1000\n".encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture
def step():
    """A step that serves its metrics on an address of its own, as a pod does."""
    server = Step(f"127.{os.getpid() % 250 + 1}.{os.getpid() // 250 % 250}.9")  # a test beside this one has another
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def give_address(cluster, step, name):
    """Have the pod of a step be where `step` serves."""
    (pod,) = until(lambda: [pod for pod in cluster.kube.items(PODS.format(cluster.namespace)) if label(pod, "step") == name])
    address = step.server_address[0]
    path = f"{PODS.format(cluster.namespace)}/{pod['metadata']['name']}/status"
    until(lambda: cluster.kube.get(path)["status"].get("phase") == "Running")
    cluster.kube.patch(path, {"status": {"podIP": address, "podIPs": [{"ip": address}]}})


def test_progress_comes_into_the_status_with_one_write_for_each_question_at_most(cluster, step):
    cluster.operator(progress_seconds=EVERY)
    cluster.kubelet(never_ends("train"))
    cluster.create(maxRounds=1)
    cluster.wait(lambda run: run.get("status", {}).get("step") == "train", seconds=90)
    give_address(cluster, step, "train")
    seen = []
    for event in cluster.kube.watch(RUNS.format(cluster.namespace), 90):
        seen.append(event["object"]["status"].get("progress"))
        if len([progress for progress in seen if progress]) == 4:
            break
    told = [progress["completed"] for progress in seen if progress]
    assert told == sorted(set(told)), "the same was written twice"
    assert {progress["total"] for progress in seen if progress} == {1000}
    assert seen[seen.index({"completed": told[0], "total": 1000}) :] == [{"completed": done, "total": 1000} for done in told]
    assert all(later - earlier >= EVERY * 0.9 for earlier, later in itertools.pairwise(step.asked))


def test_a_step_that_cannot_be_asked_delays_nothing(cluster):
    cluster.operator(progress_seconds=0.1)
    cluster.kubelet(never_ends("train"))
    cluster.create(maxRounds=1)
    cluster.wait(lambda run: run.get("status", {}).get("step") == "train", seconds=90)
    (pod,) = until(lambda: [pod for pod in cluster.kube.items(PODS.format(cluster.namespace)) if label(pod, "step") == "train"])
    path = f"{PODS.format(cluster.namespace)}/{pod['metadata']['name']}/status"
    cluster.kube.patch(path, {"status": {"podIP": "192.0.2.1", "podIPs": [{"ip": "192.0.2.1"}]}})  # nobody is ever there
    cluster.change(suspend=True)
    assert "progress" not in cluster.wait_for("Suspended")["status"]


# metrics and health


@pytest.fixture
def prometheus(tmp_path):
    """A real Prometheus that scrapes one port every half second; returns what asks it."""
    running = []

    def start(port):
        config = tmp_path / "prometheus.yml"
        job = {"job_name": "tpt-operator", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        config.write_text(json.dumps({"global": {"scrape_interval": "500ms"}, "scrape_configs": [job]}))
        own = free_port()
        flags = (f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'series'}", f"--web.listen-address=127.0.0.1:{own}")
        with (tmp_path / "prometheus.log").open("wb") as log:
            running.append(subprocess.Popen([program("prometheus"), *flags], stdout=log, stderr=log))
        return partial(query, own)

    yield start
    for process in running:
        process.kill()
        process.wait()


def query(port, expression):
    """Return what a Prometheus says: from labels, less those of the scrape, to values."""
    try:
        status, text = ask(port, f"/api/v1/query?{urlencode({'query': expression})}")
    except OSError:
        return {}
    assert status in (200, 503), text
    found = json.loads(text)["data"]["result"] if status == 200 else []
    left_out = {"__name__", "job", "instance"}
    return {
        frozenset((name, value) for name, value in series["metric"].items() if name not in left_out): float(series["value"][1])
        for series in found
    }


def labels(cluster, **more):
    return frozenset({"namespace": cluster.namespace, "run": "example", **more}.items())


def test_a_real_prometheus_reads_what_the_status_says_and_forgets_a_run_that_is_gone(cluster, prometheus):
    port = free_port()
    cluster.operator(port=port)
    cluster.kubelet()
    cluster.create(maxRounds=2)
    status = cluster.wait_for("Complete", seconds=120)["status"]
    asked = prometheus(port)
    complete = labels(cluster, phase="Complete")
    until(lambda: asked("tpt_run_status").get(complete) == 1.0)

    assert asked("up") == {frozenset(): 1.0}
    values = asked("tpt_round_pass_at_k")
    losses, examples = asked("tpt_round_train_loss"), asked("tpt_round_examples")
    attempts, durations = asked("tpt_step_attempts"), asked("tpt_step_duration_seconds")
    expected: dict[str, dict[frozenset[tuple[str, str]], float]] = {"values": {}, "losses": {}, "examples": {}, "attempts": {}}
    for entry in status["rounds"]:
        number = str(entry["round"])
        for metric in entry["metrics"]:
            if metric["name"] == "validation/pass@1":
                key = labels(cluster, round=number, set="validation", verifier="run", k="1")
                expected["values"][key] = metric["value"]
            if metric["name"] == "train/loss":
                expected["losses"][labels(cluster, round=number)] = metric["value"]
        if "examples" in entry:
            expected["examples"][labels(cluster, round=number)] = entry["examples"]
        for record in entry["steps"]:
            expected["attempts"][labels(cluster, round=number, step=record["name"])] = record["attempts"]
    assert all(expected.values())
    assert values == pytest.approx(expected["values"])
    assert losses == pytest.approx(expected["losses"])
    assert (examples, attempts) == (expected["examples"], expected["attempts"])
    assert durations.keys() == attempts.keys()
    assert asked('sum(tpt_operator_api_requests_total{code="201",verb="POST"})')[frozenset()] > 10
    assert {dict(key)["resource"] for key in asked("tpt_operator_watch_age_seconds < 120")} == {
        "jobs",
        "pods",
        "selfimprovementruns",
    }

    cluster.kube.delete(f"{RUNS.format(cluster.namespace)}/example")
    until(lambda: not asked('{__name__=~"tpt_(run|round|step|gpu)_.*"}'))
    assert asked("up") == {frozenset(): 1.0}


def test_the_operator_is_ready_once_everything_was_listed_and_healthy_while_its_watches_live(cluster):
    port = free_port()
    cluster.operator(port=port)
    cluster.create()
    cluster.wait_for_job("prepare")
    assert ask(port, "/readyz") == (200, "ok")
    assert ask(port, "/healthz") == (200, "ok")


def test_watches_that_nothing_happens_on_give_signs_of_life(cluster, monkeypatch):
    signs: Counter[str] = Counter()
    known = Controller.sign_of_life

    def counted(self, plural):
        signs[plural] += 1
        known(self, plural)

    monkeypatch.setattr(Controller, "sign_of_life", counted)
    port = free_port()
    cluster.operator(port=port, watch_seconds=1)
    until(lambda: len(signs) == 3 and min(signs.values()) > 4)
    assert ask(port, "/healthz") == (200, "ok")


def test_an_operator_whose_watches_have_gone_silent_is_not_healthy(cluster, monkeypatch):
    monkeypatch.setattr("tpt_operator.controller.Controller.sign_of_life", lambda *_: None)
    port = free_port()
    cluster.operator(port=port, watch_seconds=1)
    cluster.create()
    cluster.wait_for_job("prepare")
    text = until(lambda: ask(port, "/healthz")[0] == 503 and ask(port, "/healthz")[1])
    for plural in ("jobs", "pods", "selfimprovementruns"):
        assert f"the watch of {plural} gave no sign of life for" in text


# kubectl


@pytest.fixture
def kubectl(cluster):
    found = cluster.plane.programs / "kubectl"
    if not found.is_file():
        pytest.skip("there is no kubectl beside the control plane")

    def run(*arguments):
        command = [found, "--kubeconfig", cluster.plane.kubeconfig, "--namespace", cluster.namespace, *arguments]
        done = subprocess.run(command, capture_output=True, check=True, timeout=60, text=True)
        return done.stdout

    return run


def test_kubectl_tells_the_story_of_a_run(cluster, kubectl):
    cluster.operator()
    cluster.kubelet()
    cluster.create(maxRounds=1)
    cluster.wait_for("Complete", seconds=120)
    header, line = kubectl("get", "sir").splitlines()
    assert header.split() == ["NAME", "PHASE", "ROUND", "BEST", "SUSPENDED", "AGE"]
    assert line.split()[:6] == ["example", "Complete", "1/1", "pass@1", "30.0", "%"]
    events = kubectl("get", "events", "--sort-by=.metadata.creationTimestamp", "-o", "custom-columns=R:.reason,M:.message")
    told = [row for row in events.splitlines() if row.startswith("StepDone")]
    assert any("Round 1: kept 10 of 40 samples (model 0: validation pass@1 20.0 %)" in row for row in told)
    assert "Complete" in kubectl("describe", "sir", "example")
    assert "condition met" in kubectl("wait", "sir", "example", "--for=condition=Complete", "--timeout=10s")
