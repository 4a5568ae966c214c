"""`tpt fetch` and `tpt report`, from an object store, from a claim and from a work folder."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.object_store import Bucket, Wire, refusal
from tests.steps.stored import BELOW
from tests.tpt_viewer.conftest import BEST, Scene
from tpt_runtime.artifacts.files import write_json
from tpt_runtime.artifacts.manifest import write_manifest
from tpt_runtime.core.errors import ArtifactError, ConfigurationError, StepFailed
from tpt_runtime.core.status import RunStatus
from tpt_runtime.finalize.gather import gather
from tpt_runtime.local.workdir import Workdir
from tpt_runtime.local.yamltext import yaml_text
from tpt_viewer import fetch, report
from tpt_viewer.artifacts import opened
from tpt_viewer.copying import copy_best
from tpt_viewer.places import FolderPlace


def record(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "report.json").read_text()))


def expected(scene: Scene) -> dict[str, Any]:
    """Return the report that the local runner would write of the same artifacts."""
    config = scene.commands.finalize(3, 1, best_round=BEST, status={})
    told = gather(config).model_copy(update={"namespace": "team"}).full_wire()
    del told["settings"]  # they say where the artifacts are
    return told


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("home", ["scene", "stored"])
class TestWhereverItLies:
    @pytest.fixture
    def run(self, home: str, request: pytest.FixtureRequest) -> Scene:
        scene: Scene = request.getfixturevalue(home)
        return scene

    def test_the_report_is_that_of_the_local_runner(self, run: Scene, tmp_path: Path) -> None:
        with opened(run.place, tmp_path / "cache") as artifacts:
            artifacts.write_report(tmp_path / "out")
        found = record(tmp_path / "out")
        assert found.pop("settings")["pruning"] == {"minExamples": 1}
        assert found == expected(run)
        assert sorted(files(tmp_path / "out")) == ["MODEL_CARD.md", "report.html", "report.json"]

    def test_the_best_model_and_the_report_are_copied(self, run: Scene, tmp_path: Path) -> None:
        copied = copy_best(run.place, tmp_path / "out")
        assert copied.model is not None
        assert files(copied.model) == files(run.best)
        assert files(copied.model)["model.safetensors"] == b"model 2"
        assert record(copied.report)["bestRound"] == BEST
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["fetched.json", "model", "report"]

    def test_a_better_model_takes_the_place_of_the_one_before_and_leaves_nothing_of_it(self, run: Scene, tmp_path: Path) -> None:
        copy_best(run.place, tmp_path / "out")
        run.item["status"] |= {"bestRound": 3, "bestModel": run.commands.paths.model_dir(3)}
        copied = copy_best(run.place, tmp_path / "out")
        assert copied.model is not None
        assert files(copied.model) == {"model.safetensors": b"model 3"}

    def test_a_run_without_a_model_of_its_own_has_its_report_copied(self, run: Scene, tmp_path: Path) -> None:
        run.item["status"] |= {"bestRound": 0, "bestModel": run.commands.paths.model_dir(0)}
        copied = copy_best(run.place, tmp_path / "out")
        assert copied.model is None
        assert (copied.report / "report.html").is_file()


def test_what_is_here_already_is_not_fetched_again(stored: Scene, wire: Wire, tmp_path: Path) -> None:
    copy_best(stored.place, tmp_path / "out")
    wire.seen.clear()
    copied = copy_best(stored.place, tmp_path / "out")
    assert copied.model is not None
    assert files(copied.model) == files(stored.best)
    assert not [name for name in wire.gets() if "/model/" in name]


def test_a_copy_that_was_cut_off_goes_on_where_it_was(stored: Scene, wire: Wire, tmp_path: Path) -> None:
    wire.rule = lambda request: refusal(500, "InternalError") if request.name.endswith("/model.safetensors") else None
    with pytest.raises(StepFailed):
        copy_best(stored.place, tmp_path / "out")
    assert not (tmp_path / "out" / "model").exists(), "half a model is none"
    wire.rule = lambda request: None
    wire.seen.clear()
    assert copy_best(stored.place, tmp_path / "out").model is not None
    assert [name.rpartition("/")[2] for name in wire.gets() if "/model/" in name] == ["model.safetensors"]


def test_a_finished_runs_own_report_is_taken(scene: Scene, tmp_path: Path) -> None:
    config = scene.commands.finalize(3, 1, best_round=BEST, status={})
    home = scene.root / config.path
    home.mkdir()
    (home / "report.html").write_text("as it ended")
    write_manifest(home, config.digest, summary={})
    with opened(scene.place, tmp_path / "cache") as artifacts:
        artifacts.write_report(tmp_path / "out")
    assert files(tmp_path / "out") == {"report.html": b"as it ended"}
    assert not [name for name in scene.cluster.asked if "chunk" in name]


class TestDamage:
    def test_an_object_that_is_not_what_its_manifest_says_is_named(self, stored: Scene, bucket: Bucket, tmp_path: Path) -> None:
        name = f"{BELOW}/{stored.commands.paths.model_dir(BEST)}/model.safetensors"
        bucket.put(name, b"model X")
        with pytest.raises(ArtifactError, match=r"model\.safetensors: SHA-256 .* but its manifest says"):
            copy_best(stored.place, tmp_path / "out")
        assert not (tmp_path / "out" / "model").exists()

    def test_a_file_on_the_claim_that_is_not_is_named(self, scene: Scene, tmp_path: Path) -> None:
        (scene.best / "model.safetensors").write_text("model X")
        with pytest.raises(ArtifactError, match=r"round-002/train-\w+/model/model\.safetensors: is not what its manifest says"):
            copy_best(scene.place, tmp_path / "out")
        assert not (tmp_path / "out" / "model").exists()
        assert scene.cluster.pods[-1] == {"deleted": True}

    def test_an_archive_that_is_cut_off_is_told(self, scene: Scene, tmp_path: Path) -> None:
        scene.cluster.damage = lambda data: data[:700]
        with pytest.raises(StepFailed, match="came damaged"):
            copy_best(scene.place, tmp_path / "out")

    @pytest.mark.parametrize("name", ["/etc/passwd", "../../elsewhere"])
    def test_nothing_is_written_outside_the_cache(self, name: str, scene: Scene, tmp_path: Path) -> None:
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as archive:
            archive.addfile(tarfile.TarInfo(name))
        scene.cluster.damage = lambda data: made.getvalue()
        with pytest.raises(StepFailed, match="outside the run's folder"):
            copy_best(scene.place, tmp_path / "out")


class TestWhatIsNotReplaced:
    @pytest.mark.parametrize("name", ["model", "report"])
    def test_a_folder_that_somebody_else_made_stays(self, name: str, scene: Scene, tmp_path: Path) -> None:
        mine = tmp_path / "out" / name / "mine"
        mine.parent.mkdir(parents=True)
        mine.touch()
        with pytest.raises(ConfigurationError, match=rf"out: has a {name}/ of its own, which is not replaced"):
            copy_best(scene.place, tmp_path / "out")
        assert mine.exists()
        assert scene.cluster.pods == []

    def test_what_was_fetched_of_another_run_stays(self, scene: Scene, tmp_path: Path) -> None:
        copy_best(scene.place, tmp_path / "out")
        write_json(tmp_path / "out" / "fetched.json", {"run": "team/other", "round": 1})
        with pytest.raises(ConfigurationError, match="holds what was fetched of team/other"):
            copy_best(scene.place, tmp_path / "out")


def test_keys_that_are_refused_are_told_with_where_they_come_from(stored: Scene, wire: Wire, tmp_path: Path) -> None:
    wire.rule = lambda request: refusal(403, "AccessDenied")
    with pytest.raises(ConfigurationError, match=r"access refused .* with the AWS_\* variables or the identity of this machine"):
        copy_best(stored.place, tmp_path / "out")


class TestWorkFolder:
    @pytest.fixture
    def folder(self, scene: Scene, tmp_path: Path) -> Path:
        work = Workdir(tmp_path)  # its artifacts are the scene's
        work.resource.write_text(yaml_text({name: scene.item[name] for name in ("apiVersion", "kind", "metadata", "spec")}))
        work.write_status(RunStatus.from_wire(scene.item["status"]))
        return tmp_path

    def test_the_best_model_and_a_report_are_copied(self, folder: Path, scene: Scene) -> None:
        result = CliRunner().invoke(fetch.command, [str(folder), "--output", str(folder / "out")])
        assert result.exit_code == 0, result.output
        assert f"best model, round 2: {folder}/out/model\n" in result.stdout
        assert files(folder / "out" / "model") == files(scene.best)
        assert (folder / "out" / "report" / "report.html").is_file()

    def test_a_model_that_was_edited_is_not_handed_out(self, folder: Path, scene: Scene) -> None:
        (scene.best / "model.safetensors").write_text("model X")
        with pytest.raises(ArtifactError, match=r"model\.safetensors: missing, or not what the run has written"):
            copy_best(FolderPlace(folder), folder / "out")

    def test_its_report_is_written_beside_it(self, folder: Path) -> None:
        result = CliRunner().invoke(report.command, [str(folder)])
        assert result.exit_code == 0, result.output
        assert result.stdout.endswith(f"report: {folder}/report/report.html\n")
        assert record(folder / "report")["bestRound"] == BEST
