"""A few traces of every verdict, for people to read: figures alone have hidden many a wrong verifier.

Some more are of a few questions that are the same in every round, so that one can see what becomes of a question.
"""

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from tpt_runtime.core.rows import Grade, Sample
from tpt_runtime.prune.grading import Graded
from tpt_runtime.prune.selection import Fate

PER_VERDICT = 40
FOLLOWED = 12
"""Questions of every set that are followed over the rounds."""
OF_A_FOLLOWED = 2
"""Samples of such a question in a round, the first ones."""
NOTHING: Mapping[tuple[str, int], Fate] = MappingProxyType({})


class ReadingSample:
    """Keeps up to 40 traces of every set and verdict, and some of 12 questions, drawn by lot: their order changes nothing."""

    def __init__(self, lot: str) -> None:
        """Draw by `lot`, a text that differs from round to round; the questions that are followed are drawn without it."""
        self._round = lot
        self._heaps: dict[tuple[str, str], list[tuple[int, str, int, dict[str, Any]]]] = defaultdict(list)
        self._followed: dict[str, list[tuple[int, str, list[dict[str, Any]]]]] = defaultdict(list)

    def add(self, graded: Graded) -> None:
        """Offer all samples of one prompt."""
        self._follow(graded)
        for sample, grade in graded.pairs:
            identity, index = graded.row["id"], sample["index"]
            entry = (-_lot(f"{self._round}/{identity}/{index}"), identity, index)
            heap = self._heaps[graded.row["set"], grade["verdict"]]
            if len(heap) < PER_VERDICT:
                heapq.heappush(heap, (*entry, _trace(graded, sample, grade)))
            elif entry > heap[0][:3]:
                heapq.heapreplace(heap, (*entry, _trace(graded, sample, grade)))

    def _follow(self, graded: Graded) -> None:
        identity, heap = graded.row["id"], self._followed[graded.row["set"]]
        entry = (-_lot(f"followed/{identity}"), identity)
        if len(heap) < FOLLOWED or entry > heap[0][:2]:
            traces = [_trace(graded, sample, grade) for sample, grade in graded.pairs[:OF_A_FOLLOWED]]
            (heapq.heappush if len(heap) < FOLLOWED else heapq.heapreplace)(heap, (*entry, traces))

    def rows(self, left_out: Mapping[tuple[str, int], Fate] = NOTHING) -> Iterator[dict[str, Any]]:
        """Yield the traces by set and verdict, then those of the questions that are followed and are not among them.

        `left_out` says which samples of the training set were left out since, and why.
        """
        told = set()
        for key in sorted(self._heaps):
            for _, identity, index, trace in sorted(self._heaps[key], key=lambda entry: entry[1:3]):
                told.add((key[0], identity, index))
                yield _settled(trace, left_out)
        for data_set in sorted(self._followed):
            for _, identity, traces in sorted(self._followed[data_set], key=lambda entry: entry[1]):
                yield from (_settled(trace, left_out) for trace in traces if (data_set, identity, trace["sample"]) not in told)


def _lot(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _settled(trace: dict[str, Any], left_out: Mapping[tuple[str, int], Fate]) -> dict[str, Any]:
    key = (trace["id"], trace["sample"])
    return trace | ({"kept": left_out[key].value} if key in left_out else {})


def _trace(graded: Graded, sample: Sample, grade: Grade) -> dict[str, Any]:
    fate: dict[str, Any] = {"kept": grade["kept"]} if "kept" in grade else {}
    fate |= {"hinted": True} if "hinted" in grade else {}
    return {
        "id": graded.row["id"],
        "set": graded.row["set"],
        "sample": sample["index"],
        "question": graded.question.question,
        "reference": graded.question.reference,
        "solution": sample["text"],
        "verdict": grade["verdict"],
        "answer": grade.get("answer"),
        "marked": grade["marked"],
        "correctOf": [len(graded.correct), len(graded.row["grades"])],
    } | fate
