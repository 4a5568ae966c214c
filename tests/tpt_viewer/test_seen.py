"""A run in lines: how it stands, why, and how far it is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tpt_runtime.core.errors import ConfigurationError
from tpt_viewer.seen import Seen, described, from_resource, listing, view

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def ago(**time: int) -> str:
    return (NOW - timedelta(**time)).isoformat()


def condition(kind: str, status: str, reason: str = "InProgress", message: str = "", generation: int = 1) -> dict[str, Any]:
    told = {"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": generation}
    return told | {"lastTransitionTime": ago(minutes=1)}


def run(name: str = "small", **status: Any) -> Seen:
    metadata = {"name": name, "namespace": "team", "generation": 1, "creationTimestamp": ago(hours=3)}
    return from_resource({"metadata": metadata, "spec": {"objective": {"metric": "pass@1"}}, "status": status})


def sampling(**progress: Any) -> Seen:
    steps = [{"name": "sample", "attempts": 1, "startTime": ago(minutes=12)}]
    rounds = [
        {"round": 0, "metrics": [{"name": "validation/pass@1", "value": 0.25, "low": 0.2, "high": 0.3}]},
        {"round": 1, "steps": steps},
    ]
    state: dict[str, Any] = {
        "phase": "Running",
        "round": "1/4",
        "step": "sample",
        "currentRound": 1,
        "rounds": rounds,
        "bestRound": 0,
    }
    running = condition("Running", "True", "StepRunning")
    return run(**state, bestMetric="pass@1 25.0 %", bestModel="prepare-0/model", conditions=[running], progress=progress or None)


def test_a_step_in_progress_has_a_bar() -> None:
    text = described(sampling(completed=300, total=1200), NOW)
    assert text.startswith("small (namespace team): Running, round 1/4\n")
    assert "round 1: sample, for 12m  [#######.......................] 300/1,200, 25%\n" in text


def test_its_rounds_are_a_table_and_the_best_model_is_named() -> None:
    text = described(sampling(), NOW)
    assert "25.0% [20.0%, 30.0%]" in text
    assert text.endswith("best model, round 0, pass@1 25.0 %: prepare-0/model")


@pytest.mark.parametrize(("done", "total", "bar"), [(0, 0, "." * 30), (0, 7, "." * 30), (7, 7, "#" * 30), (9, 7, "#" * 30)])
def test_the_bar_stays_inside_its_frame(done: int, total: int, bar: str) -> None:
    assert f"[{bar}] {done}/{total}" in described(sampling(completed=done, total=total), NOW)


def test_several_shards_are_counted_and_the_first_is_told() -> None:
    text = described(sampling(completed=1, total=4, firstShard={"completed": 40, "total": 160}), NOW)
    assert "1/4 shards, 25%; first shard 40/160" in text


def test_what_a_run_waits_for_is_told_in_the_clusters_words() -> None:
    words = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu"
    waits = condition("ResourcesAvailable", "False", "WaitingForResources", words)
    idle = condition("Running", "False", "WaitingForResources", "it waits")
    text = described(run(phase="Pending", step="sample", currentRound=1, conditions=[idle, waits]), NOW)
    assert f"\n  WaitingForResources: {words}\n" in text
    assert "it waits" not in text


def test_a_run_that_is_over_says_why_and_shows_no_step() -> None:
    failed = condition("Failed", "True", "AttemptsExhausted", "round 1: train failed 3 times: the GPU fell over")
    text = described(run(phase="Failed", step="train", currentRound=1, conditions=[failed]), NOW)
    assert text == "small (namespace team): Failed\n  AttemptsExhausted: round 1: train failed 3 times: the GPU fell over"


def test_one_that_no_operator_has_seen_says_so() -> None:
    assert described(run(), NOW) == "small (namespace team): Pending\n  no operator has looked at it yet"


@pytest.mark.parametrize(
    ("kind", "reason", "code"),
    [("Complete", "MaxRoundsReached", 0), ("Failed", "AttemptsExhausted", 1), ("Failed", "InvalidSpec", 64)],
)
def test_its_end_is_an_exit_code(kind: str, reason: str, code: int) -> None:
    assert run(conditions=[condition(kind, "True", reason)]).exit_code == code


def test_an_end_under_an_earlier_spec_is_none() -> None:
    found = run(conditions=[condition("Complete", "True", "MaxRoundsReached", generation=0)])
    assert found.over is None
    assert run(conditions=[condition("Complete", "True", "MaxRoundsReached")]).over is not None


def test_runs_are_listed_one_a_line() -> None:
    end = [condition("Complete", "True", "GoalReached")]
    last = {"step": "finalize", "progress": {"completed": 1, "total": 1}}
    complete = run("done", phase="Complete", round="4/4", bestMetric="pass@1 80.0 %", conditions=end, **last)
    lines = listing([sampling(completed=300, total=1200), complete, run("new")], NOW).splitlines()
    assert lines == [
        "NAME   PHASE     ROUND  STEP    PROGRESS   BEST           AGE",
        "small  Running   1/4    sample  300/1,200  pass@1 25.0 %  3h",
        "done   Complete  4/4    -       -          pass@1 80.0 %  3h",
        "new    Pending   -      -       -          -              3h",
    ]
    assert listing([run("new")], NOW, namespaces=True).splitlines()[1].split()[:3] == ["team", "new", "Pending"]


def test_the_screen_gets_step_phase_and_progress() -> None:
    found = view(sampling(completed=1, total=4, firstShard={"completed": 40, "total": 160}))
    assert found is not None
    key, shown = found
    assert (key, shown.label, shown.phase) == ("round 1: sample", "round 1: sample", "running")
    assert shown.words == "first shard 40, of 160"
    assert view(run()) is None


def test_a_status_of_another_version_is_told() -> None:
    with pytest.raises(ConfigurationError, match=r"small: status\.mood: .*another version of TPT wrote it"):
        run(mood="good")
