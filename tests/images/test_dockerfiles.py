"""What every Dockerfile holds to: hadolint's rules, and ours."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted((ROOT / "images").glob("*/Dockerfile"))
ROLES = ("operator", "sampler", "pruner", "trainer")


def text(role: str) -> str:
    return (ROOT / "images" / role / "Dockerfile").read_text(encoding="utf-8")


def stages(role: str) -> dict[str, str]:
    """Return the text of every stage by its name; one without a name is the final one."""
    parts = re.split(r"^FROM ", text(role), flags=re.MULTILINE)[1:]
    named = [(re.match(r"\S+(?: AS (\S+))?", part), part) for part in parts]
    return {(found.group(1) if found and found.group(1) else "final"): part for found, part in named}


def finals(role: str) -> list[str]:
    """Return the stages that become images."""
    return [part for name, part in stages(role).items() if name in {"cpu", "cuda", "final"}]


def test_hadolint_has_nothing_to_say():
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert hadolint, "hadolint is not installed; run: make check"
    assert len(DOCKERFILES) == 6
    done = subprocess.run([hadolint, "--no-color", *map(str, DOCKERFILES)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("role", ROLES)
def test_every_image_says_what_it_is(role: str):
    labels = {"title", "description", "version", "revision", "source", "licenses"}
    assert finals(role)
    for stage in finals(role):
        assert set(re.findall(r"org\.opencontainers\.image\.(\w+)=", stage)) == labels
        assert f'title="tpt-{role}"' in stage


@pytest.mark.parametrize("role", [*ROLES, "cpu-stack"])
def test_every_base_is_an_argument_with_a_pinned_default(role: str):
    own = set(stages(role))
    froms = re.findall(r"^FROM (\S+)", text(role), re.MULTILINE)
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", text(role), re.MULTILINE))
    bases = {name for name in froms if name not in own}
    assert bases
    for base in bases:
        name = base.removeprefix("${").removesuffix("}")
        assert re.search(r":v?\d+\.\d+\.\d+", defaults[name]), f"{role}: {name} is not pinned"


@pytest.mark.parametrize("role", ["cpu-stack", "operator", "sampler", "pruner", "trainer"])
def test_images_run_as_a_numeric_user_that_has_a_name(role: str):
    last = stages(role).get("cuda") or stages(role)["final"]
    assert re.findall(r"^USER (.+)$", last, re.MULTILINE) == ["10001:10001"]
    assert "HOME=/var/lib/tpt USER=tpt" in last
    assert "useradd --uid 10001 --gid 10001" in stages(role)["user"]


@pytest.mark.parametrize("role", ["cpu-stack", "operator", "pruner"])
def test_the_projects_code_comes_after_all_that_is_heavy(role: str):
    heavy, light = stages(role)["dependencies"], stages(role)["project"]
    assert "tpt_runtime" not in heavy
    assert light.startswith("dependencies AS project")
    assert "COPY tpt_runtime tpt_runtime" in light
    last = stages(role).get("cuda") or stages(role)["final"]
    assert last.index("--from=dependencies") < last.index("--from=project")


def test_the_user_of_the_images_is_in_the_group_that_volumes_are_made_writable_for():
    from tpt_operator.pods import GROUP

    assert f"groupadd --gid {GROUP} " in text("cpu-stack")
