"""What makes a valid spec unusable on a cluster, found before any Job exists. What only the API server knows, a dry run tells."""

from collections.abc import Iterator

from tpt_operator import pods
from tpt_runtime.core.actions import StartStep
from tpt_runtime.core.errors import Problem
from tpt_runtime.core.names import job_name
from tpt_runtime.core.spec import Run
from tpt_runtime.core.status import StepName


def problems(run: Run) -> list[Problem]:
    """Return everything that this operator cannot carry out."""
    return [*_secrets(run), *_gpus(run)]


def rehearsals(run: Run) -> Iterator[StartStep]:
    """Yield one attempt of each kind of step, to have the API server validate their Jobs."""
    indexes = {StepName.SAMPLE: run.spec.sampling.shards, StepName.TRAIN: run.spec.training.nodes}
    for step in (StepName.PREPARE, StepName.SAMPLE, StepName.TRAIN):
        name = job_name(run.metadata.name, run.metadata.uid, 1, step, 1)
        yield StartStep(job=name, step=step, round=1, attempt=1, indexes=indexes.get(step, 1))


def section(step: StepName) -> str:
    """Return the path of the settings that a step's pods come from."""
    return {"sampler": "spec.sampling.worker", "pruner": "spec.pruning.worker", "trainer": "spec.training.worker"}[
        pods.role(step)
    ]


def _secrets(run: Run) -> Iterator[Problem]:
    """Yield where one step would need two sets of the same keys; what stands first has its way."""
    storage = run.spec.storage
    for step in (StepName.PREPARE, StepName.FINALIZE):
        seen: dict[str, tuple[str, str | None]] = {}
        if storage.uri is not None:
            seen["s3"] = ("spec.storage", storage.secret_ref.name if storage.secret_ref else None)
        for path, uri, secret in pods.secrets_of(run.spec, step):
            kind = "hf" if uri.startswith("hf://") else "s3"
            first, name = seen.setdefault(kind, (path, secret.name))
            if name != secret.name:
                other = f"{first}.secretRef {f'the Secret {name}' if name else 'none'}"
                message = f"names the Secret {secret.name}, {other}: {step} has one set of {kind}:// keys"
                way_out = "put the keys into one Secret" if name else f"set {first}.secretRef too"
                yield Problem(f"{path}.secretRef", message, way_out)


def _gpus(run: Run) -> Iterator[Problem]:
    wanted = {
        StepName.SAMPLE: ("spec.sampling.tensorParallelSize", run.spec.sampling.tensor_parallel_size),
        StepName.TRAIN: ("spec.training.processesPerNode", run.spec.training.processes_per_node),
    }
    for step, (field, count) in wanted.items():
        limits = (pods.worker(run.spec, step).resources or {}).get("limits") or {}
        for gpu in pods.GPUS:
            if gpu in limits and str(limits[gpu]) != str(count):
                path = f"{section(step)}.resources.limits[{gpu}]"
                message = f"must equal {field} ({count}), found {limits[gpu]}: every process of a pod has one GPU"
                yield Problem(path, message, f"set {field}: {limits[gpu]}, or the limit to {count}")
