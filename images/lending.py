"""How pip is set on this machine, told so that it holds inside a build: lent as a secret and as mounts, it stays in no layer."""

import ast
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

LENT: Final = "/run/build"
"""Where the builds find what this machine lends them."""
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


@dataclass(frozen=True)
class Lent:
    """How pip is set on this machine, told so that it holds inside a build."""

    configuration: str = ""
    """The text of a pip.conf; empty: pip's defaults."""
    mounts: tuple[tuple[str, str], ...] = ()
    """Folders and files here, and where a build sees them."""


NOTHING: Final = Lent()


def of_this_machine() -> Lent:
    """Return how pip is set here; nothing where there is no pip."""
    for pip in ((sys.executable, "-m", "pip"), ("pip3",), ("pip",)):
        if shutil.which(pip[0]):
            listed = subprocess.run((*pip, "config", "list"), capture_output=True, text=True, check=False)
            if listed.returncode == 0:
                return lent(listed.stdout)
    return NOTHING


def lent(listing: str) -> Lent:
    """Return how `pip config list` says that pip is set, with every folder and file it names moved to where a build sees it."""
    settings: dict[str, str] = {}
    for section in ("global", "install", ":env:"):  # in pip's own order: the last one wins
        settings |= dict(_settings(listing, section))
    mounts: dict[str, str] = {}
    lines = [f"{key} = {' '.join(_moved(key, word, mounts) for word in value.split())}" for key, value in settings.items()]
    return Lent("\n".join(["[global]", *lines, ""]), tuple(mounts.items())) if lines else NOTHING


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


def _place(here: Path) -> str:
    """Return where a build sees a folder: always there, since its mount point stays in layers; and without telling its name."""
    return f"{LENT}/{hashlib.sha256(bytes(here)).hexdigest()[:8]}"
