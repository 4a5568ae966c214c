"""The programs of a control plane: where tests find them, and `make control-plane`, which downloads them where there are none.

They come from Kubernetes' own server release and from etcd's own release, with the checksums that each publishes beside its
archives. Nothing is taken before its checksum was found right; what was interrupted goes on where it was. Standard library only,
for it runs before anything is installed. The addresses are those that both projects document; tests use a server of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

KUBERNETES = "1.37.2"
ETCD = "3.7.2"
KUBERNETES_URL = "https://dl.k8s.io"
ETCD_URL = "https://github.com/etcd-io/etcd/releases/download"
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
"""What a control plane consists of; `kubectl` comes along for people, and `kube-scheduler` for the few tests that have nodes."""
CHUNK = 1 << 20
SILENCE_SECONDS = 60.0
"""A server that says nothing for so long is given up."""
ELSEWHERE = "--kubernetes-url and --etcd-url (TPT_KUBERNETES_URL, TPT_ETCD_URL) name other places"


class DownloadFailed(Exception):
    """There are no programs yet; the message says what to do."""


def cache(environment: Mapping[str, str]) -> Path:
    """Return the folder that downloads are kept in."""
    named = environment.get("TPT_CONTROL_PLANE")
    kept = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(named or f"{kept}/tpt/control-plane").expanduser()


def downloaded(folder: Path, machine: str) -> Path:
    """Return where the programs of the pinned versions lie below the cache `folder`, whether they are there or not."""
    return folder / f"kubernetes-{KUBERNETES}-etcd-{ETCD}-{ARCHITECTURES.get(machine.lower(), machine)}"


def find(environment: Mapping[str, str]) -> tuple[Path, str]:
    """Return the folder with the programs of a control plane, and why it cannot be used (nothing if it can)."""
    named = environment.get("KUBEBUILDER_ASSETS")
    folder = Path(named) if named else downloaded(cache(environment), platform.machine())
    lacking = [program for program in PROGRAMS if not (folder / program).is_file()]
    if not lacking:
        return folder, ""
    where = f"KUBEBUILDER_ASSETS names a folder without {', '.join(lacking)}" if named else "KUBEBUILDER_ASSETS is not set"
    return folder, f"no control plane to test with ({where}): `make control-plane` downloads one and names it"


def in_ci(environment: Mapping[str, str]) -> bool:
    """Return whether this is continuous integration, which must not pass without what it is there to test."""
    return environment.get("CI", "").lower() not in ("", "0", "false")


@dataclass(frozen=True)
class Archive:
    """An archive of a release."""

    url: str
    checksums: str
    """URL of the published checksums: of this archive alone, or lines of `DIGEST  NAME`."""
    algorithm: str
    members: Mapping[str, str]
    """Where the programs lie in it."""

    @property
    def name(self) -> str:
        """Its file's name."""
        return self.url.rpartition("/")[2]


def archives(architecture: str, kubernetes_url: str, etcd_url: str) -> list[Archive]:
    """Return what is to be downloaded for an architecture, as Kubernetes and etcd name it."""
    server = f"{kubernetes_url}/v{KUBERNETES}/kubernetes-server-linux-{architecture}.tar.gz"
    programs = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
    stem = f"etcd-v{ETCD}-linux-{architecture}"
    release = f"{etcd_url}/v{ETCD}"
    return [
        Archive(server, f"{server}.sha512", "sha512", {name: f"kubernetes/server/bin/{name}" for name in programs}),
        Archive(f"{release}/{stem}.tar.gz", f"{release}/SHA256SUMS", "sha256", {"etcd": f"{stem}/etcd"}),
    ]


def published(text: str, archive: Archive) -> str:
    """Return the digest of an archive from the text of its published checksums."""
    digits = hashlib.new(archive.algorithm).digest_size * 2
    for line in text.splitlines():
        digest, *names = line.lower().split() or [""]
        if re.fullmatch(f"[0-9a-f]{{{digits}}}", digest) and names in ([], [archive.name], [f"*{archive.name}"]):
            return digest
    raise DownloadFailed(f"{archive.checksums} has no checksum of {archive.name}; are the version and the URL right?")


def download(archive: Archive, partial: Path) -> None:
    """Have the archive lie at `partial`, whole and with the right checksum; what was downloaded of it before is gone on with."""
    with _open(archive.checksums) as answer:
        text = b"".join(_chunks(answer, archive.checksums)).decode(errors="replace")
    expected = published(text, archive)
    if not partial.is_file() or _digest(partial, archive) != expected:
        _go_on(archive, partial)
    found = _digest(partial, archive)
    if found != expected:
        partial.unlink()
        message = f"{archive.url} has the {archive.algorithm} {found}, published is {expected}"
        raise DownloadFailed(f"{message}: it was thrown away; run the same command again, and if this stays, trust no such file")


