"""What is remembered: the newer version wins, and a list has the last word on what is gone."""

import pytest

from tpt_operator.cache import Cache, RunKey, run_of, run_view
from tpt_operator.views import job_view


def run(name="a", version=5, uid="u", **metadata):
    return run_view(
        {"metadata": {"name": name, "namespace": "n", "uid": uid, "resourceVersion": str(version), **metadata}, "spec": {}}
    )


def job(version, **metadata):
    labels = {f"tpt.dev/{name}": "1" for name in ("run", "run-uid", "step", "round", "attempt")}
    known = {"name": "a", "namespace": "n", "uid": "j", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": labels}
    return job_view({"metadata": {**known, "resourceVersion": str(version), **metadata}})


@pytest.fixture
def runs():
    return Cache().runs


@pytest.fixture
def jobs():
    return Cache().jobs


def test_managed_fields_are_not_kept():
    assert "managedFields" not in run(managedFields=[{"manager": "kubectl"}]).raw["metadata"]


def test_an_older_version_does_not_replace_a_newer_one(runs):
    assert runs.put(run(version=5))
    assert not runs.put(run(version=4))
    assert not runs.put(run(version=5))
    assert runs.get("n", "a").version == 5
    assert runs.put(run(version=6))


def test_another_object_of_the_same_name_replaces_it_whatever_its_version(runs):
    runs.put(run(version=5, uid="old"))
    assert runs.put(run(version=1, uid="new"))
    assert runs.of("old") == []
    assert [view.uid for view in runs.of("new")] == ["new"]


def test_a_deletion_that_is_older_than_what_is_known_is_of_an_earlier_one(runs):
    runs.put(run(version=5))
    assert not runs.remove(run(version=4))
    assert runs.remove(run(version=6))
    assert runs.get("n", "a") is None
    assert not runs.remove(run(version=6))


def test_what_a_list_does_not_have_is_gone_unless_it_was_made_after_the_list(runs):
    runs.put(run("old", version=5))
    runs.put(run("kept", version=6))
    runs.put(run("newer", version=12))
    changed = runs.replace([run("kept", version=6), run("found", version=7)], at=10)
    assert {view.name for view in changed} == {"old", "found"}
    assert {view.name for view in runs} == {"kept", "found", "newer"}


def test_a_list_does_not_bring_back_what_is_newer_here(runs):
    runs.put(run(version=11))
    assert runs.replace([run(version=9)], at=10) == []
    assert runs.get("n", "a").version == 11


def test_a_run_is_known_by_its_place():
    assert run_of(run("a")) == RunKey("n", "a")


def test_a_newer_version_in_which_nothing_that_counts_has_changed_is_remembered_and_is_no_change(jobs):
    assert jobs.put(job(5))
    assert not jobs.put(job(6, managedFields=[{"manager": "kube-controller-manager"}]))
    assert jobs.get("n", "a").version == 6
    assert jobs.put(job(7, deletionTimestamp="2026-01-01T00:00:00Z"))
