"""A demonstration's folder: made once, found again, never mixed with something else."""

from pathlib import Path

import pytest

from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.demo.folder import MADE_FROM, write_once

SETTINGS = {"kind": "test", "seed": 0}


class Maker:
    """Makes a folder's content and counts how often."""

    def __init__(self, dies: bool = False) -> None:
        self.calls = 0
        self.dies = dies
        self.said: list[str] = []

    def __call__(self, target: Path) -> None:
        self.calls += 1
        for name in ("data/train.jsonl", "model/config.json"):
            (target / name).parent.mkdir()
            (target / name).write_text(f"{name}\n")
            if self.dies:
                raise KeyboardInterrupt

    def write(self, folder: Path, **settings: object) -> None:
        write_once(folder, SETTINGS | settings, self, self.said.append)


def content(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_filled_and_nothing_is_left_lying_about(tmp_path: Path) -> None:
    Maker().write(tmp_path / "new" / "run")
    assert sorted(content(tmp_path / "new" / "run")) == ["data/train.jsonl", MADE_FROM, "model/config.json"]
    assert sorted(path.name for path in (tmp_path / "new" / "run").iterdir()) == ["data", MADE_FROM, "model"]


def test_what_is_complete_is_not_made_again(tmp_path: Path) -> None:
    maker = Maker()
    maker.write(tmp_path)
    before = content(tmp_path)
    maker.write(tmp_path)
    assert maker.calls == 1
    assert maker.said == [f"{tmp_path}: model and data are there already"]
    assert content(tmp_path) == before


def test_an_interrupted_attempt_leaves_nothing_that_looks_complete_and_is_made_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        Maker(dies=True).write(tmp_path)
    assert not (tmp_path / "data").exists()
    maker = Maker()
    maker.write(tmp_path)
    assert sorted(content(tmp_path)) == ["data/train.jsonl", MADE_FROM, "model/config.json"]


@pytest.mark.parametrize("harm", ["truncated", "deleted"])
def test_a_file_that_is_no_longer_whole_is_made_again_and_said(tmp_path: Path, harm: str) -> None:
    maker = Maker()
    maker.write(tmp_path)
    before = content(tmp_path)
    file = tmp_path / "model" / "config.json"
    file.write_text("x") if harm == "truncated" else file.unlink()
    maker.write(tmp_path)
    assert maker.calls == 2
    assert str(file) in maker.said[0]
    assert content(tmp_path) | {MADE_FROM: ""} == before | {MADE_FROM: ""}


def test_other_settings_do_not_replace_what_rounds_may_have_begun_with(tmp_path: Path) -> None:
    Maker().write(tmp_path)
    before, other = content(tmp_path), Maker()
    with pytest.raises(ConfigurationError, match=r"other settings.*'seed': 0.*another folder"):
        other.write(tmp_path, seed=1)
    assert (other.calls, content(tmp_path)) == (0, before)


@pytest.mark.parametrize("name", ["data", "model"])
def test_what_somebody_else_put_there_is_not_touched(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine").write_text("mine")
    maker = Maker()
    with pytest.raises(ConfigurationError, match=f"{name}: is there already, but without {MADE_FROM}"):
        maker.write(tmp_path)
    assert (maker.calls, content(tmp_path)) == (0, {f"{name}/mine": "mine"})


def test_the_rounds_of_a_run_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "round-001").mkdir()
    (tmp_path / "round-001" / "manifest.json").write_text("{}")
    Maker().write(tmp_path)
    assert content(tmp_path)["round-001/manifest.json"] == "{}"
