"""Live metrics of the step in progress, served with prometheus-client where TPT_METRICS_PORT asks for it.

All are gauges without labels: a scrape is joined to its run by the pod that served it.
"""

from collections.abc import Mapping
from typing import Any, Self

from tpt_runtime.core.errors import ConfigurationError

DESCRIPTIONS = {
    "completed": "How far the step is, in its own unit",
    "total": "Of how many",
    "samples": "Samples generated so far",
    "tokens": "Tokens generated or trained on so far",
    "tokens_per_second": "Throughput of the last seconds",
    "loss": "Training loss of the last logged optimizer step",
    "optimizer_step": "Optimizer steps taken",
}


class LiveMetrics:
    """The gauges `tpt_step_NAME`; without a port nothing is imported or served."""

    def __init__(self, port: int | None) -> None:
        """Serve on `port` once `serve` is called; None: never."""
        self._port = port
        self._gauges: dict[str, Any] = {}
        self._server: Any = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read TPT_METRICS_PORT.

        Raises:
            ConfigurationError: it is no port.
        """
        port = environment.get("TPT_METRICS_PORT")
        if not port:
            return cls(None)
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise ConfigurationError(f"TPT_METRICS_PORT: found {port!r}, expected a port, 1 to 65535")
        return cls(int(port))

    def serve(self) -> None:
        """Start the HTTP server, if a port was asked for.

        Raises:
            OSError: the port cannot be served.
        """
        if self._port is None:
            return
        from prometheus_client import CollectorRegistry, Gauge, start_http_server

        registry = CollectorRegistry()
        self._gauges = {name: Gauge(f"tpt_step_{name}", text, registry=registry) for name, text in DESCRIPTIONS.items()}
        self._server, _ = start_http_server(self._port, registry=registry)

    def close(self) -> None:
        """Serve no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def set(self, **figures: float) -> None:
        """Set gauges by name (see `DESCRIPTIONS`); an unknown name is a `KeyError`, served or not."""
        for name, value in figures.items():
            DESCRIPTIONS[name]
            if self._gauges:
                self._gauges[name].set(value)
