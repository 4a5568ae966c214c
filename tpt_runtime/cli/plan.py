"""`tpt plan`: what a run would do and take, without doing it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tpt_runtime.core.errors import ConfigurationError

if TYPE_CHECKING:
    from tpt_runtime.core.budget import Prompts, Shape
    from tpt_runtime.core.spec import Run

UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
FOLDER = click.Path(path_type=Path, file_okay=False)
MODEL_CONFIG = click.Path(path_type=Path, dir_okay=False)


class Amount(click.ParamType[int]):
    """A number with a unit: 135M, 2.6B."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([KMBT]?)", value.strip().upper())
        if match is None or float(match[1]) == 0:
            self.fail(f"{value!r} is no number such as 135M or 2.6B", param, ctx)
        return round(float(match[1]) * UNITS[match[2]])


@click.command("plan", short_help="Say what a run would do and take.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--parameters", type=Amount(), help="Parameters of the model, such as 2.6B.  [default: counted, if it is local]")
@click.option("--model-config", type=MODEL_CONFIG, help="The model's config.json.  [default: the local model's]")
@click.option("--gpu-memory", type=click.FloatRange(0, min_open=True), help="Memory of one GPU in GB (80 for an H100).")
@click.option(
    "--tokens-per-second", type=click.FloatRange(0, min_open=True), help="Tokens that all samplers generate in a second."
)
@click.option(
    "--trained-tokens-per-second", type=click.FloatRange(0, min_open=True), help="Tokens that are trained on in a second."
)
@click.option(
    "--train-prompts",
    type=click.IntRange(1),
    help="Training questions, with those held out.  [default: counted, if local]",
)
@click.option(
    "--validation-prompts", type=click.IntRange(1), help="Validation questions.  [default: counted, or the held-out share]"
)
@click.option("--eval-prompts", type=click.IntRange(0), help="Evaluation questions.  [default: counted, if local]")
@click.option("--workdir", type=FOLDER, help="Where relative paths count from.  [default: runs/NAME]")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "yaml"]),
    default="text",
    show_default=True,
    help="yaml: every object that the operator would create on a cluster, for review.",
)
@click.option("--namespace", help="Where the run will be, if FILE does not say it; -o yaml only.")
@click.option("--image", "images", multiple=True, metavar="ROLE=IMAGE", help="An image of the operator's; -o yaml only.")
def command(file: Path, output: str, namespace: str | None, images: tuple[str, ...], **options: Any) -> None:
    """Say what the run in FILE would do and take: steps, tokens, GPU memory, bytes. Nothing is run.

    Tokens are upper bounds: a sample rarely reaches maxTokens. Memory is a lower bound. Hours are worked out only from a
    throughput that you give.

    With -o yaml it is told object by object what the operator would create on a cluster; no cluster is asked.
    """
    from tpt_runtime.cli.objects import objects_yaml

    if output == "yaml":
        _refuse("the estimate only, which -o yaml does not make", options)
        click.echo(objects_yaml(file, namespace, images), nl=False)
        return
    _refuse("-o yaml only", {"namespace": namespace, "image": images or None})
    click.echo(_estimate(file, **options))


def _refuse(what_for: str, options: dict[str, Any]) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise click.UsageError(f"--{given[0].replace('_', '-')} is for {what_for}; leave it out")


def _estimate(file: Path, workdir: Path | None, gpu_memory: float | None, **options: Any) -> str:
    from tpt_runtime.cli.estimate import Known, estimate
    from tpt_runtime.cli.resources import read_run, workdir_of

    run = read_run(file)
    storage = workdir_of(run, workdir)
    known = Known(
        prompts=_prompts(run, storage, options),
        shape=_shape(run, storage, options["parameters"], options["model_config"]),
        gpu_bytes=None if gpu_memory is None else round(gpu_memory * 1e9),
        tokens_per_second=options["tokens_per_second"],
        trained_tokens_per_second=options["trained_tokens_per_second"],
    )
    return estimate(run.metadata.name, run.spec, known)


def _shape(run: Run, storage: Path, parameters: int | None, model_config: Path | None) -> Shape | None:
    """Return what can be known of the model: as given, else from the local model's files."""
    from dataclasses import replace

    from tpt_runtime.core.budget import Shape, shape_from_config
    from tpt_runtime.train.memory import parameter_count

    folder = _local(run.spec.model.uri, storage)
    config = model_config or (folder / "config.json" if folder is not None else None)
    shape = None
    if config is not None and (config.exists() or model_config is not None):
        shape = shape_from_config(_read_config(config))
    counted = parameters or (parameter_count(folder) if folder is not None else None)
    if counted is None:
        return shape
    return Shape(counted) if shape is None else replace(shape, parameters=counted)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: not readable as a model's config.json: {error}") from error
    if not isinstance(found, dict):
        raise ConfigurationError(f"{path}: expected a JSON object, found {type(found).__name__}")
    return found


def _prompts(run: Run, storage: Path, given: dict[str, Any]) -> Prompts:
    """Return how many questions there are: as given, else counted in local files; a held-out share is taken from train."""
    from tpt_runtime.core.budget import Prompts
    from tpt_runtime.prepare.questions import DEFAULT_FRACTION

    dataset = run.spec.dataset
    train = given["train_prompts"] or _count(dataset.train.uri, storage)
    validation = given["validation_prompts"]
    if validation is None and dataset.validation.uri is not None:
        validation = _count(dataset.validation.uri, storage)
    elif validation is None and train is not None:
        fraction = DEFAULT_FRACTION if dataset.validation.fraction is None else dataset.validation.fraction
        validation = max(1, round(fraction * train))
    if dataset.validation.uri is None and train is not None:
        train = max(1, train - validation)
    evaluated = 0 if dataset.eval is None else _count(dataset.eval.uri, storage)
    return Prompts(
        train=train,
        validation=validation,
        eval=evaluated if given["eval_prompts"] is None else given["eval_prompts"],
    )


def _count(uri: str, storage: Path) -> int | None:
    from tpt_runtime.prepare.tables import read_table

    path = _local(uri, storage)
    return sum(1 for _ in read_table(path, uri)) if path is not None and path.is_file() else None


def _local(uri: str, storage: Path) -> Path | None:
    """Return where `uri` lies on this machine, None for what is remote."""
    from tpt_runtime.prepare.sources import local_path

    return local_path(uri, storage) if "://" not in uri.removeprefix("file://") else None
