"""`python3 -m tpt_runtime.setup`: look, check, install. Only this module changes anything."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tpt_runtime.setup import checks, machine, profiles, recipe

CHECKOUT = Path(__file__).resolve().parents[2]
STAMP = CHECKOUT / ".venv" / "tpt-setup.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Set the machine up and return the exit code: 0 when everything is in place."""
    options = _options(arguments)
    if not (CHECKOUT / "pyproject.toml").is_file():
        print("set-up: run this in a checkout of the project; here TPT is installed already", file=sys.stderr)
        return 1
    facts = machine.look(CHECKOUT)
    profile = profiles.choose(options.profile, facts)
    current = facts.python >= machine.SUPPORTED_PYTHONS[0] and _is_current(profile)
    lines = checks.missing(facts, profile, installs=not current)
    if lines:
        return _refuse(profile, lines)
    quiet = not sys.stdout.isatty()
    order = recipe.Order(profile, recipe.torch_pin(_project()), sys.executable, current, options.tests, quiet)
    if not recipe.stages(facts, order):
        print(f"set-up: up to date ({profile.name})", flush=True)
        return 0
    remark = profiles.remark(facts, profile)
    if remark:
        print(f"set-up: {remark}", flush=True)
    return _install(facts, order, dry=options.dry_run)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m tpt_runtime.setup", description="Install TPT into .venv.")
    known = sorted(profiles.PROFILES)
    text = "local: no GPU; gpu: NVIDIA GPUs; dev: linters and fast tests only; e2e: dev and a node (default: local or gpu)"
    parser.add_argument("--profile", choices=known, help=text)
    parser.add_argument(
        "--tests", action="store_true", help="also get what tests use if it is there: Prometheus, Redis, and Chromium as root"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the commands and run none of them")
    return parser.parse_args(arguments)


def _refuse(profile: profiles.Profile, lines: Sequence[str]) -> int:
    print(f"set-up: this machine is not ready for the profile `{profile.name}`:", file=sys.stderr)
    for line in lines:
        print(f"  {line}", file=sys.stderr)
    return 1


def _project() -> dict[str, Any]:
    import tomllib  # since Python 3.11: not at the top, so that an older one gets as far as its message

    return tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))


def _digest() -> str:
    sources = (path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return recipe.digest(_project(), sources, platform.python_version())


def _is_current(profile: profiles.Profile) -> bool:
    written = STAMP.read_text(encoding="utf-8") if STAMP.is_file() else None
    return recipe.is_current(written, _digest(), profile)


def _install(facts: machine.Machine, order: recipe.Order, *, dry: bool) -> int:
    stages = recipe.stages(facts, order)
    begun = time.monotonic()
    for number, stage in enumerate(stages, start=1):
        print(f"set-up [{number}/{len(stages)}] {stage.title}", flush=True)
        if dry:
            print("".join(f"  {' '.join(command)}\n" for command in stage.alternatives), end="")
        elif not _succeeds(stage):
            print(
                f"set-up stopped at: {stage.title}; run the same command again once that is mended",
                file=sys.stderr,
            )
            return 1
    if not dry:
        if not order.current:
            STAMP.write_text(recipe.stamp(_digest(), order.profile), encoding="utf-8")
        print(f"set-up: done in {time.monotonic() - begun:.0f} s ({order.profile.name})", flush=True)
    return 0


def _succeeds(stage: recipe.Stage) -> bool:
    *firsts, last = stage.alternatives
    for command in firsts:
        tried = _run(command, capture_output=True)
        if tried.returncode == 0:
            return True
        words = (tried.stderr or tried.stdout).decode(errors="replace").strip().splitlines()
        print(f"  not there ({words[-1] if words else 'no message'}); trying the next source", flush=True)
    return _run(last).returncode == 0


def _run(command: recipe.Command, *, capture_output: bool = False) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(
        command,
        cwd=CHECKOUT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=capture_output,
        check=False,
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("set-up: interrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)
