"""A few traces of every verdict, for people to read: figures alone have hidden many a wrong verifier."""

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
NOTHING: Mapping[tuple[str, int], Fate] = MappingProxyType({})


class ReadingSample:
    """Keeps up to 40 traces of every set and verdict, chosen by lot: which ones does not depend on their order."""

    def __init__(self, lot: str) -> None:
        """Draw by `lot`, a text that differs from round to round."""
        self._lot = lot
        self._heaps: dict[tuple[str, str], list[tuple[int, str, int, dict[str, Any]]]] = defaultdict(list)

    def add(self, graded: Graded) -> None:
        """Offer all samples of one prompt."""
        for sample, grade in graded.pairs:
            identity, index = graded.row["id"], sample["index"]
            drawn = hashlib.sha256(f"{self._lot}/{identity}/{index}".encode()).digest()
            entry = (-int.from_bytes(drawn[:8], "big"), identity, index)
            heap = self._heaps[graded.row["set"], grade["verdict"]]
            if len(heap) < PER_VERDICT:
                heapq.heappush(heap, (*entry, _trace(graded, sample, grade)))
            elif entry > heap[0][:3]:
                heapq.heapreplace(heap, (*entry, _trace(graded, sample, grade)))

    def rows(self, left_out: Mapping[tuple[str, int], Fate] = NOTHING) -> Iterator[dict[str, Any]]:
        """Yield the traces by set and verdict; `left_out` says which samples of the training set were left out since, and why."""
        for key in sorted(self._heaps):
            for _, identity, index, trace in sorted(self._heaps[key], key=lambda entry: entry[1:3]):
                yield trace | ({"kept": left_out[identity, index].value} if (identity, index) in left_out else {})


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
