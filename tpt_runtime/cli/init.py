"""`tpt init`: an annotated run.yaml to start from, its fields guessed from the data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tpt_runtime.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

PROMPT_NAMES = ("question", "problem", "prompt", "query", "instruction", "input", "task", "text")
ANSWER_NAMES = ("answer", "final_answer", "solution", "reference", "target", "label", "output", "response", "completion")
LOOKED_AT = 100
"""Rows that the fields are guessed from."""
TRAIN = """\
      uri: hf://openai/gsm8k
      config: main
      # promptField: question
      # answerField: answer        # bare, or a solution that ends in `#### ANSWER`"""
EVAL = """\
    eval:                          # reported, never used to decide
      uri: hf://openai/gsm8k
      config: main
      split: test"""
NO_EVAL = """\
    # eval:                        # reported, never used to decide
    #   uri: file:///PATH"""
TEMPLATE = """\
      template: |-                 # Jinja over a row's fields; must say how the answer is to be marked
        {{ %s }}
        Think step by step and end with "#### ANSWER"."""
NO_TEMPLATE = "      # template: the field as it is, since its name is none that a Jinja template can use"


@dataclass(frozen=True)
class Guess:
    """The fields of a data file."""

    prompt_field: str
    answer_field: str


@click.command("init", short_help="Write an annotated run.yaml to start from.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default=Path("run.yaml"))
@click.option(
    "--template",
    type=click.Choice(["quickstart", "math"]),
    default="math",
    show_default=True,
    help="math: any model and data set. quickstart: what `tpt demo-model` makes.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Training questions (JSONL, JSON, Parquet); template math only.",
)
def command(file: Path, template: str, data: Path | None) -> None:
    """Write an annotated run to FILE (default: run.yaml), which must not exist yet."""
    from tpt_runtime.cli.resources import write_file

    if data is not None and template != "math":
        raise ConfigurationError(f"--data: the template {template} has data of its own; leave --data or --template out")
    if file.exists():
        raise ConfigurationError(f"{file}: exists already; give another name, or remove it first")
    write_file(file, _filled(template, data).encode())
    click.echo(f"wrote {file}; look through it, then: tpt validate {file} --data", err=True)


def _filled(template: str, data: Path | None) -> str:
    from string import Template

    text = files("tpt_runtime.cli").joinpath("templates", f"{template}.yaml").read_text(encoding="utf-8")
    if template != "math":
        return text
    gsm8k = {"name": "gsm8k", "train": TRAIN, "eval": EVAL, "template": TEMPLATE % "question"}
    return Template(text).substitute(gsm8k if data is None else _described(data))


def _described(data: Path) -> dict[str, str]:
    from tpt_runtime.prepare.tables import read_table

    rows = [row.fields for row, _ in zip(read_table(data, str(data)), range(LOOKED_AT), strict=False)]
    found = guess_fields(rows, str(data))
    fields = {"uri": f"file://{data.resolve()}", "promptField": found.prompt_field, "answerField": found.answer_field}
    lines = [f"      {name}: {_scalar(value)}" for name, value in fields.items()]
    return {
        "name": run_name(data),
        "train": "\n".join(lines),
        "eval": NO_EVAL,
        "template": TEMPLATE % found.prompt_field if found.prompt_field.isidentifier() else NO_TEMPLATE,
    }


def guess_fields(rows: Sequence[Mapping[str, Any]], shown: str) -> Guess:
    """Return which fields of `rows` hold question and reference answer, by their names, else by being the only two.

    Raises:
        ConfigurationError: there are no rows, or the names say nothing; it lists the fields.
    """
    if not rows:
        raise ConfigurationError(f"{shown}: no rows; at least one question is needed")
    fields = [name for name in rows[0] if all(row.get(name) is not None for row in rows)]
    prompt = _named(fields, PROMPT_NAMES)
    answer = _named([name for name in fields if name != prompt], ANSWER_NAMES)
    if len(fields) == 2 and (prompt is None) != (answer is None):
        other = next(name for name in fields if name not in (prompt, answer))
        prompt, answer = prompt or other, answer or other
    if prompt is None or answer is None:
        missing = "question" if prompt is None else "reference answer"
        known = ", ".join(PROMPT_NAMES if prompt is None else ANSWER_NAMES)
        raise ConfigurationError(
            f"{shown}: cannot tell which field holds the {missing}: every row has {', '.join(map(str, fields)) or 'no field'}; "
            f"expected one called {known}; make the file without --data and set promptField and answerField by hand"
        )
    return Guess(prompt, answer)


def _named(fields: list[str], names: tuple[str, ...]) -> str | None:
    by_name = {name.lower(): name for name in reversed(fields)}
    return next((by_name[name] for name in names if name in by_name), None)


def run_name(data: Path) -> str:
    """Return the name of a data file as a DNS label."""
    label = re.sub(r"[^a-z0-9]+", "-", data.stem.lower()).strip("-")[:63].strip("-")
    return label or "run"


def _scalar(text: str) -> str:
    from tpt_runtime.local.yamltext import yaml_text

    return yaml_text([text]).removeprefix("- ").rstrip("\n")
