"""A real control plane of Kubernetes as processes of the test session: etcd, API server (RBAC on), controller manager.

Where the binaries come from is said in `binaries.py`. Everything listens on loopback, on ports that
were free. There is no kubelet: see `kubelet.py`.
"""

import base64
import contextlib
import json
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.kube import Kube, Refused

READY_SECONDS = 60.0


@dataclass(frozen=True)
class ControlPlane:
    """A running control plane."""

    url: str
    authority: Path
    """The certificate that vouches for it."""
    token: str
    """Of the administrator."""
    programs: Path
    """The folder of the binaries."""
    kubeconfig: Path
    """The administrator's."""

    def kube(self, token: str | None = None) -> Kube:
        """Return a client, the administrator's unless `token` says otherwise."""
        return Kube(self.url, self.authority, token or self.token)


@contextlib.contextmanager
def control_plane(binaries: Path, folder: Path, *api_server: str) -> Iterator[ControlPlane]:
    """Start a control plane whose data and logs lie in `folder`; it ends with the context. `api_server`: more arguments of it."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        yield _start(binaries, folder, running, api_server)
    finally:
        for process in reversed(running):
            process.kill()
            process.wait()


def _start(binaries: Path, folder: Path, running: list[subprocess.Popen[bytes]], api_server: tuple[str, ...]) -> ControlPlane:
    client, peer, api, manager = _ports(4)
    keys = folder / "keys"
    keys.mkdir(parents=True)
    tokens = {"admin": "system:masters", "system:kube-controller-manager": ""}
    words = {name: secrets.token_hex(16) for name in tokens}
    lines = [f"{words[name]},{name},{name}{f',{group}' if group else ''}" for name, group in tokens.items()]
    (keys / "tokens.csv").write_text("\n".join(lines) + "\n")
    account_key = keys / "accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", account_key, "2048"], check=True, capture_output=True)

    def start(program: str, *arguments: str) -> None:
        with (folder / f"{program}.log").open("wb") as log:
            running.append(subprocess.Popen([binaries / program, *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL))

    etcd = f"http://127.0.0.1:{client}"
    start(
        "etcd",
        *("--data-dir", str(folder / "etcd"), "--unsafe-no-fsync", "--log-level", "warn"),
        *("--listen-client-urls", etcd, "--advertise-client-urls", etcd),
        *("--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}"),
        *("--initial-cluster", f"default=http://127.0.0.1:{peer}"),
    )
    start(
        "kube-apiserver",
        *("--etcd-servers", etcd, "--bind-address", "127.0.0.1", "--secure-port", str(api), "--cert-dir", str(keys)),
        *("--endpoint-reconciler-type", "none", "--authorization-mode", "RBAC", "--token-auth-file", str(keys / "tokens.csv")),
        # As on OpenShift: an owner reference that blocks deletion needs a right of its own.
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
        *("--service-account-issuer", "https://kubernetes.default.svc"),
        *("--service-account-key-file", str(account_key), "--service-account-signing-key-file", str(account_key)),
        *api_server,
    )
    plane = ControlPlane(
        f"https://127.0.0.1:{api}",
        keys / "apiserver.crt",
        words["admin"],
        programs=binaries,
        kubeconfig=keys / "admin.kubeconfig",
    )
    _wait_until_ready(plane, folder, running)
    plane.kubeconfig.write_text(kubeconfig(plane, plane.token))
    config = keys / "manager.kubeconfig"
    config.write_text(kubeconfig(plane, words["system:kube-controller-manager"]))
    start(
        "kube-controller-manager",
        *("--kubeconfig", str(config), "--use-service-account-credentials", "--leader-elect=false"),
        *("--authentication-kubeconfig", str(config), "--authorization-kubeconfig", str(config)),
        *("--service-account-private-key-file", str(account_key), "--root-ca-file", str(plane.authority)),
        *("--bind-address", "127.0.0.1", "--secure-port", str(manager), "--kube-api-qps", "500", "--kube-api-burst", "500"),
    )
    return plane


@contextlib.contextmanager
def scheduler(plane: ControlPlane, folder: Path) -> Iterator[None]:
    """Run the scheduler, which most tests do without, beside a control plane."""
    (port,) = _ports(1)
    with (folder / "kube-scheduler.log").open("wb") as log:
        command: list[str | Path] = [plane.programs / "kube-scheduler", "--leader-elect=false", "--kubeconfig", plane.kubeconfig]
        command += ["--authentication-kubeconfig", plane.kubeconfig, "--authorization-kubeconfig", plane.kubeconfig]
        command += ["--bind-address", "127.0.0.1", "--secure-port", str(port)]
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def kubeconfig(plane: ControlPlane, token: str) -> str:
    """Return what kubectl and its like read."""
    authority = base64.b64encode(plane.authority.read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": {"server": plane.url, "certificate-authority-data": authority}}],
        "users": [{"name": "local", "user": {"token": token}}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": "local"}}],
        "current-context": "local",
    }
    return json.dumps(config)


def _ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [port.getsockname()[1] for port in held]


def _wait_until_ready(plane: ControlPlane, folder: Path, running: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        ended = [process for process in running if process.poll() is not None]
        if ended:
            raise RuntimeError(f"{ended[0].args!r} has ended with {ended[0].returncode}; see the logs in {folder}")
        with contextlib.suppress(OSError, Refused):
            if plane.kube().text("/readyz") == "ok":
                return
        time.sleep(0.1)
    raise RuntimeError(f"the API server is not ready after {READY_SECONDS:.0f} s; see the logs in {folder}")
