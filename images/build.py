"""Build the images with buildah or docker: `python -m images.build --variant cpu --tag 0.1.0`. Standard library only.

This module looks at the machine and runs what `commands` says.
"""

import argparse
import ast
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

from images import lending
from images.commands import BASE, DEBOOTSTRAP, LOCAL, ROLES, Command, Machine, Order, commands

ROOT: Final = Path(__file__).resolve().parents[1]
BUILDERS: Final = ("buildah", "docker")
VARIANTS: Final = ("cpu", "cuda")
REGISTRY: Final = "https://registry-1.docker.io/v2/"
"""Of the bases that the Dockerfiles name."""
REGISTRY_SECONDS: Final = 10
STORAGE: Final = {"STORAGE_DRIVER": "overlay"}
"""Buildah's, unless the user says otherwise: left alone it may copy every layer."""
BASE_HELP: Final = f"with Python 3.11, on Debian; `{DEBOOTSTRAP}` makes one, and is the default where no registry answers"


def _said(*command: str) -> str:
    """Return what a command prints; nothing if it fails."""
    done = subprocess.run(command, cwd=ROOT, env={**STORAGE, **os.environ}, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def version() -> str:
    """Return the project's version, read without importing it."""
    text = (ROOT / "tpt_runtime" / "__init__.py").read_text(encoding="utf-8")
    values = [node.value for node in ast.parse(text).body if isinstance(node, ast.Assign)]
    return str(ast.literal_eval(values[0]))


def _labels(source: str | None) -> tuple[tuple[str, str], ...]:
    revision = _said("git", "rev-parse", "HEAD")
    changed = "-changed" if revision and _said("git", "status", "--porcelain") else ""
    origin = public(_said("git", "remote", "get-url", "origin"))
    named = {"VERSION": version(), "REVISION": revision + changed, "SOURCE": source or origin}
    return tuple((name, value) for name, value in named.items() if value)


def public(remote: str) -> str:
    """Return a git remote as a label may say it: an https address without its user; nothing for any other kind."""
    parts = urlsplit(remote)
    return f"https://{parts.hostname}{parts.path}" if parts.scheme == "https" else ""


def require(*programs: str) -> None:
    """Check that programs are there before any of them is run.

    Raises:
        ValueError: One is not.
    """
    missing = sorted({program for program in programs if not shutil.which(program)})
    if missing:
        names = " ".join(missing)
        message = f"images: {names} needed and not there; install what is missing, such as: apt-get install {names}"
        raise ValueError(message)


def _has(builder: str, image: str) -> bool:
    return bool(_said(builder, "images", "--quiet", image))


def _registry_answers() -> bool:
    """Return whether the registry of the bases can be reached; it answers 401 to whoever does not log in."""
    try:
        with urlopen(REGISTRY, timeout=REGISTRY_SECONDS):
            return True
    except HTTPError as error:
        return error.code == HTTPStatus.UNAUTHORIZED
    except OSError:
        return False


def _roles(text: str) -> tuple[str, ...]:
    named = tuple(text.split(","))
    unknown = [name for name in named if name not in ROLES]
    if unknown:
        message = f"{', '.join(map(repr, unknown))} is no image; allowed are {', '.join(ROLES)}"
        raise argparse.ArgumentTypeError(message)
    return tuple(role for role in ROLES if role in named)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m images.build", description="Build TPT's images with buildah or docker.")
    parser.add_argument("--variant", choices=VARIANTS, required=True, help="of the steps' images")
    parser.add_argument("--tag", default=version(), help="default: the project's version, %(default)s")
    parser.add_argument(
        "--only", type=_roles, default=ROLES, metavar="ROLE[,ROLE...]", help=f"of {', '.join(ROLES)}; default: all"
    )
    parser.add_argument("--push", metavar="REGISTRY", help="name the images for a registry, and push them to it")
    parser.add_argument("--archive", type=Path, metavar="DIR", help="write OCI archives, for `ctr images import`")
    parser.add_argument("--base", metavar="IMAGE", help=BASE_HELP)
    parser.add_argument("--source", metavar="URL", help="where the sources are, for a label; default: the remote `origin`")
    parser.add_argument("--builder", choices=BUILDERS, help="default: the first that is there")
    parser.add_argument("--dry-run", action="store_true", help="print the commands and run none")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Build what the arguments ask for; return the exit code of the first command that fails."""
    said = _parser().parse_args(arguments)
    order = Order(
        said.variant,
        said.tag,
        said.only,
        registry=said.push or LOCAL,
        push=bool(said.push),
        archive=said.archive and said.archive.resolve(),
        base=said.base or (None if _registry_answers() else DEBOOTSTRAP),
        labels=_labels(said.source),
    )
    try:
        builder = said.builder or next(filter(shutil.which, BUILDERS), BUILDERS[0])
        require(builder)
        (ROOT / "build").mkdir(exist_ok=True)  # what is made on the way is too large for a /tmp in memory
        with tempfile.TemporaryDirectory(prefix="images-", dir=ROOT / "build") as folder:
            scratch = Path(folder)
            machine = Machine(builder, scratch, lending.of_this_machine(), has_base=_has(builder, BASE))
            (scratch / "pip.conf").write_text(machine.lent.configuration, encoding="utf-8")
            run = commands(order, machine)
            require(*(program for program, *_ in run))
            return _run(run, dry=said.dry_run)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _run(run: list[Command], *, dry: bool) -> int:
    for command in run:
        print(f"+ {shlex.join(command)}", flush=True)
        if dry:
            continue
        begun = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, env={**STORAGE, **os.environ}, check=False)
        if done.returncode:
            sys.stderr.write(f"images: {command[0]} failed with exit code {done.returncode}\n")
            return done.returncode
        print(f"  {time.monotonic() - begun:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
