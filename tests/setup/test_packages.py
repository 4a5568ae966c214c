"""Which system packages the set-up installs itself, and which line it prints where it may not."""

import pytest

from tpt_runtime.setup import packages
from tpt_runtime.setup.machine import CNI
from tpt_runtime.setup.profiles import PROFILES

LOCAL, GPU, DEV, E2E = (PROFILES[name] for name in ("local", "gpu", "dev", "e2e"))
ALL_TOOLS = frozenset(E2E.tools)
NEITHER = {"libnuma": False, "compiler": False}


def test_root_on_debian_installs_by_itself(machine):
    found = machine(root=True, **NEITHER)
    assert packages.may_install(found)
    assert packages.complaints(found, LOCAL) == ()
    assert packages.commands(found, packages.needs(found, LOCAL)) == (
        ("apt-get", "update"),
        ("apt-get", "install", "--yes", "--no-install-recommends", "libnuma1", "g++"),
    )


def test_a_relative_of_debian_is_treated_alike(machine):
    assert packages.may_install(machine(root=True, distribution=frozenset({"ubuntu", "debian"})))
    assert packages.may_install(machine(root=True, distribution=frozenset({"ubuntu"})))


def test_without_root_the_exact_line_is_printed_and_nothing_is_installed(machine):
    found = machine(**NEITHER)
    assert not packages.may_install(found)
    (line,) = packages.complaints(found, LOCAL)
    assert line.endswith("run: sudo apt-get update && sudo apt-get install --yes --no-install-recommends libnuma1 g++")


@pytest.mark.parametrize(
    ("distribution", "said"),
    [
        ({"fedora"}, "run: sudo dnf install --assumeyes numactl-libs gcc-c++"),
        ({"rocky", "rhel", "centos", "fedora"}, "run: sudo dnf install --assumeyes numactl-libs gcc-c++"),
        ({"opensuse-leap", "suse", "opensuse"}, "run: sudo zypper --non-interactive install libnuma1 gcc-c++"),
        ({"arch"}, "run: sudo pacman -S --noconfirm numactl gcc"),
        ({"void"}, "install it with your system's package manager"),
    ],
)
def test_other_distributions_get_their_own_line(machine, distribution, said):
    (line,) = packages.complaints(machine(distribution=frozenset(distribution), **NEITHER), LOCAL)
    assert line.endswith(said)


def test_root_elsewhere_installs_nothing_and_needs_no_sudo(machine):
    found = machine(root=True, distribution=frozenset({"fedora"}), **NEITHER)
    assert not packages.may_install(found)
    (line,) = packages.complaints(found, LOCAL)
    assert line.endswith("run: dnf install --assumeyes numactl-libs gcc-c++")


def test_a_gpu_machine_needs_a_compiler_but_no_libnuma(machine):
    assert packages.needs(machine(**NEITHER), GPU) == (packages.COMPILER,)


def test_without_the_cpu_engine_libnuma_is_not_needed(machine, mac):
    assert packages.needs(machine(architecture="aarch64", **NEITHER), LOCAL) == (packages.COMPILER,)
    assert packages.needs(mac, LOCAL) == ()


def test_the_packages_of_debians_python_follow_its_version(machine):
    found = machine(root=True, python=(3, 13), headers=False, ensurepip=False)
    *_, last = packages.commands(found, packages.needs(found, LOCAL))
    assert last[-2:] == ("python3.13-dev", "python3.13-venv")


def test_what_another_python_lacks_is_not_asked_of_the_distribution(machine):
    found = machine(root=True, system_python=False, headers=False, libnuma=False)
    (line,) = packages.complaints(found, LOCAL)
    assert line.startswith("Python: this interpreter lacks Python's headers")


def test_linters_need_no_compiler(machine):
    assert packages.needs(machine(headers=False, **NEITHER), DEV) == ()
    assert packages.needs(machine(ensurepip=False), DEV) == (packages.VENV,)


def test_when_nothing_is_needed_nothing_is_run(machine):
    assert packages.commands(machine(), ()) == ()


def test_the_programs_of_a_profile_come_from_the_packages_that_have_them(machine):
    found = machine(root=True, tools=ALL_TOOLS - {"nft", CNI})
    *_, last = packages.commands(found, packages.needs(found, E2E))
    assert set(last[-2:]) == {"nftables", "containernetworking-plugins"}
    assert packages.needs(machine(tools=ALL_TOOLS), E2E) == ()
    assert packages.needs(machine(), LOCAL) == ()


def test_every_program_of_a_profile_has_a_package_on_debian(machine):
    found = machine(root=True)
    *_, last = packages.commands(found, packages.needs(found, E2E))
    assert len(last[4:]) == len(E2E.tools) > 5


def test_where_a_programs_package_is_not_known_only_the_program_is_named(machine):
    (line,) = packages.complaints(machine(distribution=frozenset({"fedora"}), tools=ALL_TOOLS - {"runc"}), E2E)
    assert line == "system: runc missing; install it with your system's package manager"
