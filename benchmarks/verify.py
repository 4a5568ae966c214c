"""How often verifiers err, side by side, and what they cost.

    TPT_GSM8K=FOLDER python -m benchmarks.verify [--questions 150] [--parts accuracy,expressions,speed,memory]

FOLDER holds GSM8K's test.jsonl. Accuracy: references of its test set rewritten in many styles, near misses of them, and traces of
SmolLM2-135M-Instruct that were labelled by reading (`benchmarks/answers`); styles that were held out are reported apart. A
verifier's recall is the share of right solutions that it accepts; its precision the share of right ones among those that it
accepts. Math-Verify searches the whole solution with its defaults. Expressions: MATH-style answers, with Math-Verify's pitfalls.
Speed: verdicts a second of CPU time on one core over GSM8K-like traces, all verifiers in turn in this process. Memory: a million
traces.
"""

import argparse
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.answers import speed
from benchmarks.answers.corpus import Item, ReadTrace, items, questions, read_traces, style_count
from benchmarks.answers.expressions import EXPRESSIONS, Expression
from benchmarks.answers.peers import NAMES, side_by_side
from benchmarks.ratios import ratio

PARTS = ("accuracy", "expressions", "speed", "memory")
REPEATS = 5
SPEED_TRACES = 2000
MEMORY_TRACES = 1_000_000


@dataclass
class Count:
    """Verdicts on labelled solutions."""

    right: int = 0
    accepted_right: int = 0
    wrong: int = 0
    accepted_wrong: int = 0

    def add(self, right: bool, accepted: bool) -> None:
        """Count one verdict."""
        self.right += right
        self.wrong += not right
        self.accepted_right += right and accepted
        self.accepted_wrong += accepted and not right

    @property
    def recall(self) -> str:
        """Return the share of right solutions that are accepted."""
        return _share(self.accepted_right, self.right)

    @property
    def precision(self) -> str:
        """Return the share of right ones among the accepted."""
        return _share(self.accepted_right, self.accepted_right + self.accepted_wrong)


def main() -> int:
    """Print the tables that are asked for."""
    options = _options()
    found = questions(options.folder, options.questions)
    parts = options.parts.split(",")
    if "accuracy" in parts:
        _print_styles(list(items(found)))
        _print_traces(read_traces())
    if "expressions" in parts:
        _print_expressions(EXPRESSIONS)
    if "speed" in parts:
        _print_speed(
            {
                speed.REFERENCES: list(speed.references(found, SPEED_TRACES)),
                speed.ENDINGS: list(speed.traces(found, SPEED_TRACES)),
                speed.READ: [(trace.solution, trace.reference) for trace in read_traces()] * 5,
            }
        )
    if "memory" in parts:
        _print_memory(speed.memory(found, options.traces))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=os.environ.get("TPT_GSM8K"), help="GSM8K (default: TPT_GSM8K)")
    parser.add_argument("--questions", type=int, default=150, help="GSM8K questions to rewrite")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"from {', '.join(PARTS)}")
    parser.add_argument("--traces", type=int, default=MEMORY_TRACES, help="traces of the memory part")
    options = parser.parse_args()
    if options.folder is None or not (Path(options.folder) / "test.jsonl").is_file():
        parser.error(f"--folder: {options.folder} holds no test.jsonl; give a folder with GSM8K, or set TPT_GSM8K")
    return options


