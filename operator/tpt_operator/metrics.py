"""What Prometheus may ask the operator. What is told of runs is read from their status at every scrape.

So those series outlive a restart, vanish with their run, and are gauges: nothing here counts what the status already knows.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily

from tpt_operator.cache import RunView, Shelf

RUN: Final = ("namespace", "run")
ROUND: Final = (*RUN, "round")
PHASES: Final = ("Pending", "Running", "Suspended", "Complete", "Failed")
VERDICTS: Final = {
    "correct": "correct",
    "wrong": "wrong",
    "unparseable": "unparseable",
    "truncated": "truncated",
    "timedOut": "timed_out",
}
"""The label's values by the status' names."""
_PASS = re.compile(r"(?P<set>[a-z]+)/(?P<strict>strict/)?pass@(?P<k>\d+)")

Json = dict[str, Any]


class Measures:
    """What the operator counts of its own work, and what it tells of runs."""

    def __init__(self) -> None:
        """Begin at nought, in a registry of its own."""
        self.registry = CollectorRegistry()
        self.reconciles = Histogram(
            "tpt_operator_reconcile_seconds",
            "Time to look at one run and carry out what was planned.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            registry=self.registry,
        )
        failed = "Looks at a run that failed and are repeated."
        self.errors = Counter("tpt_operator_reconcile_errors", failed, registry=self.registry)
        self.requests = Counter(
            "tpt_operator_api_requests",
            "Requests to the API server, watches apart; code 0: no answer.",
            ("verb", "code"),
            registry=self.registry,
        )
        unanswered = "Questions after the progress of a step that were not answered; nothing depends on them."
        self.unanswered = Counter("tpt_operator_progress_failures", unanswered, registry=self.registry)
        self.depth = Gauge("tpt_operator_queue_depth", "Runs that are due to be looked at.", registry=self.registry)
        self.list_age = Gauge("tpt_operator_list_age_seconds", "Since everything was last listed.", registry=self.registry)
        self.watch_age = Gauge(
            "tpt_operator_watch_age_seconds",
            "Since the watch of a kind of object was last begun anew or told of something.",
            ("resource",),
            registry=self.registry,
        )

    def answered(self, verb: str, code: int) -> None:
        """Count a request to the API server."""
        self.requests.labels(verb, str(code)).inc()

    def tell_of(self, runs: Shelf[RunView]) -> None:
        """Tell of what is remembered of runs."""
        self.registry.register(Runs(runs))


class Runs:
    """The gauges of every run."""

    def __init__(self, runs: Shelf[RunView]) -> None:
        """Read `runs` at every scrape."""
        self._runs = runs

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield all families, with a series for everything that a status says."""
        families = _families()
        for view in self._runs:
            whose = (view.key.namespace, view.name)
            spec, status = view.raw["spec"], view.raw.get("status") or {}
            told = (view.uid, spec["model"]["uri"], spec.get("training", {}).get("method", ""))
            families["info"].add_metric((*whose, *told), 1)
            for phase in PHASES:
                families["status"].add_metric((*whose, phase), float(status.get("phase") == phase))
            for entry in status.get("rounds", ()):
                _tell_round(families, (*whose, str(entry["round"])), entry)
        yield from families.values()


def _families() -> dict[str, GaugeMetricFamily]:
    def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"tpt_{name}", text, labels=labels)

    return {
        "info": gauge("run_info", "A run, with what does not change.", *RUN, "uid", "model", "method"),
        "status": gauge("run_status", "1 for the phase that the run is in, 0 for the others.", *RUN, "phase"),
        "pass": gauge("round_pass_at_k", "pass@k of the round's model.", *ROUND, "set", "verifier", "k"),
        "samples": gauge("round_samples", "Samples of the training set by verdict.", *ROUND, "verdict"),
        "examples": gauge("round_examples", "Training examples kept.", *ROUND),
        "loss": gauge("round_train_loss", "Training loss of the round's model.", *ROUND),
        "gpu": gauge("gpu_seconds", "GPUs times the seconds that attempts which have ended held them.", *ROUND),
        "queue": gauge("step_queue_seconds", "Time that attempts which have ended waited for their first pod.", *ROUND, "step"),
        "seconds": gauge("step_duration_seconds", "From a step's first start to its end.", *ROUND, "step"),
        "attempts": gauge("step_attempts", "Attempts of a step so far.", *ROUND, "step"),
    }


def _tell_round(families: dict[str, GaugeMetricFamily], whose: tuple[str, ...], entry: Json) -> None:
    for metric in entry.get("metrics", ()):
        found = _PASS.fullmatch(metric["name"])
        if found:
            verifier = "strict" if found["strict"] else "run"
            families["pass"].add_metric((*whose, found["set"], verifier, found["k"]), metric["value"])
        elif metric["name"] == "train/loss":
            families["loss"].add_metric(whose, metric["value"])
    if "samples" in entry:
        for name, verdict in VERDICTS.items():
            families["samples"].add_metric((*whose, verdict), entry["samples"].get(name, 0))
    if "examples" in entry:
        families["examples"].add_metric(whose, entry["examples"])
    families["gpu"].add_metric(whose, entry.get("gpuSeconds", 0))
    for step in entry.get("steps", ()):
        families["queue"].add_metric((*whose, step["name"]), step.get("queueSeconds", 0))
        families["attempts"].add_metric((*whose, step["name"]), step.get("attempts", 0))
        if "startTime" in step and "completionTime" in step:
            seconds = _moment(step["completionTime"]) - _moment(step["startTime"])
            families["seconds"].add_metric((*whose, step["name"]), seconds.total_seconds())


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
