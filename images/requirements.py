"""Print what the named extras of pyproject.toml ask for, without the project: so a change of its code costs no new installation.

Runs inside the builds, before anything is installed: `python3 requirements.py pyproject.toml sampler`. Standard library only.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def requirements(project: dict[str, Any], extras: list[str]) -> list[str]:
    """Return the base dependencies and those of the extras, sorted, each once; an extra that names the project's own is followed.

    Raises:
        ValueError: There is no such extra.
    """
    found = set(project["dependencies"])
    for extra in extras:
        found |= set(_of_extra(project, extra))
    return sorted(found)


def _of_extra(project: dict[str, Any], extra: str) -> Iterator[str]:
    known = project["optional-dependencies"]
    if extra not in known:
        message = f"extra: {extra!r} is not in pyproject.toml; allowed are {', '.join(sorted(known))}"
        raise ValueError(message)
    own = re.compile(rf"{re.escape(project['name'])}\[(?P<extras>[\w,-]+)\]")
    for need in known[extra]:
        inner = own.fullmatch(need)
        if inner is None:
            yield need
        else:
            for name in inner["extras"].split(","):
                yield from _of_extra(project, name)


if __name__ == "__main__":
    table = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["project"]
    sys.stdout.write("\n".join(requirements(table, sys.argv[2:])) + "\n")
