"""`tpt grade`: verdicts and pass@k of any file of traces."""

import json
from pathlib import Path
from typing import Any

import click

FILE = click.Path(path_type=Path, dir_okay=False)


class Numbers(click.ParamType[tuple[int, ...]]):
    """Whole numbers with commas between them: 1,10."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Return the numbers."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is no list of whole numbers such as 1,10", param, ctx)


@click.command("grade", short_help="Verdicts and pass@k of a file of traces.")
@click.argument("traces", type=FILE)
@click.option("--verifier", default="Math", show_default=True, help="Math, or GSM8KStrict to compare with published figures.")
@click.option("--output", type=FILE, help="Write the verdict on each trace to this JSONL file.")
@click.option("--k", type=Numbers(), default=(1,), help="Which pass@k to estimate, such as 1,10.  [default: 1]")
@click.option(
    "--timeout-seconds",
    type=click.FloatRange(0, 600, min_open=True),
    default=5.0,
    show_default=True,
    help="Longest time that one verdict may take.",
)
def command(traces: Path, verifier: str, output: Path | None, k: tuple[int, ...], timeout_seconds: float) -> None:
    """Grade TRACES, a JSONL file with `id`, `solution` and `reference` on every line, and print one JSON object.

    Lines that share an id are samples of one question. A reference is a bare answer or a GSM8K solution (`... #### 18`). The
    object has counts by verdict and pass@k with 95 % intervals by question, with names as in a run's status.
    """
    from tpt_runtime.verify.traces import GradeRequest, grade_file

    request = GradeRequest(traces, verifier=verifier, output=output, k=k, timeout_seconds=timeout_seconds)
    click.echo(json.dumps(grade_file(request), ensure_ascii=False))
