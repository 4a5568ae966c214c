"""`python -m tpt_operator.trial NAME`: waits for the end of a run and says how it went, for the chart's own test.

It only reads the run, whose conditions say all. The exit code is 0 if the run is complete, else 1.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Any, Final

import click

from tpt_operator.api import RUNS, Api, ApiError, NotFound, connect

Json = dict[str, Any]
Say = Callable[[str], None]

EVERY_SECONDS: Final = 1.0
REQUEST_SECONDS: Final = 20.0
TELLING: Final = (
    ("Failed", "True"),
    ("Complete", "True"),
    ("ResourcesAvailable", "False"),
    ("Running", "True"),
    ("Running", "False"),
)
"""The conditions that say how a run is, the first one that holds: its end, what it waits for, what runs, why nothing does."""


async def wait_for_end(api: Api, namespace: str, name: str, seconds: float, say: Say) -> bool:
    """Return whether the run is complete, once it is over; say on the way what changes.

    A run that is not over after `seconds`, or that is not there, is not complete either: then that is said.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    said = ""
    while True:
        try:
            run = await api.get(RUNS, namespace, name)
            told, over = told_by(run), _over(run)
        except NotFound:
            say(f"{namespace}/{name}: there is no such run")
            return False
        except ApiError as error:  # the next answer may be another one
            told, over = str(error), None
        if told != said:
            say(told)
        said = told
        if over is not None:
            return over == "Complete"
        if clock() >= deadline:
            say(f"{namespace}/{name}: not over after {seconds:.0f} s; see: kubectl describe sir {name} -n {namespace}")
            return False
        await asyncio.sleep(EVERY_SECONDS)


def told_by(run: Json) -> str:
    """Return how a run is, in a line: round, step, and the words of the condition that matters most."""
    status = run.get("status")
    if not status:
        return "the operator has not looked at the run yet"
    conditions = {(item["type"], item["status"]): item for item in status.get("conditions", ())}
    found: Json = next((conditions[state] for state in TELLING if state in conditions), {})
    words = ": ".join(part for part in (found.get("reason"), found.get("message")) if part)
    step = status.get("step")
    return " ".join(part for part in (f"round {status.get('round', '?')}:", step and f"{step}:", words) if part)


def _over(run: Json) -> str | None:
    conditions = (run.get("status") or {}).get("conditions", ())
    return next(
        (item["type"] for item in conditions if item["type"] in ("Complete", "Failed") and item["status"] == "True"), None
    )


@click.command()
@click.argument("name")
@click.option("--namespace", required=True, help="Where the run is.")
@click.option("--seconds", type=click.FloatRange(min=1), default=600.0, show_default=True, help="How long to wait.")
def main(name: str, namespace: str, seconds: float) -> None:
    """Wait until the run NAME is over."""
    complete = asyncio.run(_wait(name, namespace, seconds))
    sys.exit(0 if complete else 1)


async def _wait(name: str, namespace: str, seconds: float) -> bool:
    api = await connect(REQUEST_SECONDS)
    try:
        return await wait_for_end(api, namespace, name, seconds, click.echo)
    finally:
        await api.close()


if __name__ == "__main__":
    main()
