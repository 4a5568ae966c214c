"""A real Prometheus, and what it answers: in the end-to-end test it scrapes the operator through the API server."""

import contextlib
import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

READY_SECONDS = 60.0


class Prometheus:
    """A running server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, expression: str) -> dict[tuple[str, ...], float]:
        """Return the present values by labels (`name=value`, sorted), without those of the scrape itself."""
        found = self._get("/api/v1/query", query=expression)["result"]
        return {_labels(series["metric"]): float(series["value"][1]) for series in found}

    def over_time(self, expression: str, begin: float, end: float) -> list[dict[str, Any]]:
        """Return the series of an expression between two times, every second, as Grafana asks for them."""
        found: list[dict[str, Any]] = self._get("/api/v1/query_range", query=expression, start=begin, end=end, step=1)["result"]
        return found

    def _get(self, path: str, **query: Any) -> Any:
        with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(query)}", timeout=30) as answer:
            return json.load(answer)["data"]


def _labels(metric: dict[str, str]) -> tuple[str, ...]:
    return tuple(sorted(f"{name}={value}" for name, value in metric.items() if name not in ("__name__", "instance", "job")))


def prometheus(program: str, target: str, path: str, folder: Path) -> contextlib.AbstractContextManager[Prometheus]:
    """Scrape `path` of `target` (HOST:PORT) every two seconds for as long as the context lasts."""
    job = {"job_name": "operator", "metrics_path": path, "static_configs": [{"targets": [target]}]}
    return scraping(program, [job], folder, interval="2s")


@contextlib.contextmanager
def scraping(program: str, jobs: list[dict[str, Any]], folder: Path, interval: str = "1s") -> Iterator[Prometheus]:
    """Scrape as `jobs` (Prometheus' scrape_configs) say for as long as the context lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"global": {"scrape_interval": interval}, "scrape_configs": jobs}
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    command = [program, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "prometheus.log").open("wb") as log:
        listen = f"--web.listen-address=127.0.0.1:{port}"
        process = subprocess.Popen([*command, listen], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, process, folder)
        yield Prometheus(url)
    finally:
        process.kill()
        process.wait()


def _wait(url: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, (folder / "prometheus.log").read_text()
        with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(f"{url}/-/ready", timeout=5):
            return
        time.sleep(0.2)
    raise AssertionError(f"Prometheus is not ready after {READY_SECONDS:.0f} s: {(folder / 'prometheus.log').read_text()}")
