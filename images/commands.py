"""What is run to build, push and archive the images, as a pure function of what was ordered and of what there is here."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from images.lending import NOTHING, Lent

OPERATOR: Final = "operator"
STEPS: Final = ("sampler", "pruner", "trainer")
CPU_STACK: Final = "cpu-stack"
ROLES: Final = (OPERATOR, *STEPS)
DEBOOTSTRAP: Final = "debootstrap"
SUITE: Final = "bookworm"
LOCAL: Final = "localhost"
BASE: Final = f"{LOCAL}/tpt-base:{SUITE}"

Command = tuple[str, ...]


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
    lent: Lent = NOTHING
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
