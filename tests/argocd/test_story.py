"""Runs and their operator in the hands of a real Argo CD, with self-heal and prune on, from the files in examples/argocd."""

import os
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest

from tests.argocd.server import argocd, programs
from tests.argocd.story import EXTENDED, FOLLOWED, OPERATOR, Step, Story, kubelet
from tests.cluster.binaries import find, in_ci
from tests.cluster.control_plane import control_plane
from tests.cluster.kubelet import Outcome
from tests.cluster.processnode import ProcessNode
from tpt_runtime import __version__
from tpt_runtime.core.status import StepName


def the_application_is_as_healthy_as_its_runs_and_synced_at_every_point(story: Story) -> None:
    seen = story.seen
    assert seen.healths == {
        "training": ("Progressing", "Synced"),
        "upgraded": ("Progressing", "Synced"),
        "suspended": ("Suspended", "Synced"),
        "complete": ("Healthy", "Synced"),
        "extended": ("Healthy", "Synced"),
        "finished": ("Healthy", "Synced"),
        "failed": ("Degraded", "Synced"),
        "mended": ("Healthy", "Synced"),
        "without an operator": ("Healthy", "Synced"),
    }


def once_synced_to_a_commit_an_application_stays_so(story: Story) -> None:
    told: dict[tuple[str, str], list[str]] = {}
    for event in story.applications.events:
        app = event["object"]
        sync = app.get("status", {}).get("sync", {})
        if "revision" in sync and "deletionTimestamp" not in app["metadata"]:
            told.setdefault((app["metadata"]["name"], sync["revision"]), []).append(sync["status"])
    assert len(told) == 6
    for place, states in told.items():
        assert [state for state, _ in groupby(states)] in (["OutOfSync", "Synced"], ["Synced"]), place


def the_operator_and_its_definition_are_upgraded_in_the_middle_of_a_run(story: Story) -> None:
    seen = story.seen
    assert seen.operators == ["0.0.9", __version__]
    before, after, _ = (
        item["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] for item in seen.definitions
    )
    assert after["properties"].keys() - before["properties"].keys() == {"queue"}
    older, newer = seen.training
    assert older["metadata"]["uid"] == newer["metadata"]["uid"]
    assert older["metadata"]["generation"] == newer["metadata"]["generation"]
    images = seen.runs["mended"]["status"]["resolved"]["images"]
    assert {image.rpartition(":")[2] for image in images.values()} == {"0.0.9-cpu"}


def no_step_is_ever_done_twice_and_each_attempt_has_its_reason(story: Story) -> None:
    made = {event["object"]["metadata"]["name"]: event["object"] for event in story.jobs.events}
    labels = [{name.removeprefix("tpt.dev/"): text for name, text in job["metadata"]["labels"].items()} for job in made.values()]
    again = [(own["run"], own["step"], own["round"], own["attempt"]) for own in labels if own["attempt"] != "1"]
    suspended, mended = (FOLLOWED, "sample", "2", "2"), (FOLLOWED, "train", "3", "2")
    assert sorted(again) == [suspended, mended]
    assert len(made) == len({event["object"]["metadata"]["uid"] for event in story.jobs.events})
    steps = {record["name"] for entry in story.seen.runs["mended"]["status"]["rounds"] for record in entry["steps"]}
    assert steps == {step.value for step in StepName}


def a_finished_run_is_not_begun_again_though_its_jobs_are_gone(story: Story) -> None:
    seen = story.seen
    before, after = seen.jobs_of_finished
    assert before == after > 0
    assert seen.runs["finished"]["status"] == seen.runs["complete"]["status"]


def argocd_takes_nothing_of_the_operators_for_its_own_and_prunes_nothing_of_it(story: Story) -> None:
    assert story.seen.managed == {("SelfImprovementRun", FOLLOWED), ("SelfImprovementRun", EXTENDED)}
    assert story.seen.deleted == ["sample"], "the one that was suspended"
    for event in story.jobs.events:
        assert not [name for name in event["object"]["metadata"].get("annotations", {}) if "argocd" in name]


def the_file_of_a_complete_run_is_no_different_from_the_run(story: Story) -> None:
    seen = story.seen
    assert seen.difference == "0: "


def what_is_raised_by_hand_stays(story: Story) -> None:
    seen = story.seen
    raised, later = seen.extended
    assert raised["spec"]["maxRounds"] == later["spec"]["maxRounds"] == 2
    assert later["status"]["round"] == "2/2"
    assert raised["metadata"]["generation"] == later["metadata"]["generation"]


def a_commit_that_raises_the_rounds_is_followed_and_one_that_mends_too(story: Story) -> None:
    seen = story.seen
    assert seen.runs["complete"]["status"]["round"] == "2/2"
    assert seen.runs["failed"]["status"]["round"] == "3/3"
    assert seen.runs["mended"]["status"]["phase"] == "Complete"
    assert seen.runs["mended"]["metadata"]["uid"] == seen.runs["training"]["metadata"]["uid"]


def without_its_application_the_operator_is_gone_and_neither_definition_nor_runs(story: Story) -> None:
    seen = story.seen
    assert seen.left == {"deployment": False, "role": False, "definition": True}
    _, upgraded, left = seen.definitions
    assert left["metadata"]["uid"] == upgraded["metadata"]["uid"]
    assert "deletionTimestamp" not in left["metadata"]
    assert seen.runs["without an operator"] == seen.runs["mended"]


SEEN: tuple[Callable[[Story], None], ...] = (
    the_application_is_as_healthy_as_its_runs_and_synced_at_every_point,
    once_synced_to_a_commit_an_application_stays_so,
    the_operator_and_its_definition_are_upgraded_in_the_middle_of_a_run,
    no_step_is_ever_done_twice_and_each_attempt_has_its_reason,
    a_finished_run_is_not_begun_again_though_its_jobs_are_gone,
    argocd_takes_nothing_of_the_operators_for_its_own_and_prunes_nothing_of_it,
    the_file_of_a_complete_run_is_no_different_from_the_run,
    what_is_raised_by_hand_stays,
    a_commit_that_raises_the_rounds_is_followed_and_one_that_mends_too,
    without_its_application_the_operator_is_gone_and_neither_definition_nor_runs,
)


def test_all_that_is_seen_in_a_story_is_right(tmp_path: Path, subtests: pytest.Subtests):
    """It is one test, for a story takes a minute and workers would each tell it."""
    programs()
    folder, why = find(os.environ)
    if why:
        (pytest.fail if in_ci(os.environ) else pytest.skip)(why)
    held: dict[Step, Outcome | None] = {}
    with control_plane(folder, tmp_path / "plane") as plane, argocd(plane, tmp_path / "argocd") as argo:
        kube = plane.kube()
        with kubelet(kube, held) as pods, ProcessNode(plane, OPERATOR, tmp_path / "node"):
            story = Story(plane, argo, pods, tmp_path)
            story.tell(held)
            for right in SEEN:
                with subtests.test(msg=right.__name__):
                    right(story)
