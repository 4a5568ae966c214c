"""What a reconcile asks of the API server, and in which order: no more than is needed, and never less than is safe."""

import asyncio
import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest

from tests.core.corpus import BASE, patched
from tests.tpt_operator.memory import Memory
from tests.tpt_operator.runs import IMAGES
from tpt_operator.api import ApiError
from tpt_operator.apply import Stale
from tpt_operator.cache import Cache, RunKey, run_view
from tpt_operator.metrics import Measures
from tpt_operator.progress import Listener
from tpt_operator.reconcile import Reconciler
from tpt_operator.settings import Settings
from tpt_operator.views import job_view, pod_view

KEY = RunKey("team", "example")
RUN = "/apis/tpt.dev/v1alpha1/namespaces/team/selfimprovementruns/example"
JOBS = "/apis/batch/v1/namespaces/team/jobs"
NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
SETTINGS = Settings(images=IMAGES)
SAID = {"step": "prepare", "digest": "0", "resolved": {"counts": {"train": 10}}}


Found = TypeVar("Found")


def known(view: Found | None) -> Found:
    assert view is not None
    return view


class Desk:
    """One run in memory, and an operator that looks at it when told to."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        self.api, self.now, self._settings = Memory(), NOW, settings
        self.again: float | None = None
        """Seconds after which the last look asked for another one."""
        self.made = patched(dict(BASE), {"metadata": {"name": "example", "namespace": "team", "uid": "u", "generation": 1}})
        self.api.put(RUN, self.made)
        self.begin()

    def begin(self) -> None:
        """Be an operator that was just started, and has listed everything."""
        self.cache = Cache()
        self._reconciler = Reconciler(self.api, self.cache, self._settings, self._listener(), lambda: self.now)
        self.watch()

    def _listener(self) -> Listener:
        return Listener(self.cache, 30.0, lambda key: None, Measures().unanswered)

    def watch(self) -> None:
        """Hear of all changes."""
        self.cache.runs.put(run_view(self.api.objects[RUN]))
        for job in self.jobs():
            self.cache.jobs.put(known(job_view(job)))

    def look(self) -> list[str]:
        """Reconcile; return what was asked."""
        self.api.asked.clear()
        self.again = asyncio.run(self._reconciler.reconcile(KEY))
        return list(self.api.asked)

    def jobs(self) -> list[dict]:
        return [item for path, item in self.api.objects.items() if path.startswith(f"{JOBS}/")]

    def end(self, said: dict) -> None:
        """Have the Job made last complete, and its pod hand in a summary; the watches tell of both."""
        job = self.jobs()[-1]
        ended = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:01:00Z"}
        job["status"] = {"succeeded": 1, "conditions": [ended]}
        state = {"terminated": {"exitCode": 0, "message": json.dumps(said), "startedAt": "2026-01-01T00:00:59Z"}}
        self.show_pod({"phase": "Succeeded", "containerStatuses": [{"name": "step", "state": state}]})
        self.api.put(f"{JOBS}/{job['metadata']['name']}", job)
        self.watch()

    def show_pod(self, status: dict) -> None:
        """Have the pod of the Job made last be so; the watch of pods tells of it."""
        job = self.jobs()[-1]
        labels = job["spec"]["template"]["metadata"]["labels"] | {"batch.kubernetes.io/job-name": job["metadata"]["name"]}
        name = f"{job['metadata']['name']}-x"
        metadata = {"name": name, "namespace": "team", "labels": labels}
        made = self.api.put(f"/api/v1/namespaces/team/pods/{name}", {"metadata": metadata, "status": status})
        self.cache.pods.put(known(pod_view(made)))

    def list(self) -> None:
        """List everything, runs first."""
        self.watch()
        self._reconciler.listed(list(self.cache.runs))

    def lose_sight(self) -> None:
        """Be as if the watch of Jobs had not told of any yet."""
        for job in self.jobs():
            self.cache.jobs.remove(known(job_view(job)))

    def say(self, message: str) -> None:
        """Have the Job controller say of the Job made last why it has no pod."""
        about = {"kind": "Job", "name": self.jobs()[-1]["metadata"]["name"]}
        said = {"metadata": {"name": "said"}, "involvedObject": about, "reason": "FailedCreate", "message": message}
        self.api.put("/api/v1/namespaces/team/events/said", said)

    def record(self) -> dict:
        """Return what the status remembers of prepare."""
        record: dict
        (record,) = self.api.objects[RUN]["status"]["rounds"][0]["steps"]
        return record


@pytest.fixture
def desk():
    return Desk()


DRY = ["POST jobs?dryRun"] * 3
STATUS, MAKE, RELEASE, EVENT = "PUT selfimprovementruns/status", "POST jobs", "PATCH jobs", "POST events"


def test_a_run_begins_with_a_rehearsal_a_look_at_its_jobs_and_its_policies(desk):
    assert desk.look() == [*DRY, STATUS, "GET jobs", "PATCH networkpolicies", MAKE, EVENT]


def test_an_operator_that_is_told_to_make_no_policies_makes_none():
    desk = Desk(replace(SETTINGS, network_policies=False))
    assert desk.look() == [*DRY, STATUS, "GET jobs", MAKE, EVENT]


def test_a_hand_off_is_three_writes_and_no_read_and_the_next_job_comes_second(desk):
    desk.look()
    desk.end(SAID)
    assert desk.look() == [STATUS, MAKE, RELEASE, EVENT, EVENT]
    assert [job["metadata"]["labels"]["tpt.dev/step"] for job in desk.jobs()] == ["prepare", "sample"]


def test_when_nothing_has_changed_nothing_is_asked(desk):
    desk.look()
    desk.watch()
    assert desk.look() == []


def test_what_the_list_of_everything_has_told_is_not_asked_again(desk):
    desk.look()
    desk.begin()
    desk.list()
    desk.end(SAID)
    assert desk.look() == [STATUS, "PATCH networkpolicies", MAKE, RELEASE, EVENT, EVENT]


def test_what_somebody_has_written_since_the_list_of_everything_has_the_jobs_listed(desk):
    desk.look()
    desk.begin()
    desk.list()
    desk.api.put(RUN, desk.api.objects[RUN] | {"spec": desk.api.objects[RUN]["spec"] | {"maxRounds": 9}})
    desk.end(SAID)
    assert desk.look() == [STATUS, "GET jobs", "PATCH networkpolicies", MAKE, RELEASE, EVENT, EVENT]


def test_after_a_restart_the_jobs_are_listed_before_one_is_made_and_nothing_is_rehearsed_again(desk):
    desk.look()
    desk.begin()
    desk.end(SAID)
    assert desk.look() == [STATUS, "GET jobs", "PATCH networkpolicies", MAKE, RELEASE, EVENT, EVENT]


def test_once_somebody_else_has_changed_the_run_its_jobs_are_listed_again(desk):
    desk.look()
    changed = desk.api.objects[RUN]
    changed["metadata"]["labels"] = {"team": "a"}
    desk.api.put(RUN, changed)
    desk.end(SAID)
    assert desk.look() == [STATUS, "GET jobs", MAKE, RELEASE, EVENT, EVENT]


def test_a_job_of_another_attempt_that_was_not_seen_is_found_where_the_status_was_lost(desk):
    desk.look()
    (job,) = desk.jobs()
    other = patched(job, {"metadata": {"name": "other", "labels": {"tpt.dev/attempt": "2"}}})
    del desk.api.objects[f"{JOBS}/{job['metadata']['name']}"]
    desk.cache.jobs.remove(job_view(job))
    desk.api.put(f"{JOBS}/other", other)
    lost = desk.api.objects[RUN]
    del lost["status"]
    desk.cache.runs.put(run_view(desk.api.put(RUN, lost)))
    with pytest.raises(Stale, match="another Job of prepare is there: other"):
        desk.look()
    assert MAKE not in desk.api.asked


def test_a_job_that_is_not_seen_is_made_again_after_a_live_look_at_the_run_and_is_no_twin(desk):
    desk.look()
    desk.cache.jobs.remove(job_view(desk.jobs()[0]))
    assert desk.look() == ["GET selfimprovementruns", MAKE, "GET jobs"]
    assert len(desk.jobs()) == 1
    assert desk.look() == []


def test_a_pod_of_a_job_that_another_operator_has_just_made_is_seen_before_the_job_and_ends_no_attempt(desk):
    desk.look()
    desk.lose_sight()
    desk.show_pod({"phase": "Pending"})
    assert desk.look() == ["GET jobs"]
    assert (desk.record()["attempts"], desk.record().get("ended", 0)) == (1, 0)
    assert desk.look() == []
    desk.end(SAID)
    desk.look()
    assert [job["metadata"]["labels"]["tpt.dev/step"] for job in desk.jobs()] == ["prepare", "sample"]


def test_pods_whose_job_is_gone_for_certain_end_the_attempt_and_nothing_is_started_beside_them(desk):
    desk.look()
    desk.show_pod({"phase": "Running"})
    desk.lose_sight()
    for job in desk.jobs():
        del desk.api.objects[f"{JOBS}/{job['metadata']['name']}"]
    assert desk.look() == ["GET jobs", STATUS, EVENT]
    assert (desk.record()["attempts"], desk.record()["ended"], desk.record()["disruptions"]) == (1, 1, 1)
    assert desk.jobs() == []


def test_a_run_that_has_changed_since_it_was_seen_is_not_carried_on(desk):
    desk.look()
    (job,) = desk.jobs()
    desk.cache.jobs.remove(job_view(job))
    del desk.api.objects[f"{JOBS}/{job['metadata']['name']}"]
    desk.api.put(RUN, desk.api.objects[RUN])
    with pytest.raises(Stale, match="has changed"):
        desk.look()
    assert desk.jobs() == []


def test_a_job_of_which_nothing_more_is_heard_is_looked_at_until_it_is_known_why(desk):
    desk.look()
    seconds = 0.0
    while "GET events" not in desk.api.asked:
        seconds += known(desk.again)
        desk.now = NOW + timedelta(seconds=seconds)
        desk.look()
    assert seconds == 4.0, "five seconds after the Job was made"


def test_events_that_do_not_say_yet_why_there_is_no_pod_are_asked_soon_again_and_then_less_often(desk):
    desk.look()
    asked_at = []
    for second in range(1, 120):
        desk.now = NOW + timedelta(seconds=second)
        if "GET events" in desk.look():
            asked_at.append(second)
    assert asked_at == [4, 9, 14, 24, 44, 84]


def test_a_job_that_waits_for_long_has_its_events_asked_every_five_minutes(desk):
    """A thousand of them ask for three or four lists a second, then."""
    desk.look()
    desk.say("exceeded quota: none")
    asked_at, looks = [], 0
    while desk.now < NOW + timedelta(hours=1):
        desk.now += timedelta(seconds=known(desk.again))
        looks += 1
        if "GET events" in desk.look():
            asked_at.append((desk.now - NOW).total_seconds())
    assert asked_at[:8] == [4, 34, 64, 124, 244, 484, 784, 1084]
    assert {later - earlier for earlier, later in itertools.pairwise(asked_at[6:])} == {300}
    assert looks == len(asked_at) + 1, "it is looked at for nothing else"


def test_a_job_that_waits_in_a_queue_costs_nothing_while_it_waits(desk):
    desk.look()
    (job,) = desk.jobs()
    held = {"type": "Suspended", "status": "True", "lastTransitionTime": "2026-01-01T00:01:00Z"}
    job = patched(job, {"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "team-a"}}, "spec": {"suspend": True}})
    desk.api.put(f"{JOBS}/{job['metadata']['name']}", {**job, "status": {"conditions": [held]}})
    desk.watch()
    assert desk.look() == [STATUS], "that it waits"
    assert desk.again is None
    desk.now += timedelta(hours=1)
    desk.watch()
    assert (desk.look(), desk.again) == ([], None)


def test_events_that_say_why_there_is_no_pod_are_in_the_condition_and_asked_again_after_half_a_minute(desk):
    desk.look()
    desk.say("exceeded quota: none")
    desk.now = NOW + timedelta(seconds=5)
    assert desk.look() == ["GET events", STATUS]
    conditions = {condition["type"]: condition for condition in desk.api.objects[RUN]["status"]["conditions"]}
    assert "exceeded quota: none" in conditions["ResourcesAvailable"]["message"]
    desk.now += timedelta(seconds=29)
    assert desk.look() == []
    desk.now += timedelta(seconds=1)
    assert desk.look() == ["GET events"]


def test_what_was_found_out_about_a_run_is_forgotten_with_it(desk):
    desk.look()
    desk.now += timedelta(seconds=5)
    assert desk.look() == ["GET events"]
    assert desk.look() == []
    desk.cache.runs.remove(desk.cache.runs.get(*KEY))
    assert desk.look() == []
    desk.watch()
    assert desk.look() == ["GET events"], "what was said of its Job was not forgotten"
    desk.end(SAID)
    assert desk.look() == [STATUS, "GET jobs", "PATCH networkpolicies", MAKE, RELEASE, EVENT, EVENT]


def test_nothing_that_was_found_out_about_a_run_is_taken_for_true_of_the_next_one_of_its_name(desk):
    desk.look()
    desk.api.objects.clear()
    desk.api.put(RUN, patched(desk.made, {"metadata": {"uid": "v"}}))
    desk.cache.jobs.replace([], at=0)
    desk.watch()
    assert desk.look() == [*DRY, STATUS, "GET jobs", "PATCH networkpolicies", MAKE, EVENT]


def test_what_was_heard_of_a_pod_is_forgotten_with_it(desk):
    desk.look()
    desk.show_pod({"phase": "Pending"})
    desk.now += timedelta(seconds=30)
    assert desk.look() == ["GET events"]
    assert desk.look() == []
    (pod,) = desk.cache.pods
    desk.cache.pods.remove(pod)
    assert desk.look() == ["GET events"], "those of the Job"
    desk.cache.pods.put(pod)
    assert desk.look() == ["GET events"], "what was said of the pod was not forgotten"


def test_a_changed_spec_is_rehearsed_before_the_next_step_begins(desk):
    desk.look()
    changed = desk.api.objects[RUN]
    changed["metadata"]["generation"] = 2
    desk.api.put(RUN, changed)
    desk.end(SAID)
    assert desk.look() == [*DRY, STATUS, "GET jobs", MAKE, RELEASE, EVENT, EVENT]


def test_what_was_planned_is_told_even_if_it_could_not_be_carried_out(desk, monkeypatch):
    create = desk.api._create

    def full(place, body):
        if "/jobs/" in place:
            raise ApiError(f"POST {place}", 500, "no room")
        return create(place, body)

    desk.look()
    desk.end(SAID)
    monkeypatch.setattr(desk.api, "_create", full)
    with pytest.raises(ApiError, match="no room"):
        desk.look()
    assert desk.api.asked == [STATUS, MAKE, EVENT, EVENT]
