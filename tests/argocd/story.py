"""What a team and an administrator do with Argo CD, from the first commit to the end, and what was seen on the way.

An older operator is installed; two runs are committed; the operator is upgraded while one of them trains; runs are suspended,
resumed, extended by hand and by commits, and mended; a run is removed; at last the operator is.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.argocd.server import APPLICATIONS, Argo, Record, Repository
from tests.chart.helm import CHART
from tests.cluster.conftest import condition, until
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kube import JOBS, PODS, RUNS, Json, Kube, Refused
from tests.cluster.kubelet import DONE, Kubelet, Outcome, label
from tests.core.corpus import BASE, patched
from tpt_runtime.core.crd import FILE, crd

OPERATOR, TEAM = "tpt-system", "team-a"
DEFINITION = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd()['metadata']['name']}"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{OPERATOR}/deployments"
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
FOLLOWED, EXTENDED = "example", "extended-by-hand"
SECONDS = 120.0
REFUSED = Outcome(exit_code=64, message="training.batchSize: too large for these data")

Step = tuple[str, str, int]
"""Of which run, which step, of which round."""


@dataclass
class Seen:
    """What a story has come to."""

    healths: dict[str, tuple[str, str]] = field(default_factory=dict)
    """At which point the Application of the runs was in which health, and in which state of sync."""
    runs: dict[str, Json] = field(default_factory=dict)
    """The followed run at these points."""
    training: list[Json] = field(default_factory=list)
    """The Job of its first training before and after the upgrade."""
    definitions: list[Json] = field(default_factory=list)
    """Before and after the upgrade, and after the operator's removal."""
    operators: list[str] = field(default_factory=list)
    """Versions of the operator, before and after the upgrade."""
    extended: list[Json] = field(default_factory=list)
    """The run whose rounds are raised by hand: then, and after Argo CD has looked at it again."""
    jobs_of_finished: list[int] = field(default_factory=list)
    """How many Jobs had ever been made when the runs were complete, and after Argo CD has looked at them again and again."""
    deleted: list[str] = field(default_factory=list)
    """Of which steps a Job was deleted before those of the finished runs were, by the test."""
    managed: set[tuple[str, str]] = field(default_factory=set)
    """Kind and name of all that Argo CD takes for its own in the namespace of the runs."""
    difference: str = ""
    """What `kubectl diff --server-side` says of the file of a run that is complete."""
    left: dict[str, bool] = field(default_factory=dict)
    """What is there after the operator's removal."""


