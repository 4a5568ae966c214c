"""Which GPUs there are, and who gets which."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.spec import Spec
from tpt_runtime.core.status import StepName
from tpt_runtime.local.devices import Place, check_gpus, places, visible_gpus

MakeRun = Callable[..., Any]


@pytest.fixture
def spec(make_run: MakeRun) -> Callable[..., Spec]:
    return lambda **sections: make_run(**sections).spec


def smi(folder: Path, script: str) -> dict[str, str]:
    """Return an environment whose nvidia-smi is `script`."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": str(folder)}


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0", ("0",)), ("2, 3", ("2", "3")), ("GPU-a1,MIG-b2", ("GPU-a1", "MIG-b2")), ("", ()), ("-1", ()), ("0,-1", ())],
)
def test_the_variable_says_which_gpus_are_ours(value: str, expected: tuple[str, ...]) -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": value}) == expected


def test_without_the_variable_nvidia_smi_is_asked(tmp_path: Path) -> None:
    assert visible_gpus(smi(tmp_path, "echo 0; echo 1")) == ("0", "1")


def test_a_driver_that_does_not_answer_means_no_gpus(tmp_path: Path) -> None:
    assert visible_gpus(smi(tmp_path, "echo 'no devices were found'; exit 6")) == ()


def test_a_machine_without_nvidia_smi_has_no_gpus(tmp_path: Path) -> None:
    assert visible_gpus({"PATH": str(tmp_path)}) == ()


def test_a_program_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    environment = smi(tmp_path, "")
    (tmp_path / "nvidia-smi").write_bytes(b"\x7fELF no program")
    with pytest.raises(ConfigurationError, match="set CUDA_VISIBLE_DEVICES"):
        visible_gpus(environment)


class TestPlaces:
    def test_without_gpus_shards_take_turns(self, spec: Callable[..., Spec]) -> None:
        assert places(StepName.SAMPLE, spec(sampling={"shards": 4}), ()) == (Place(None),)

    @pytest.mark.parametrize("step", [StepName.SAMPLE, StepName.EVALUATE])
    def test_every_group_of_gpus_is_a_place(self, step: StepName, spec: Callable[..., Spec]) -> None:
        found = places(step, spec(sampling={"tensorParallelSize": 2}), ("0", "1", "2", "3", "4"))
        assert found == (Place(("0", "1")), Place(("2", "3")))

    def test_training_is_one_place_with_a_gpu_a_process(self, spec: Callable[..., Spec]) -> None:
        assert places(StepName.TRAIN, spec(training={"processesPerNode": 2}), ("4", "5", "6")) == (Place(("4", "5")),)

    @pytest.mark.parametrize("step", [StepName.PREPARE, StepName.PRUNE, StepName.GRADE, StepName.FINALIZE])
    def test_other_steps_are_told_nothing_about_gpus(self, step: StepName, spec: Callable[..., Spec]) -> None:
        assert places(step, spec(), ("0", "1")) == (Place(None),)

    def test_a_place_without_gpus_changes_no_variable(self) -> None:
        assert Place(None).environment == {}
        assert Place(("1", "3")).environment == {"CUDA_VISIBLE_DEVICES": "1,3"}


class TestTooManyGpus:
    def test_what_fits_passes(self, spec: Callable[..., Spec]) -> None:
        check_gpus(spec(sampling={"tensorParallelSize": 2}, training={"processesPerNode": 2}), ("0", "1"))

    def test_a_machine_without_gpus_is_not_counted(self, spec: Callable[..., Spec]) -> None:
        check_gpus(spec(training={"processesPerNode": 2}), ())

    @pytest.mark.parametrize(("section", "field"), [("sampling", "tensorParallelSize"), ("training", "processesPerNode")])
    def test_what_does_not_is_refused_by_name(self, section: str, field: str, spec: Callable[..., Spec]) -> None:
        with pytest.raises(ConfigurationError, match=rf"spec\.{section}\.{field}: 2, but this machine has 1 GPU to give \(7\)"):
            check_gpus(spec(**{section: {field: 2}}), ("7",))
