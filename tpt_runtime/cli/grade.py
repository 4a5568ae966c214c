"""`tpt grade`: verdicts and pass@k of any file of traces."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tpt_runtime.verify.traces import GradeRequest

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
@click.option("--verifier", default="Math", show_default=True, help="Math; GSM8KStrict, as published figures; Code.")
@click.option("--output", type=FILE, help="Write the verdict on each trace to this JSONL file.")
@click.option("--k", type=Numbers(), default=(1,), help="Which pass@k to estimate, such as 1,10.  [default: 1]")
@click.option(
    "--timeout-seconds",
    type=click.FloatRange(0, 600, min_open=True),
    default=5.0,
    show_default=True,
    help="Longest time that one verdict may take.",
)
@click.option("--explain", is_flag=True, help="Print why each verdict is what it is, in words, instead of the figures.")
@click.option("--line", type=click.IntRange(1), help="With --explain: only the trace on this line of the file.")
def command(traces: Path, explain: bool, line: int | None, **settings: Any) -> None:
    """Grade TRACES, a JSONL file with `id`, `solution` and `reference` on every line, and print one JSON object.

    Lines that share an id are samples of one question. A reference is a bare answer or a GSM8K solution (`... #### 18`). The
    object has counts by verdict and pass@k with 95 % intervals by question, with names as in a run's status.
    """
    from tpt_runtime.verify.traces import GradeRequest, grade_file

    request = GradeRequest(traces, **settings)
    if explain and request.output is not None:
        raise click.UsageError("--output takes verdicts, not explanations: leave out --explain or --output")
    if line is not None and not explain:
        raise click.UsageError("--line chooses the trace to explain: add --explain")
    if explain:
        _explain(request, line)
    else:
        click.echo(json.dumps(grade_file(request), ensure_ascii=False))


def _explain(request: "GradeRequest", line: int | None) -> None:
    from tpt_runtime.verify.explain import explain_file

    for trace, lines in explain_file(request, line):
        click.echo(f"line {trace.line}, id {trace.prompt}")
        for name, words in lines:
            click.echo(f"  {name:<12}{words}")
