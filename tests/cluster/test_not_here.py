"""Runs that the schema accepts and a cluster cannot carry out: said at once, with field and reason, before any Job exists."""

from pathlib import Path

from tests.cluster.conftest import condition, until
from tests.cluster.kube import RUNS
from tests.core.corpus import changed, entries
from tpt_runtime.core.resource import parse_run

CORPUS = entries(Path(__file__).parent / "resources" / "not_here.yaml")


def test_every_entry_is_a_valid_resource():
    for entry in CORPUS:
        parse_run(changed(entry), "example")


def test_each_is_failed_at_once_with_field_and_reason_and_without_a_job(cluster):
    cluster.operator()
    for number, entry in enumerate(CORPUS):
        resource = changed(entry)
        cluster.kube.post(RUNS.format(cluster.namespace), {**resource, "metadata": {"name": f"bad-{number}"}})
    runs = until(lambda: all_judged(cluster))
    assert len(runs) == len(CORPUS)
    wrong = {}
    for run in runs:
        entry = CORPUS[int(run["metadata"]["name"].removeprefix("bad-"))]
        failed = condition(run, "Failed")
        said = (failed["status"], failed["reason"])
        if said != ("True", "InvalidSpec") or entry["at"] not in failed["message"] or entry["says"] not in failed["message"]:
            wrong[str(entry["set"])] = (*said, failed["message"])
    assert wrong == {}
    assert cluster.jobs() == []


def all_judged(cluster):
    runs = cluster.kube.items(RUNS.format(cluster.namespace))
    return runs if all(condition(run, "Failed") for run in runs) else None
