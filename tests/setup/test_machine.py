"""What the set-up reads from the texts that a system shows of itself."""

import sys
from pathlib import Path

import pytest

from tpt_runtime.setup import machine

CPUINFO = """\
processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R)
flags\t\t: fpu sse4_2 avx avx2 fma
bugs\t\t: spectre_v1

processor\t: 1
flags\t\t: fpu
"""
ARM_CPUINFO = "processor\t: 0\nFeatures\t: fp asimd sve\n"
MEMINFO = "MemTotal:       24689764 kB\nMemFree:        1 kB\n"
UBUNTU = 'NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n'
ROCKY = 'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\n'


def test_the_features_of_the_first_processor_are_read():
    assert machine.cpu_flags(CPUINFO) == {"fpu", "sse4_2", "avx", "avx2", "fma"}


def test_the_features_of_an_arm_processor_are_read():
    assert machine.cpu_flags(ARM_CPUINFO) == {"fp", "asimd", "sve"}


def test_a_system_without_cpuinfo_has_no_known_features():
    assert machine.cpu_flags("") == frozenset()


def test_memory_is_what_the_kernel_says_in_bytes():
    assert machine.memory(MEMINFO) == 24689764 * 1024


def test_a_container_has_the_memory_of_its_limit():
    assert machine.memory(MEMINFO, ("4294967296\n",)) == 4 * 1024**3


def test_a_limit_above_the_machine_and_an_unlimited_one_change_nothing():
    assert machine.memory(MEMINFO, ("max\n", "99999999999999\n", "")) == 24689764 * 1024


def test_a_distribution_knows_its_relatives():
    assert machine.distribution(UBUNTU) == {"ubuntu", "debian"}
    assert machine.distribution(ROCKY) == {"rocky", "rhel", "centos", "fedora"}


def test_apple_and_linux_name_the_same_architecture_alike():
    assert machine.architecture("arm64") == machine.architecture("aarch64") == "aarch64"
    assert machine.architecture("AMD64") == machine.architecture("x86_64") == "x86_64"


def test_the_python_of_an_environment_is_read_from_its_configuration():
    assert machine.environment_python("home = /usr/bin\nversion = 3.12.1\n") == (3, 12)
    assert machine.environment_python("") is None


def test_this_machine_can_be_looked_at(tmp_path: Path):
    found = machine.look(tmp_path)
    assert found.python == sys.version_info[:2]
    assert found.memory > 0
    assert found.disk > 0
    assert found.environment_python is None


def test_a_half_made_environment_counts_as_none(tmp_path: Path):
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "pyvenv.cfg").write_text("version = 3.11.7\n")
    assert machine.look(tmp_path).environment_python is None


def test_an_environment_with_pip_is_seen(tmp_path: Path):
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "pip").touch()
    (tmp_path / ".venv" / "pyvenv.cfg").write_text("version = 3.11.7\n")
    assert machine.look(tmp_path).environment_python == (3, 11)


def test_what_was_unpacked_for_tests_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.look(tmp_path).tools.isdisjoint(machine.TEST_TOOLS)
    for name in machine.TEST_TOOLS:
        program = tmp_path / ".venv" / name / "usr" / "bin" / name
        program.parent.mkdir(parents=True)
        program.touch(mode=0o755)
    assert machine.look(tmp_path).tools.issuperset(machine.TEST_TOOLS)
