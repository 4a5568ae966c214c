"""What Prometheus reads: figures of the status, and nothing of a run that is gone."""

import subprocess

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.prometheus import program
from tpt_operator.cache import Cache, run_view
from tpt_operator.metrics import Measures

RUN = {
    "metadata": {"name": "example", "namespace": "team", "uid": "u", "resourceVersion": "5"},
    "spec": {"model": {"uri": "hf://a/b"}, "training": {"method": "LoRA"}},
    "status": {
        "phase": "Running",
        "rounds": [
            {
                "round": 1,
                "metrics": [
                    {"name": "validation/pass@1", "value": 0.25},
                    {"name": "eval/strict/pass@20", "value": 0.5},
                    {"name": "train/loss", "value": 1.5},
                    {"name": "eval/formatRate", "value": 0.9},
                ],
                "samples": {"total": 10, "correct": 4, "timedOut": 1},
                "examples": 3,
                "gpuSeconds": 720,
                "steps": [
                    {
                        "name": "train",
                        "attempts": 2,
                        "queueSeconds": 45,
                        "startTime": "2026-01-01T00:00:00Z",
                        "completionTime": "2026-01-01T00:01:30Z",
                    },
                    {"name": "prune", "attempts": 1, "startTime": "2026-01-01T00:00:00Z"},
                ],
            }
        ],
    },
}
OF_RUNS = ("tpt_run", "tpt_round", "tpt_step", "tpt_gpu")
ROUND = {"namespace": "team", "run": "example", "round": "1"}


@pytest.fixture
def cache():
    return Cache()


@pytest.fixture
def measures(cache):
    measures = Measures()
    measures.tell_of(cache.runs)
    return measures


def series(measures):
    families = text_string_to_metric_families(generate_latest(measures.registry).decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(measures, name, **labels):
    return series(measures).get((name, frozenset(labels.items())))


def test_the_figures_of_a_round_are_those_of_the_status(cache, measures):
    cache.runs.put(run_view(RUN))
    assert value(measures, "tpt_round_pass_at_k", **ROUND, set="validation", verifier="run", k="1") == 0.25
    assert value(measures, "tpt_round_pass_at_k", **ROUND, set="eval", verifier="strict", k="20") == 0.5
    assert value(measures, "tpt_round_train_loss", **ROUND) == 1.5
    assert value(measures, "tpt_round_samples", **ROUND, verdict="correct") == 4
    assert value(measures, "tpt_round_samples", **ROUND, verdict="timed_out") == 1
    assert value(measures, "tpt_round_samples", **ROUND, verdict="wrong") == 0
    assert value(measures, "tpt_round_examples", **ROUND) == 3
    assert value(measures, "tpt_step_duration_seconds", **ROUND, step="train") == 90
    assert value(measures, "tpt_step_duration_seconds", **ROUND, step="prune") is None
    assert value(measures, "tpt_step_attempts", **ROUND, step="train") == 2
    assert value(measures, "tpt_step_queue_seconds", **ROUND, step="train") == 45
    assert value(measures, "tpt_step_queue_seconds", **ROUND, step="prune") == 0
    assert value(measures, "tpt_gpu_seconds", **ROUND) == 720


def test_a_run_is_in_exactly_one_phase(cache, measures):
    cache.runs.put(run_view(RUN))
    phases = {dict(labels)["phase"]: told for (name, labels), told in series(measures).items() if name == "tpt_run_status"}
    assert phases == {"Pending": 0, "Running": 1, "Suspended": 0, "Complete": 0, "Failed": 0}
    assert value(measures, "tpt_run_info", namespace="team", run="example", uid="u", model="hf://a/b", method="LoRA") == 1


def test_the_series_of_a_run_vanish_with_it(cache, measures):
    view = run_view(RUN)
    cache.runs.put(view)
    assert [name for name, _ in series(measures) if name.startswith(OF_RUNS)]
    cache.runs.remove(view)
    assert not [name for name, _ in series(measures) if name.startswith(OF_RUNS)]


def test_a_run_without_a_status_is_told_of_too(cache, measures):
    cache.runs.put(run_view({**RUN, "status": None}))
    assert value(measures, "tpt_run_status", namespace="team", run="example", phase="Running") == 0


def test_requests_are_counted_by_verb_and_code(measures):
    measures.answered("GET", 200)
    measures.answered("GET", 200)
    measures.answered("PUT", 0)
    assert value(measures, "tpt_operator_api_requests_total", verb="GET", code="200") == 2
    assert value(measures, "tpt_operator_api_requests_total", verb="PUT", code="0") == 1


def test_what_is_rebuilt_from_the_status_is_a_gauge_with_a_help_text(cache, measures):
    cache.runs.put(run_view(RUN))
    for family in text_string_to_metric_families(generate_latest(measures.registry).decode()):
        assert family.documentation, family.name
        if family.name.startswith(OF_RUNS):
            assert family.type == "gauge"
            assert not family.name.endswith("_total")


def test_promtool_has_nothing_against_any_of_it(cache, measures):
    cache.runs.put(run_view(RUN))
    measures.answered("GET", 200)
    measures.watch_age.labels("jobs").set(3)
    measures.reconciles.observe(0.01)
    text = generate_latest(measures.registry)
    checked = subprocess.run([program("promtool"), "check", "metrics"], input=text, capture_output=True, check=False, timeout=60)
    assert (checked.returncode, checked.stdout.decode(), checked.stderr.decode()) == (0, "", "")


def test_promtool_would_say_so_if_there_were_something():
    text = b"# TYPE wrong_counter counter\nwrong_counter 1\n"
    checked = subprocess.run([program("promtool"), "check", "metrics"], input=text, capture_output=True, check=False, timeout=60)
    assert checked.returncode != 0
