"""The images: what they are called, and how they are built, which is what `make images` does."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from images.build import ROOT
from images.commands import Order
from tpt_runtime import __version__

REGISTRY = os.environ.get("TPT_E2E_REGISTRY")
"""Where nodes pull the images from. Not set: they are built, or lie on the nodes of the cluster that was named."""
ORDER = Order("cpu", __version__, registry=REGISTRY or "localhost")
IMAGES_SECONDS = 2400.0
PARTING_SECONDS = 30.0


def build(folder: Path, log: Path) -> list[Path]:
    """Build all images and return their archives, in `folder`; `log` says what was run and how long it took."""
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "images.build", "--variant", ORDER.variant, "--tag", ORDER.tag, "--archive", str(folder)]
    with log.open("wb") as said:
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        code = process.wait(IMAGES_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"the images are not built after {IMAGES_SECONDS:.0f} s: {_tail(log)}") from error
    finally:
        _end(process)
    assert code == 0, f"images.build ended with {code}: {_tail(log)}"
    return sorted(folder.glob("*.tar"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started, if any of that still runs."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PARTING_SECONDS)


def _tail(log: Path) -> str:
    return f"{log}, which ends with:\n{log.read_text(errors='replace')[-4000:]}"
