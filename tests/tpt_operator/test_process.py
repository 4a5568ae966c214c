"""The operator as a process, where there is no API server."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMAGES = [f"--{role}-image={role}:1" for role in ("sampler", "pruner", "trainer")]
DEADLINE = 60.0


def operator(folder, *flags):
    """Start an operator whose API server is not there; return it and its log."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "local", "user": {"token": "secret-token"}}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": "local"}}],
        "current-context": "local",
    }
    (folder / "kubeconfig").write_text(json.dumps(config))
    python_path = f"{ROOT}:{ROOT / 'operator'}"
    environment = {**os.environ, "KUBECONFIG": str(folder / "kubeconfig"), "PYTHONPATH": python_path}
    log = folder / "log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "tpt_operator", *IMAGES, "--port=0", *flags]
        return subprocess.Popen(command, env=environment, stdout=out, stderr=out), log


def said(log, words):
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if words in log.read_text():
            return True
        time.sleep(0.05)
    return False


def test_an_operator_that_still_waits_for_the_api_server_can_be_asked_to_stop(tmp_path):
    process, log = operator(tmp_path)
    try:
        assert said(log, "the caches cannot be filled yet"), log.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert "secret-token" not in log.read_text()


def test_an_operator_without_images_says_what_is_missing():
    command = [sys.executable, "-m", "tpt_operator"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'operator'}"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE, env=environment)
    assert done.returncode == 2
    assert "Missing option '--sampler-image'" in done.stderr
