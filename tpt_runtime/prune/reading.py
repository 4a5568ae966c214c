"""A few traces of every verdict, for people to read: figures alone have hidden many a wrong verifier."""

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from tpt_runtime.prune.grading import Graded
from tpt_runtime.prune.selection import Fate

PER_VERDICT = 40


class ReadingSample:
    """Keeps up to 40 traces of every set and verdict, chosen by lot: which ones does not depend on their order."""

    def __init__(self, lot: str) -> None:
        """Draw by `lot`, a text that differs from round to round."""
        self._lot = lot
        self._heaps: dict[tuple[str, str], list[tuple[int, str, int, dict[str, Any]]]] = defaultdict(list)

    def add(self, graded: Graded) -> None:
        """Offer all samples of one prompt."""
        for sample, grade in zip(graded.sampled["samples"], graded.row["grades"], strict=True):
            identity, index = graded.row["id"], sample["index"]
            drawn = hashlib.sha256(f"{self._lot}/{identity}/{index}".encode()).digest()
            entry = (-int.from_bytes(drawn[:8], "big"), identity, index)
            heap = self._heaps[graded.row["set"], grade["verdict"]]
            if len(heap) < PER_VERDICT:
                heapq.heappush(heap, (*entry, _trace(graded, index)))
            elif entry > heap[0][:3]:
                heapq.heapreplace(heap, (*entry, _trace(graded, index)))

    def rows(self, fates: Mapping[tuple[str, int], Fate] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the traces by set and verdict; `fates` says what became of those of the training set."""
        for key in sorted(self._heaps):
            for _, identity, index, trace in sorted(self._heaps[key], key=lambda entry: entry[1:3]):
                fate = {} if fates is None else {"kept": fates[identity, index].value}
                yield trace | fate


def _trace(graded: Graded, index: int) -> dict[str, Any]:
    sample, grade = graded.sampled["samples"][index], graded.row["grades"][index]
    right = sum(other["verdict"] == "correct" for other in graded.row["grades"])
    return {
        "id": graded.row["id"],
        "set": graded.row["set"],
        "sample": sample["index"],
        "question": graded.prompt["question"],
        "reference": graded.prompt["reference"],
        "solution": sample["text"],
        "verdict": grade["verdict"],
        "answer": grade.get("answer"),
        "marked": grade["marked"],
        "correctOf": [right, len(graded.row["grades"])],
    }
