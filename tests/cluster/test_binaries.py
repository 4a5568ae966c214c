"""`make control-plane`, against a server of small releases; and what the tests of a cluster do where there is none."""

import hashlib
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import binaries
from tests.cluster.release_server import SERVER, STEM, SUMS, Releases, tarball

ROOT = Path(__file__).parents[2]


@pytest.fixture
def releases(monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    served = Releases()
    server = served.serve()
    yield served
    server.shutdown()
    server.server_close()


@pytest.fixture
def get(releases, tmp_path, capsys):
    """Return `make control-plane`: its exit code, and what it says."""

    def run(*arguments):
        places = ["--kubernetes-url", f"{releases.url}/kubernetes", "--etcd-url", f"{releases.url}/etcd/"]
        code = binaries.main([*places, "--cache", str(tmp_path), *arguments])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def left(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_it_downloads_what_tests_need_and_prints_the_line_that_names_it(get, tmp_path):
    code, out, err = get()
    assert code == 0, err
    folder = binaries.downloaded(tmp_path, "x86_64")
    assert out == f"export KUBEBUILDER_ASSETS={folder}\n"
    programs = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"]
    assert sorted(path.name for path in folder.iterdir()) == programs
    assert (folder / "kube-apiserver").read_bytes() == b"the kube-apiserver" * 5000
    assert all(os.access(path, os.X_OK) for path in folder.iterdir())
    assert left(tmp_path) == [folder.name]
    assert f"{STEM}.tar.gz: 100 % of" in err
    assert binaries.find({"TPT_CONTROL_PLANE": str(tmp_path)}) == (folder, "")


def test_the_second_time_nothing_is_asked_for(get, releases):
    get()
    releases.requests.clear()
    assert get()[0] == 0
    assert releases.requests == []


def test_where_it_comes_from_can_be_set_by_the_environment(releases, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TPT_KUBERNETES_URL", f"{releases.url}/kubernetes")
    monkeypatch.setenv("TPT_ETCD_URL", f"{releases.url}/etcd")
    monkeypatch.setenv("TPT_CONTROL_PLANE", str(tmp_path))
    assert binaries.main([]) == 0
    assert str(tmp_path) in capsys.readouterr().out


def test_a_download_that_broke_off_is_gone_on_with_where_it_was(get, releases, tmp_path):
    releases.break_off = 200
    code, out, err = get()
    assert (code, out) == (1, "")
    assert "broke off at byte 200 of" in err
    assert binaries.find({"TPT_CONTROL_PLANE": str(tmp_path)})[1]
    releases.break_off = None
    releases.requests.clear()
    assert get()[0] == 0
    assert f"{SERVER}@200" in releases.requests


@pytest.mark.parametrize("kept", [b"rubbish", b"rubbish" * 5000], ids=["a wrong beginning", "more than there is"])
def test_what_is_kept_and_wrong_is_never_taken(get, releases, tmp_path, kept):
    stem = binaries.downloaded(tmp_path, "x86_64").name
    (tmp_path / f"{stem}-kubernetes-server-linux-amd64.tar.gz.partial").write_bytes(kept)
    code, _, err = get()
    assert code == (1 if len(kept) < 100 else 0)
    assert ("thrown away" in err) is (code == 1)
    assert get()[0] == 0


def test_a_server_that_cannot_begin_in_the_middle_begins_anew(get, releases):
    releases.break_off = 200
    get()
    releases.break_off, releases.ranges = None, False
    assert get()[0] == 0


def test_a_wrong_checksum_is_refused_and_the_file_thrown_away(get, releases, tmp_path):
    releases.files[f"{SERVER}.sha512"] = b"a" * 128
    code, _, err = get()
    assert code == 1
    assert re.search(r"has the sha512 [0-9a-f]{128}, published is a{128}: it was thrown away", err)
    assert left(tmp_path) == []


def test_a_page_instead_of_checksums_is_refused_before_the_download(get, releases):
    releases.files[SUMS] = b"<html>\nlog in first\n</html>"
    code, _, err = get()
    assert code == 1
    assert f"{SUMS} has no checksum of {STEM}.tar.gz" in err
    assert not [path for path in releases.requests if path.endswith(f"{STEM}.tar.gz")]


def test_an_archive_without_a_program_makes_no_folder(get, releases, tmp_path):
    other = tarball({"something/else": b"x"})
    etcd = f"{SUMS.rpartition('/')[0]}/{STEM}.tar.gz"
    releases.files |= {etcd: other, SUMS: f"{hashlib.sha256(other).hexdigest()}  {STEM}.tar.gz".encode()}
    code, _, err = get()
    assert code == 1
    assert f"holds no {STEM}/etcd" in err
    assert not binaries.downloaded(tmp_path, "x86_64").exists()


def test_a_version_that_is_not_there_and_a_place_that_is_not_there_are_told_with_the_way_out(get, releases):
    del releases.files[f"{SERVER}.sha512"]
    assert "404" in get()[2]
    code, _, err = get("--kubernetes-url", "http://127.0.0.1:9")
    assert code == 1
    assert "http://127.0.0.1:9/v" in err
    for words in ("cannot be read", "https_proxy", "TPT_KUBERNETES_URL"):
        assert words in err


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Linux", "riscv64")])
def test_where_there_is_no_release_nothing_is_asked_for(get, releases, monkeypatch, system, machine):
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    code, _, err = get()
    assert (code, releases.requests) == (1, [])
    assert f"this is {system} on {machine}" in err


def test_both_architectures_have_addresses_as_their_projects_document_them():
    server, etcd = binaries.archives("arm64", binaries.KUBERNETES_URL, binaries.ETCD_URL)
    assert server.url == f"https://dl.k8s.io/v{binaries.KUBERNETES}/kubernetes-server-linux-arm64.tar.gz"
    assert server.checksums == f"{server.url}.sha512"
    assert etcd.url.endswith(f"/v{binaries.ETCD}/etcd-v{binaries.ETCD}-linux-arm64.tar.gz")
    assert etcd.checksums.endswith(f"/v{binaries.ETCD}/SHA256SUMS")


def cluster_tests(environment):
    """Run tests that need a control plane, in a process of its own; return its exit code and what it says."""
    kept = {name: value for name, value in os.environ.items() if name not in ("KUBEBUILDER_ASSETS", "CI")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/cluster/test_leases.py"]
    done = subprocess.run(command, cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_without_a_control_plane_the_tests_are_left_out_with_one_line_and_fail_in_ci(tmp_path):
    code, told = cluster_tests({"TPT_CONTROL_PLANE": str(tmp_path)})
    assert code == 0, told
    (line,) = [line for line in told.splitlines() if line.startswith("SKIPPED")]
    assert line.endswith("(KUBEBUILDER_ASSETS is not set): `make control-plane` downloads one and names it")
    code, told = cluster_tests({"KUBEBUILDER_ASSETS": str(tmp_path), "CI": "1"})
    assert code == 1
    assert "KUBEBUILDER_ASSETS names a folder without etcd, kube-apiserver, kube-controller-manager" in told
