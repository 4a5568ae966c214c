"""The figures of a run, from three sides: what Prometheus knows, what the status says, what the artifacts amount to.

Each is a mapping from a metric's name and labels to a value. What is read from artifacts is computed anew from grades and
examples, not taken from the summaries that the status was made of.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tests.e2e.prometheus import Prometheus
from tpt_runtime.core.paths import Paths
from tpt_runtime.core.resource import parse_run

Json = dict[str, Any]
Key = tuple[str, ...]
Read = Callable[[str], str]
"""Returns the text of a file, by its path below the run's folder."""

ROUNDED = 0.000051
"""A status has four decimals of a share."""
FAMILIES = ("tpt_round_pass_at_k", "tpt_round_samples", "tpt_round_examples", "tpt_round_train_loss")
VERDICTS = {
    "correct": "correct",
    "wrong": "wrong",
    "unparseable": "unparseable",
    "truncated": "truncated",
    "timedOut": "timed_out",
}


def key(family: str, run: Json, **labels: object) -> Key:
    whose = {"namespace": run["metadata"]["namespace"], "run": run["metadata"]["name"]}
    return (family, *sorted(f"{name}={value}" for name, value in (whose | labels).items()))


def of_prometheus(server: Prometheus, run: Json) -> dict[Key, float]:
    mine = f'run="{run["metadata"]["name"]}"'
    found: dict[Key, float] = {}
    for family in FAMILIES:
        found |= {(family, *labels): value for labels, value in server.query(f"{family}{{{mine}}}").items()}
    return found


def of_status(run: Json) -> dict[Key, float]:
    return dict(_of_status(run))


def _of_status(run: Json) -> Iterator[tuple[Key, float]]:
    for entry in run["status"]["rounds"]:
        number = entry["round"]
        for metric in entry.get("metrics", ()):
            *parts, last = metric["name"].split("/")
            if last.startswith("pass@"):
                verifier = "strict" if "strict" in parts else "run"
                yield key(FAMILIES[0], run, round=number, set=parts[0], verifier=verifier, k=last[5:]), metric["value"]
            elif metric["name"] == "train/loss":
                yield key(FAMILIES[3], run, round=number), metric["value"]
        for name, label in VERDICTS.items():
            if "samples" in entry:
                yield key(FAMILIES[1], run, round=number, verdict=label), entry["samples"].get(name, 0)
        if "examples" in entry:
            yield key(FAMILIES[2], run, round=number), entry["examples"]


def of_artifacts(run: Json, read: Read) -> dict[Key, float]:
    return dict(_of_artifacts(run, read))


def _of_artifacts(run: Json, read: Read) -> Iterator[tuple[Key, float]]:
    spec = parse_run(run, "run").spec
    paths, last = Paths(spec), spec.max_rounds
    for number in range(last + 1):
        yield from _passes(run, number, _rows(read, f"{paths.grade_dir(number)}/grades.jsonl"), spec.evaluation.k)
        if number == last:
            continue
        # What model n drew to train its successor on measures model n, and is counted in the next round.
        grades = list(_rows(read, f"{paths.prune_dir(number + 1)}/grades.jsonl"))
        yield from _passes(run, number, grades, [k for k in spec.evaluation.k if k <= spec.sampling.samples_per_prompt])
        verdicts = Counter(grade["verdict"] for row in grades for grade in row["grades"])
        for verdict in VERDICTS.values():
            yield key(FAMILIES[1], run, round=number + 1, verdict=verdict), verdicts[verdict]
        examples = list(_rows(read, f"{paths.prune_dir(number + 1)}/train.jsonl"))
        yield key(FAMILIES[2], run, round=number + 1), len(examples)
        trained = json.loads(read(f"{paths.train_dir(number + 1)}/manifest.json"))["summary"]["metrics"]
        (loss,) = (metric["value"] for metric in trained if metric["name"] == "train/loss")
        yield key(FAMILIES[3], run, round=number + 1), loss


def _passes(run: Json, number: int, rows: Iterable[Json], ks: Iterable[int]) -> Iterator[tuple[Key, float]]:
    sets: dict[str, list[list[Json]]] = {}
    for row in rows:
        sets.setdefault(row["set"], []).append(row["grades"])
    for name, prompts in sets.items():
        right = [(len(grades), sum(grade["verdict"] == "correct" for grade in grades)) for grades in prompts]
        strict = [(len(grades), sum(grade["strict"] for grade in grades)) for grades in prompts]
        for verifier, k, tallies in [*(("run", k, right) for k in ks), ("strict", 1, strict)]:
            share = sum(pass_at(n, c, k) for n, c in tallies) / len(tallies)
            yield key(FAMILIES[0], run, round=number, set=name, verifier=verifier, k=k), share


def pass_at(samples: int, correct: int, k: int) -> float:
    """Return the chance that one of `k` of the samples is right (Chen et al. 2021)."""
    return 1 - math.comb(samples - correct, k) / math.comb(samples, k)


def _rows(read: Read, path: str) -> Iterator[Json]:
    yield from (json.loads(line) for line in read(path).splitlines())