def _print_styles(corpus: Sequence[Item]) -> None:
    counts: dict[tuple[str, str, str], Count] = defaultdict(Count)
    missed: dict[tuple[str, str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for name, accepted in side_by_side([(item.solution, item.reference) for item in corpus]).items():
        for item, accept in zip(corpus, accepted, strict=True):
            part = "held out" if item.held_out else "known"
            counts[name, part, "all"].add(item.right, accept)
            counts[name, part, item.group].add(item.right, accept)
            errors = missed[name, part, item.group, item.style]
            errors[0] += accept != item.right
            errors[1] += 1
    kinds = ", ".join(f"{count} {name}" for name, count in style_count().items())
    print(f"\n{len(corpus)} solutions of {len({item.reference for item in corpus})} different answers: {kinds}\n")
    print("| verifier | styles | right solutions | recall | near misses | accepted | precision |\n|---|---|---|---|---|---|---|")
    for (name, part, group), count in counts.items():
        if group == "all":
            cells = (f"{count.right:,}", count.recall, f"{count.wrong:,}", _of_wrong(count), count.precision)
            print(f"| {name} | {part} | {' | '.join(cells)} |")
    _print_groups(counts)
    print("\nWhat Math gets wrong, by style:\n")
    for (name, part, group, style), (wrongly, size) in missed.items():
        if name == NAMES[0] and wrongly:
            print(f"- {part}, {group}: {style}, {wrongly} of {size}")


def _print_groups(counts: dict[tuple[str, str, str], Count]) -> None:
    heads = " | ".join(f"{name}: recall | accepts of near misses" for name in NAMES)
    print(f"\n| styles | kind | {heads} |\n|---|---|{'---|---|' * len(NAMES)}")
    for part, group in dict.fromkeys((part, group) for _, part, group in counts if group != "all"):
        cells = [cell for name in NAMES for cell in (counts[name, part, group].recall, _of_wrong(counts[name, part, group]))]
        print(f"| {part} | {group} | {' | '.join(cells)} |")


def _print_traces(traces: Sequence[ReadTrace]) -> None:
    kinds = {"all": list(traces), "those that ended by themselves": [trace for trace in traces if trace.ended]}
    print("\n| traces | verifier | right | recall | wrong or no answer | accepted | precision | unclear | accepted |")
    print("|---|---|---|---|---|---|---|---|---|")
    for kind, found in kinds.items():
        for name, accepted in side_by_side([(trace.solution, trace.reference) for trace in found]).items():
            count, unclear = Count(), Count()
            for trace, accept in zip(found, accepted, strict=True):
                (unclear if trace.label == "unclear" else count).add(trace.label == "right", accept)
            cells = (count.right, count.recall, count.wrong, count.accepted_wrong, count.precision)
            print(f"| {kind} | {name} | {' | '.join(map(str, cells))} | {unclear.wrong} | {unclear.accepted_wrong} |")
    sys.stdout.flush()


def _print_expressions(found: Sequence[Expression]) -> None:
    print(
        "\n| MATH-style answers | verifier | equal | recall | not equal | accepted | precision |\n|---|---|---|---|---|---|---|"
    )
    verdicts = side_by_side([(one.solution, one.reference) for one in found])
    for kind in ("all", *dict.fromkeys(one.kind for one in found)):
        for name in NAMES[:2]:
            count = Count()
            for one, accept in zip(found, verdicts[name], strict=True):
                if kind in ("all", one.kind):
                    count.add(one.equal, accept)
            print(
                f"| {kind} | {name} | {count.right} | {count.recall} | {count.wrong} | {_of_wrong(count)} | {count.precision} |"
            )
    for line in _errors(found, verdicts[NAMES[0]]):
        print(line)


def _errors(found: Sequence[Expression], accepted: Sequence[bool]) -> Iterator[str]:
    for one, accept in zip(found, accepted, strict=True):
        if accept != one.equal:
            yield f"- Math {'accepts' if accept else 'rejects'} {one.solution!r} for {one.reference!r}"


def _print_speed(sets: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    print("\n| traces, one core | verifier | verdicts/s, median | lowest to highest | ratio to Math-Verify (95 %) |")
    print("|---|---|---|---|---|")
    for kind, pairs in sets.items():
        rates = speed.rates(pairs, REPEATS)
        for name, found in rates.items():
            spread = f"{min(found):,.0f} to {max(found):,.0f}"
            print(f"| {kind} | {name} | {statistics.median(found):,.0f} | {spread} | {ratio(found, rates[speed.PLAIN])} |")
        sys.stdout.flush()


def _print_memory(marks: Sequence[speed.Mark]) -> None:
    print("\n| traces graded | resident memory, MiB | CPU seconds |\n|---|---|---|")
    for mark in marks:
        print(f"| {mark.traces:,} | {mark.mebibytes:.0f} | {mark.seconds:.0f} |")


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else ""


def _of_wrong(count: Count) -> str:
    return f"{count.accepted_wrong:,} of {count.wrong:,}" if count.wrong else ""


if __name__ == "__main__":
    sys.exit(main())