class Story:
    """One story."""

    def __init__(self, plane: ControlPlane, argo: Argo, kubelet: Kubelet, folder: Path) -> None:
        self.plane, self.argo, self.kubelet, self.kube = plane, argo, kubelet, plane.kube()
        self.platform, self.team = Repository(folder / "platform"), Repository(folder / "experiments")
        self.applications, self.jobs = Record(self.kube, APPLICATIONS), Record(self.kube, JOBS.format(TEAM))
        self.seen = Seen()

    def tell(self, held: dict[Step, Outcome | None]) -> Seen:
        """Tell it; pods of the steps that are `held` run on, or end as it says."""
        self._install()
        held[FOLLOWED, "train", 1] = None
        self._begin()
        self._upgrade()
        held[FOLLOWED, "sample", 2] = None
        self.kubelet.end(self._pod("train", 1))
        self._suspend_and_resume(held)
        self._extend_by_hand()
        self._look_at_what_is_finished()
        held[FOLLOWED, "train", 3] = REFUSED
        self._extend_by_commit(held)
        self._remove_a_run()
        self._remove_the_operator()
        return self.seen

    def _install(self) -> None:
        shutil.copytree(CHART, self.platform.folder / "charts" / "tpt-operator")
        chart = self.platform.folder / "charts" / "tpt-operator"
        older = crd()
        del older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["queue"]
        (chart / "files" / FILE).write_text(yaml.safe_dump(older))
        about = yaml.safe_load((chart / "Chart.yaml").read_text())
        (chart / "Chart.yaml").write_text(yaml.safe_dump(about | {"version": "0.0.9", "appVersion": "0.0.9"}))
        revision = self.platform.commit("Install the operator")
        self.argo.create("operator.yaml", self.platform, OPERATOR)
        self.argo.wait_for_sync("tpt-operator", revision)
        self.argo.wait_for_health("tpt-operator", "Healthy")
        self._note_operator()

    def _begin(self) -> None:
        self._write(FOLLOWED, maxRounds=2)
        self._write(EXTENDED, maxRounds=1)
        revision = self.team.commit("Begin two runs")
        self.argo.create("runs.yaml", self.team, TEAM)
        self.argo.wait_for_sync("tpt-runs", revision)
        self._wait(FOLLOWED, lambda run: (run["status"].get("step"), condition(run, "Running")["status"]) == ("train", "True"))
        self._wait(EXTENDED, lambda run: condition(run, "Complete")["status"] == "True")
        self._note("training")

    def _upgrade(self) -> None:
        self.seen.training.append(self._job("train", 1))
        shutil.copytree(CHART, self.platform.folder / "charts" / "tpt-operator", dirs_exist_ok=True)
        revision = self.platform.commit("Upgrade the operator")
        self.argo.refresh("tpt-operator")
        self.argo.wait_for_sync("tpt-operator", revision)
        self.argo.wait_for_health("tpt-operator", "Healthy")
        self._note_operator()
        self.argo.refresh("tpt-runs")
        self.seen.training.append(self._job("train", 1))
        self._note("upgraded")

    def _suspend_and_resume(self, held: dict[Step, Outcome | None]) -> None:
        self._pod("sample", 2)
        self._change(FOLLOWED, suspend=True)
        self._note("suspended", "Suspended")
        del held[FOLLOWED, "sample", 2]
        self._change(FOLLOWED, suspend=False)
        self._wait(FOLLOWED, lambda run: condition(run, "Complete")["status"] == "True")
        self._note("complete", "Healthy")

    def _extend_by_hand(self) -> None:
        self._change(EXTENDED, maxRounds=2)
        self.seen.extended.append(self._wait(EXTENDED, lambda run: run["status"]["round"] == "2/2" and _complete(run)))
        self.argo.refresh("tpt-runs")
        self.argo.refresh("tpt-runs")
        self.seen.extended.append(self._run(EXTENDED))
        self._note("extended", "Healthy")

    def _look_at_what_is_finished(self) -> None:
        self.seen.jobs_of_finished.append(self._made())
        self.seen.deleted = [label(event["object"], "step") for event in self.jobs.events if event["type"] == "DELETED"]
        for job in self.kube.items(JOBS.format(TEAM)):  # as their time to live does
            self.kube.delete(f"{JOBS.format(TEAM)}/{job['metadata']['name']}", propagationPolicy="Background")
        until(lambda: not self.kube.items(JOBS.format(TEAM)))
        for _ in range(3):
            self.argo.refresh("tpt-runs")
        self._note("finished", "Healthy")
        self.seen.jobs_of_finished.append(self._made())
        self.seen.managed = {(item["kind"], item["name"]) for item in self.argo.get("tpt-runs")["status"]["resources"]}
        self.seen.difference = self._diff(FOLLOWED)

    def _extend_by_commit(self, held: dict[Step, Outcome | None]) -> None:
        self._write(FOLLOWED, maxRounds=3)
        self._follow("One more round")
        self._wait(FOLLOWED, lambda run: condition(run, "Failed")["status"] == "True")
        self._note("failed", "Degraded")
        del held[FOLLOWED, "train", 3]
        self._write(FOLLOWED, maxRounds=3, training={"microBatchSize": 2})
        self._follow("Mend it")
        self._wait(FOLLOWED, _complete)
        self._note("mended", "Healthy")

    def _remove_a_run(self) -> None:
        (self.team.folder / "runs" / f"{EXTENDED}.yaml").unlink()
        self._follow("Remove a run")
        until(lambda: not self._there(f"{RUNS.format(TEAM)}/{EXTENDED}"))

    def _remove_the_operator(self) -> None:
        self.kube.delete(f"{APPLICATIONS}/tpt-operator")
        until(lambda: not self._there(f"{APPLICATIONS}/tpt-operator"), SECONDS)
        paths = {"deployment": f"{DEPLOYMENTS}/tpt-operator", "role": f"{ROLES}/tpt-operator", "definition": DEFINITION}
        self.seen.left = {name: self._there(path) for name, path in paths.items()}
        self.seen.definitions.append(self.kube.get(DEFINITION))
        self.argo.refresh("tpt-runs")
        self._note("without an operator", "Healthy")

    def _write(self, name: str, **spec: Any) -> None:
        made = patched(dict(BASE), {"metadata": {"name": name}, "spec": spec})
        file = self.team.folder / "runs" / f"{name}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(made, indent=2))

    def _follow(self, message: str) -> None:
        revision = self.team.commit(message)
        self.argo.refresh("tpt-runs")
        self.argo.wait_for_sync("tpt-runs", revision)

    def _note(self, point: str, health: str = "Progressing") -> None:
        status = self.argo.wait_for_health("tpt-runs", health)["status"]
        self.argo.refresh("tpt-runs")
        status = self.argo.get("tpt-runs")["status"]
        self.seen.healths[point] = (status["health"]["status"], status["sync"]["status"])
        self.seen.runs[point] = self._run(FOLLOWED)

    def _note_operator(self) -> None:
        self.seen.definitions.append(self.kube.get(DEFINITION))
        deployment = self.kube.get(f"{DEPLOYMENTS}/tpt-operator")
        self.seen.operators.append(deployment["metadata"]["labels"]["app.kubernetes.io/version"])

    def _run(self, name: str) -> Json:
        return self.kube.get(f"{RUNS.format(TEAM)}/{name}")

    def _change(self, name: str, **spec: Any) -> None:
        self.kube.patch(f"{RUNS.format(TEAM)}/{name}", {"spec": spec}, fieldManager="kubectl-edit")

    def _wait(self, name: str, holds: Any) -> Json:
        last: Json = {}
        for event in self.kube.watch(RUNS.format(TEAM), SECONDS, fieldSelector=f"metadata.name={name}"):
            last = event["object"]
            if "status" in last and last["status"].get("observedGeneration") == last["metadata"]["generation"] and holds(last):
                return last
        raise AssertionError(f"{name} is not as expected after {SECONDS:.0f} s: {last.get('status')}")

    def _selector(self, step: str, number: int) -> str:
        return f"tpt.dev/run={FOLLOWED},tpt.dev/step={step},tpt.dev/round={number}"

    def _pod(self, step: str, number: int) -> Json:
        for event in self.kube.watch(PODS.format(TEAM), SECONDS, labelSelector=self._selector(step, number)):
            found: Json = event["object"]
            return found
        raise AssertionError(f"no pod of {step} in round {number} after {SECONDS:.0f} s")

    def _job(self, step: str, number: int) -> Json:
        (found,) = self.kube.items(JOBS.format(TEAM), labelSelector=self._selector(step, number))
        return found

    def _made(self) -> int:
        return len({event["object"]["metadata"]["uid"] for event in self.jobs.events})

    def _there(self, path: str) -> bool:
        try:
            self.kube.get(path)
        except Refused as refused:
            if refused.status != 404:
                raise
            return False
        return True

    def _diff(self, name: str) -> str:
        file = self.team.folder / "runs" / f"{name}.yaml"
        command: list[str | Path] = [self.plane.programs / "kubectl", "--kubeconfig", self.plane.kubeconfig, "--namespace", TEAM]
        command += ["diff", "--server-side", "--filename", file]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return f"{done.returncode}: {done.stdout}{done.stderr}"


def _complete(run: Json) -> bool:
    return bool(condition(run, "Complete").get("status") == "True")


def kubelet(kube: Kube, held: dict[Step, Outcome | None]) -> Kubelet:
    """Return a kubelet for the pods of both runs."""

    def script(pod: Json, _: int) -> Outcome | None:
        return held.get((label(pod, "run"), label(pod, "step"), int(label(pod, "round"))), DONE)

    return Kubelet(kube, TEAM, script)
