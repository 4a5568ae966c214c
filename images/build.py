"""Build the images with buildah or docker: `python images/build.py --variant cpu --tag 0.1.0`. Standard library only.

What is run is a pure function of the options: `commands`. How pip is set on this machine (an index, a folder of wheels, a
certificate) is lent to the builds as a secret and as mounts, and stays in no layer.
"""

import argparse
import ast
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import url2pathname, urlopen

ROOT: Final = Path(__file__).resolve().parents[1]
OPERATOR: Final = "operator"
STEPS: Final = ("sampler", "pruner", "trainer")
CPU_STACK: Final = "cpu-stack"
ROLES: Final = (OPERATOR, *STEPS)
BUILDERS: Final = ("buildah", "docker")
VARIANTS: Final = ("cpu", "cuda")
LENT: Final = "/run/build"
"""Where the builds find what this machine lends them."""
DEBOOTSTRAP: Final = "debootstrap"
SUITE: Final = "bookworm"
LOCAL: Final = "localhost"
BASE: Final = f"{LOCAL}/tpt-base:{SUITE}"
REGISTRY: Final = "https://registry-1.docker.io/v2/"
"""Of the bases that the Dockerfiles name."""
REGISTRY_SECONDS: Final = 10
PIP_PATHS: Final = ("cert", "client-cert", "constraint", "find-links")
PIP_SETTINGS: Final = (
    *PIP_PATHS,
    "extra-index-url",
    "index-url",
    "no-index",
    "proxy",
    "timeout",
    "default-timeout",
    "trusted-host",
)
"""What says where packages come from; all else is this machine's own affair."""
STORAGE: Final = {"STORAGE_DRIVER": "overlay"}
"""Buildah's, unless the user says otherwise: left alone it may copy every layer."""
BASE_HELP: Final = f"with Python 3.11, on Debian; `{DEBOOTSTRAP}` makes one, and is the default where no registry answers"

Command = tuple[str, ...]


@dataclass(frozen=True)
class Lent:
    """How pip is set on this machine, told so that it holds inside a build."""

    configuration: str = ""
    """The text of a pip.conf; empty: pip's defaults."""
    mounts: tuple[tuple[str, str], ...] = ()
    """Folders and files here, and where a build sees them."""


@dataclass(frozen=True)
class Order:
    """What to build, and where it goes."""

    variant: str
    tag: str
    only: tuple[str, ...] = ROLES
    registry: str = LOCAL
    push: bool = False
    archive: Path | None = None
    base: str | None = None
    """A Python image, or the word `debootstrap`; None: what the Dockerfiles name."""
    labels: tuple[tuple[str, str], ...] = ()
    """Build arguments that only labels depend on: VERSION, REVISION, SOURCE."""

    def image(self, role: str) -> str:
        """Return the full name of a role's image; the operator's is the same for all variants."""
        suffix = "" if role == OPERATOR else f"-{self.variant}"
        return f"{self.registry}/tpt-{role}:{self.tag}{suffix}"

    @property
    def stack(self) -> str:
        """The image that the CPU variants share; it stays here, since its layers go with each of them."""
        return f"{LOCAL}/tpt-cpu-stack:{self.tag}"


@dataclass(frozen=True)
class Machine:
    """What a build finds here."""

    builder: str
    """`buildah` or `docker`."""
    scratch: Path
    """A folder that is removed after the build."""
    lent: Lent = Lent()
    has_base: bool = False
    """Whether debootstrap has made its base before."""


def commands(order: Order, machine: Machine) -> list[Command]:
    """Return all that is run, in order."""
    steps = [role for role in order.only if role != OPERATOR]
    run: list[Command] = []
    if order.base == DEBOOTSTRAP and not machine.has_base:
        run += _base(machine)
    if OPERATOR in order.only:
        run.append(_build(order, machine, OPERATOR, order.image(OPERATOR)))
    if steps and order.variant == "cpu":
        run.append(_build(order, machine, CPU_STACK, order.stack))
    run += [_build(order, machine, role, order.image(role), "--target", order.variant) for role in steps]
    if order.push:
        run += [_push(machine, order.image(role)) for role in order.only]
    if order.archive:
        run += _archive(order, machine, order.archive)
    return run


def _base(machine: Machine) -> Iterator[Command]:
    rootfs, folder = machine.scratch / "rootfs", machine.scratch / "base"
    packages = "--include=ca-certificates,python3,python3-venv"
    yield ("debootstrap", "--variant=minbase", packages, SUITE, str(rootfs))
    yield ("mkdir", str(folder))
    left_out = [f"--exclude=./{path}" for path in ("dev/*", "var/cache/apt/*", "var/lib/apt/lists/*")]
    yield ("tar", "--create", f"--file={folder / 'rootfs.tar'}", f"--directory={rootfs}", *left_out, ".")
    yield (*_builder(machine), "--file", "images/base/Dockerfile", "--tag", BASE, str(folder))


