"""What the images install of pyproject.toml's extras."""

import tomllib
from pathlib import Path

import pytest

from images.requirements import requirements

ROOT = Path(__file__).parents[2]
PROJECT = {
    "name": "own",
    "dependencies": ["click>=8"],
    "optional-dependencies": {
        "disk": ["pyarrow>=26"],
        "prune": ["own[disk]", "verify>=1"],
        "all": ["own[prune,disk]", "torch==2"],
    },
}


def test_extras_of_extras_are_followed_and_nothing_is_named_twice():
    assert requirements(PROJECT, ["all", "disk"]) == ["click>=8", "pyarrow>=26", "torch==2", "verify>=1"]


def test_an_extra_brings_no_other():
    assert requirements(PROJECT, ["disk"]) == ["click>=8", "pyarrow>=26"]


def test_an_unknown_extra_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"'prun' is not in pyproject\.toml; allowed are all, disk, prune"):
        requirements(PROJECT, ["prun"])


@pytest.mark.parametrize("extra", ["operator", "sampler", "pruner", "trainer", "local"])
def test_the_project_itself_is_not_among_what_it_needs(extra: str):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = requirements(project, [extra])
    assert "click>=8.2,<9" in found
    assert [need for need in found if need.startswith("tpt-operator")] == []
