"""Runs to make manifests from."""

import copy
from typing import Any

from tests.core.corpus import BASE, patched
from tpt_operator.settings import Images
from tpt_runtime.core.actions import StartStep
from tpt_runtime.core.names import job_name
from tpt_runtime.core.resource import parse_run
from tpt_runtime.core.spec import Run
from tpt_runtime.core.status import StepName

IMAGES = Images("sampler:1", "pruner:1", "trainer:1")
UID = "6a1c2d3e-0000-4000-8000-000000000001"


def run(**spec: Any) -> Run:
    """Return the run `example` in the namespace `team`."""
    metadata = {"name": "example", "namespace": "team", "uid": UID, "generation": 3}
    return parse_run(patched(copy.deepcopy(dict(BASE)), {"metadata": metadata, "spec": spec}), "run")


def start(step: str, indexes: int = 1, number: int = 1) -> StartStep:
    name = job_name("example", UID, number, StepName(step), 1)
    return StartStep(job=name, step=StepName(step), round=number, attempt=1, indexes=indexes)
