"""The machine's GPUs, and how the processes of a step share them out. Nothing here asks torch: it is not imported."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.spec import Spec
from tpt_runtime.core.status import StepName

VARIABLE = "CUDA_VISIBLE_DEVICES"
SMI_SECONDS = 30

SAMPLING_STEPS = (StepName.SAMPLE, StepName.EVALUATE)


@dataclass(frozen=True)
class Place:
    """Where one process of a step may run; as many run at once as there are places."""

    gpus: tuple[str, ...] | None = None
    """The GPUs it sees; None: nothing is said about GPUs."""

    @property
    def environment(self) -> dict[str, str]:
        """What the process is told."""
        return {} if self.gpus is None else {VARIABLE: ",".join(self.gpus)}


def visible_gpus(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the GPUs of this machine, those in CUDA_VISIBLE_DEVICES if it is set, else those that nvidia-smi lists."""
    limited = environment.get(VARIABLE)
    if limited is not None:
        named = [name.strip() for name in limited.split(",")]
        return tuple(named) if all(named) and "-1" not in named else ()
    program = shutil.which("nvidia-smi", path=environment.get("PATH"))
    return _listed(program) if program else ()


def _listed(program: str) -> tuple[str, ...]:
    query = [program, "--query-gpu=index", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=SMI_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(
            f"{program} does not answer ({error}), so the GPUs of this machine are unknown; "
            f"set {VARIABLE} to those to use, or to nothing for none"
        ) from error
    indexes = tuple(line.strip() for line in answer.stdout.splitlines() if line.strip().isdigit())
    return indexes if answer.returncode == 0 else ()


def places(step: StepName, spec: Spec, gpus: tuple[str, ...]) -> tuple[Place, ...]:
    """Return where the processes of `step` run on a machine with `gpus`.

    Shards of a sampling get disjoint groups of tensorParallelSize GPUs. Without GPUs they run one after the other: engines that
    share the cores are slower together than in turn. Training gets its GPUs as one place.
    """
    if step in SAMPLING_STEPS and gpus:
        size = spec.sampling.tensor_parallel_size
        return tuple(Place(gpus[first : first + size]) for first in range(0, len(gpus) - size + 1, size))
    if step is StepName.TRAIN and gpus:
        return (Place(gpus[: spec.training.processes_per_node]),)
    return (Place(),)


def check_gpus(spec: Spec, gpus: tuple[str, ...]) -> None:
    """Refuse a spec that asks for more GPUs than a machine with GPUs has.

    Raises:
        ConfigurationError: it names the field, what it asks for, and what there is.
    """
    wanted = {
        "spec.sampling.tensorParallelSize": spec.sampling.tensor_parallel_size,
        "spec.training.processesPerNode": spec.training.processes_per_node,
    }
    for path, count in wanted.items():
        if gpus and count > len(gpus):
            raise ConfigurationError(
                f"{path}: {count}, but this machine has {len(gpus)} GPU{'s' if len(gpus) > 1 else ''} to give "
                f"({', '.join(gpus)}); lower it (it may change during a run), or check {VARIABLE}"
            )
