"""What `tpt plan -o yaml` prints: every object that the operator would create for a run.

The operator says which, by an entry point of the group `tpt.objects`: the runtime itself knows no cluster.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from tpt_runtime.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tpt_runtime.core.spec import Run

GROUP = "tpt.objects"
ROLES = ("sampler", "pruner", "trainer")
HEADER = """\
# What the operator would create for {name}, in this order, if every step ends well at its first attempt, every model is better
# than the one before, and neither goal nor patience ends the run early. A step that is tried again gets a Job of another name.
# {uid} stands where the UID of the run will be; the eight digits of its hash in all names will be others.
"""


def objects_yaml(file: Path, namespace: str | None, images: Sequence[str]) -> str:
    """Return every object of the run in `file` as YAML; `images` are ROLE=IMAGE.

    Raises:
        ConfigurationError: something of what was given is not right, or there is no operator here.
    """
    from tpt_runtime.local.yamltext import yaml_text

    run = _placed(file, namespace)
    found: list[dict[str, Any]] = _backend()(run, _by_role(images))
    uid = found[0]["metadata"]["ownerReferences"][0]["uid"]
    return HEADER.format(name=run.metadata.name, uid=uid) + "".join(f"---\n{yaml_text(item)}" for item in found)


def _backend() -> Any:
    points = list(entry_points(group=GROUP))
    if not points:
        raise ConfigurationError("-o yaml: there is no operator in this installation; install the distribution tpt-operator")
    return points[0].load()


def _placed(file: Path, namespace: str | None) -> Run:
    """Return the run in `file`, in `namespace` unless the file names one."""
    from tpt_runtime.artifacts.yaml import read_resources
    from tpt_runtime.cli.resources import read_run
    from tpt_runtime.core.resource import parse_run

    run = read_run(file)
    if namespace is None:
        return run
    if "namespace" in run.metadata.model_fields_set and run.metadata.namespace != namespace:
        raise ConfigurationError(
            f"--namespace: found {namespace}, but {file} says {run.metadata.namespace}; leave out one of them"
        )
    (document,) = read_resources(file)
    return parse_run({**document, "metadata": {**document["metadata"], "namespace": namespace}}, f"{file}, with --namespace")


def _by_role(images: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for given in images:
        role, _, image = given.partition("=")
        if role not in ROLES or not image:
            raise ConfigurationError(f"--image: found {given}, expected ROLE=IMAGE with one of {', '.join(ROLES)} as ROLE")
        found[role] = image
    return found
