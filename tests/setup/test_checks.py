"""What the set-up says about machines that are fit and machines that are not."""

import pytest

from tpt_runtime.setup import checks
from tpt_runtime.setup.profiles import PROFILES, choose, remark

GIB = 1024**3
GB = 1000**3
LOCAL, GPU, DEV = PROFILES["local"], PROFILES["gpu"], PROFILES["dev"]


def test_a_fit_machine_lacks_nothing(machine):
    assert checks.missing(machine(), LOCAL) == ()
    assert checks.missing(machine(nvidia=True), GPU) == ()


def test_a_mac_lacks_nothing(mac):
    assert checks.missing(mac, LOCAL) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"system": "Windows"}, "system: Windows found; Linux or macOS is needed"),
        ({"architecture": "riscv64"}, "processor: riscv64 found; x86-64 or arm64 is needed"),
        ({"system": "Darwin", "glibc": None}, "processor: an Intel Mac found"),
        ({"cpu_flags": frozenset({"avx"})}, "processor: no AVX2 found"),
        ({"glibc": None}, "system: another C library found; glibc 2.28 is needed"),
        ({"glibc": (2, 27)}, "system: glibc 2.27 found; glibc 2.28 is needed"),
        ({"python": (3, 9)}, "Python: 3.9 found; 3.11 to 3.14 is needed"),
        ({"python": (3, 15)}, "Python: 3.15 found; 3.11 to 3.14 is needed"),
        ({"memory": 4 * GIB}, "memory: 4.0 GiB found; 7 GiB is needed"),
        ({"disk": 3 * GB}, "disk: 3.0 GB free here; 10 GB is needed"),
        ({"environment_python": (3, 12)}, "Python: .venv was made with 3.12, this is 3.11; remove it"),
    ],
)
def test_each_thing_that_is_missing_is_named_in_one_line(machine, changes, said):
    (line,) = checks.missing(machine(**changes), LOCAL)
    assert line.startswith(said)
    assert "\n" not in line


def test_everything_that_is_missing_is_said_at_once(machine):
    poor = machine(cpu_flags=frozenset(), glibc=(2, 17), python=(3, 8), memory=GIB, disk=GB, libnuma=False, compiler=False)
    lines = checks.missing(poor, LOCAL)
    assert [line.partition(":")[0] for line in lines] == [
        "system", "processor", "Python", "memory", "disk", "system",
    ]  # fmt: skip
    assert "libnuma1 g++" in lines[-1]


@pytest.mark.parametrize("edge", [(3, 11), (3, 14)])
def test_the_first_and_the_last_supported_python_are_accepted(machine, edge):
    assert checks.missing(machine(python=edge), LOCAL) == ()


def test_another_python_that_would_do_is_named(machine):
    (line,) = checks.missing(machine(python=(3, 9), other_pythons=("python3.12", "python3.11")), LOCAL)
    assert line.endswith("PYTHON=python3.12")


def test_an_arm_machine_needs_no_avx2(machine):
    assert checks.missing(machine(architecture="aarch64", cpu_flags=frozenset()), LOCAL) == ()


def test_a_gpu_machine_needs_no_avx2(machine):
    assert checks.missing(machine(nvidia=True, cpu_flags=frozenset()), GPU) == ()


def test_the_gpu_profile_needs_a_gpu(machine):
    (line,) = checks.missing(machine(), GPU)
    assert line.startswith("GPU: nvidia-smi does not answer")


def test_linters_and_fast_tests_need_little(machine):
    small = machine(cpu_flags=frozenset(), memory=2 * GIB, disk=3 * GB, libnuma=False, compiler=False)
    assert checks.missing(small, DEV) == ()


def test_free_disk_does_not_matter_once_everything_is_installed(machine):
    assert checks.missing(machine(disk=GB), LOCAL, installs=False) == ()


def test_a_machine_whose_gpu_answers_gets_the_gpu_profile(machine):
    assert choose(None, machine(nvidia=True)) is GPU
    assert choose(None, machine()) is LOCAL


def test_the_profile_that_was_asked_for_wins(machine):
    assert choose("dev", machine(nvidia=True)) is DEV
    assert choose("local", machine(nvidia=True)) is LOCAL


def test_where_vllm_has_no_wheel_the_user_is_told_what_is_used_instead(machine, mac):
    for other in (mac, machine(architecture="aarch64")):
        assert "the Transformers engine and plain training will be used" in (remark(other, LOCAL) or "")


def test_where_vllm_has_a_wheel_there_is_nothing_to_tell(machine):
    assert remark(machine(), LOCAL) is None
    assert remark(machine(architecture="aarch64"), GPU) is None


def test_a_node_of_a_cluster_needs_linux(machine, mac):
    assert any("a node of a cluster needs Linux" in line for line in checks.missing(mac, PROFILES["e2e"]))
    assert checks.missing(machine(root=True), PROFILES["e2e"]) == ()