def _builder(machine: Machine) -> Command:
    if machine.builder == "docker":
        return ("docker", "build")
    return ("buildah", "build", "--isolation", "chroot", "--layers")


def _build(order: Order, machine: Machine, folder: str, image: str, *more: str) -> Command:
    on_stack = order.variant == "cpu" and folder in STEPS
    arguments = {} if folder == CPU_STACK else dict(order.labels)
    if on_stack:
        arguments["STACK"] = order.stack
    elif order.base:
        arguments["BASE"] = BASE if order.base == DEBOOTSTRAP else order.base
    flags = [part for name, value in arguments.items() for part in ("--build-arg", f"{name}={value}")]
    flags += [] if on_stack else _lent(machine)
    return (*_builder(machine), *flags, "--file", f"images/{folder}/Dockerfile", *more, "--tag", image, ".")


def _lent(machine: Machine) -> list[str]:
    if not machine.lent.configuration:
        return []
    if machine.builder == "docker" and machine.lent.mounts:
        folders = ", ".join(here for here, _ in machine.lent.mounts)
        message = f"builder: docker cannot lend {folders}, which pip's settings name, to a build; use buildah"
        raise ValueError(message)
    volumes = [part for here, there in machine.lent.mounts for part in ("--volume", f"{here}:{there}:ro")]
    return ["--secret", f"id=pip,src={machine.scratch / 'pip.conf'}", *volumes]


def _push(machine: Machine, image: str) -> Command:
    return ("docker", "push", image) if machine.builder == "docker" else ("buildah", "push", image, f"docker://{image}")


def _archive(order: Order, machine: Machine, folder: Path) -> Iterator[Command]:
    """Yield what writes one archive of the operator and one of the steps that were built: what they share stands there once."""
    yield ("mkdir", "--parents", str(folder))
    steps = [role for role in order.only if role != OPERATOR]
    for name, roles in ((f"tpt-operator-{order.tag}", [OPERATOR]), (f"tpt-steps-{order.tag}-{order.variant}", steps)):
        images = [order.image(role) for role in roles if role in order.only]
        file = str(folder / f"{name}.tar")
        if images and machine.builder == "docker":
            yield ("docker", "save", "--output", file, *images)
        elif images:
            layout = machine.scratch / name
            shared = order.variant == "cpu"
            yield from (("buildah", "push", image, f"oci:{layout}:{image}") for image in (images[:1] if shared else images))
            if shared and images[1:]:
                yield (sys.executable, "images/layout.py", str(layout), *images)
            yield ("tar", "--create", "--file", file, "--directory", str(layout), ".")


def lent(listing: str) -> Lent:
    """Return how `pip config list` says that pip is set, with every folder and file it names moved to where a build sees it."""
    settings: dict[str, str] = {}
    for section in ("global", "install", ":env:"):  # in pip's own order: the last one wins
        settings |= dict(_settings(listing, section))
    mounts: dict[str, str] = {}
    lines = [f"{key} = {' '.join(_moved(key, word, mounts) for word in value.split())}" for key, value in settings.items()]
    return Lent("\n".join(["[global]", *lines, ""]), tuple(mounts.items())) if lines else Lent()


def _settings(listing: str, section: str) -> Iterator[tuple[str, str]]:
    for line in listing.splitlines():
        name, equals, value = line.partition("=")
        key = name.removeprefix(f"{section}.")
        if equals and key in PIP_SETTINGS:
            yield key, ast.literal_eval(value)


def _moved(key: str, word: str, mounts: dict[str, str]) -> str:
    if word.startswith("file://"):
        path, scheme = Path(url2pathname(urlsplit(word).path)), "file://"
    elif key in PIP_PATHS and Path(word).is_absolute():
        path, scheme = Path(word), ""
    else:
        return word
    # The pages of an index link to files beside it.
    here, below = (path.parent, f"/{path.name}") if key.endswith("index-url") else (path, "")
    there = mounts.setdefault(str(here), _place(here))
    return f"{scheme}{there}{below}"


def _pip_settings() -> Lent:
    for pip in ((sys.executable, "-m", "pip"), ("pip3",), ("pip",)):
        if shutil.which(pip[0]):
            listed = subprocess.run((*pip, "config", "list"), capture_output=True, text=True, check=False)
            if listed.returncode == 0:
                return lent(listed.stdout)
    return Lent()


def _place(here: Path) -> str:
    """Return where a build sees a folder: always there, since its mount point stays in layers; and without telling its name."""
    return f"{LENT}/{hashlib.sha256(bytes(here)).hexdigest()[:8]}"


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
    parser = argparse.ArgumentParser(prog="images/build.py", description="Build TPT's images with buildah or docker.")
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
            machine = Machine(builder, scratch, _pip_settings(), has_base=_has(builder, BASE))
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