def unpack(archive: Archive, file: Path, into: Path) -> None:
    """Take the programs out of an archive, in one pass: it may be large."""
    lacking = {member: program for program, member in archive.members.items()}
    with tarfile.open(file, "r|gz") as opened:
        for member in opened:
            content = opened.extractfile(member) if member.name in lacking else None
            if content is not None:
                program = into / lacking.pop(member.name)
                with program.open("wb") as out:
                    shutil.copyfileobj(content, out, CHUNK)
                program.chmod(0o755)
    if lacking:
        raise DownloadFailed(f"{archive.url} holds no {', '.join(lacking)}: it is not the release that was expected")


def provide(wanted: Sequence[Archive], target: Path) -> None:
    """Have the programs of all archives lie in the folder `target`, which is there whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target.parent):
        if target.is_dir():
            return
        partial = {archive.name: target.with_name(f"{target.name}-{archive.name}.partial") for archive in wanted}
        for archive in wanted:
            download(archive, partial[archive.name])
        with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=target.parent) as fresh:
            unpacked = Path(fresh, "programs")
            unpacked.mkdir()
            for archive in wanted:
                unpack(archive, partial[archive.name], unpacked)
            unpacked.rename(target)
        for file in partial.values():
            file.unlink()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a lock: two callers at once download once."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _open(url: str, begin: int = 0) -> Any:
    """Return the server's answer, from byte `begin` on if it can."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={begin}-"} if begin else {})
    try:
        return urllib.request.urlopen(request, timeout=SILENCE_SECONDS)
    except urllib.error.HTTPError as error:
        if begin and error.code == 416:  # nothing lies there: what is kept is no beginning of it
            return _open(url)
        raise DownloadFailed(f"{url}: {error.code} {error.reason}; {ELSEWHERE}") from error
    except (OSError, HTTPException) as error:
        raise _unreadable(url, error) from error


def _chunks(answer: Any, url: str) -> Iterator[bytes]:
    while True:
        try:
            chunk: bytes = answer.read(CHUNK)
        except (OSError, HTTPException) as error:
            raise _unreadable(url, error) from error
        if not chunk:
            return
        yield chunk


def _unreadable(url: str, error: Exception) -> DownloadFailed:
    why = getattr(error, "reason", None) or error
    return DownloadFailed(f"{url} cannot be read: {why}; is there a network, or a proxy to name in https_proxy? {ELSEWHERE}")


def _go_on(archive: Archive, partial: Path) -> None:
    """Download what is missing of an archive; all of it if the server cannot begin in the middle."""
    begin = partial.stat().st_size if partial.is_file() else 0
    with _open(archive.url, begin) as answer:
        resumed = answer.status == 206
        done = begin if resumed else 0
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length else None
        with partial.open("ab" if resumed else "wb") as out:
            for chunk in _chunks(answer, archive.url):
                out.write(chunk)
                _tell(archive.name, done, done + len(chunk), total)
                done += len(chunk)
    if total is not None and done < total:
        raise DownloadFailed(f"{archive.url} broke off at byte {done:,} of {total:,}; run the same command again to go on")


def _tell(name: str, before: int, now: int, total: int | None) -> None:
    """Say how far a download is, once for each tenth."""
    if total and before * 10 // total < now * 10 // total:
        print(f"{name}: {now * 100 // total} % of {total / 1e6:,.1f} MB", file=sys.stderr, flush=True)


def _digest(file: Path, archive: Archive) -> str:
    made = hashlib.new(archive.algorithm)
    with file.open("rb") as opened:
        while chunk := opened.read(CHUNK):
            made.update(chunk)
    return made.hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Download the programs, unless they are there, and print the line that names them."""
    parser = argparse.ArgumentParser(prog="make control-plane", description=f"Kubernetes {KUBERNETES} and etcd {ETCD} for tests.")
    parser.add_argument("--kubernetes-url", default=os.environ.get("TPT_KUBERNETES_URL", KUBERNETES_URL), help="%(default)s")
    parser.add_argument("--etcd-url", default=os.environ.get("TPT_ETCD_URL", ETCD_URL), help="%(default)s")
    parser.add_argument("--cache", type=Path, default=cache(os.environ), help="%(default)s")
    options = parser.parse_args(arguments)
    machine, system = platform.machine(), platform.system()
    architecture = ARCHITECTURES.get(machine.lower())
    try:
        if system != "Linux" or architecture is None:
            here = f"this is {system} on {machine}"
            raise DownloadFailed(f"there are control planes for Linux on amd64 and arm64, and {here}: use a virtual machine")
        target = downloaded(options.cache.absolute(), machine)
        provide(archives(architecture, options.kubernetes_url.rstrip("/"), options.etcd_url.rstrip("/")), target)
    except (DownloadFailed, OSError, tarfile.TarError) as error:
        print(f"control-plane: {error}", file=sys.stderr)
        return 1
    print(f"export KUBEBUILDER_ASSETS={target}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("control-plane: interrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)
