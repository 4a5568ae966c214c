"""Grades any file of traces: what `tpt grade TRACES.jsonl` does.

One JSON object a line: `id` (of the prompt; several lines may share one), `solution`, `reference` (a bare answer or a whole
reference solution), and, if known, `finishReason` (or `finish_reason`); "length" there means that the sample was cut off. The
file is streamed; what is kept is one tally for each id. The first bad line ends it: a figure over part of a file would pass for
the whole.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.verify.passk import Tally, estimate
from tpt_runtime.verify.pool import GradingPool
from tpt_runtime.verify.protocol import Grade, time_limit, verifier
from tpt_runtime.verify.references import References

_COUNT_NAMES = {
    Verdict.CORRECT: "correct",
    Verdict.WRONG: "wrong",
    Verdict.UNPARSEABLE: "unparseable",
    Verdict.TRUNCATED: "truncated",
    Verdict.TIMED_OUT: "timedOut",
}


@dataclass(frozen=True, slots=True)
class Trace:
    """One line of a file of traces."""

    line: int
    prompt: str
    solution: str
    reference: str
    truncated: bool


@dataclass(slots=True)
class _Counts:
    """What is kept while a file is read."""

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    samples: Counter[str] = field(default_factory=Counter)
    correct: Counter[str] = field(default_factory=Counter)

    def add(self, prompt: str, verdict: Verdict) -> None:
        self.verdicts[verdict] += 1
        self.samples[prompt] += 1
        self.correct[prompt] += verdict is Verdict.CORRECT

    def tallies(self) -> list[Tally]:
        return [Tally(samples, self.correct[prompt]) for prompt, samples in self.samples.items()]


@dataclass(frozen=True, slots=True)
class GradeRequest:
    """What is asked of `grade_file`."""

    traces: Path
    verifier: str = "Math"
    output: Path | None = None
    """JSON Lines file for the verdict of each trace, in the order of the traces."""
    k: tuple[int, ...] = (1,)
    timeout_seconds: float = 5.0
    """Longest time that one verdict may take."""
    workers: int | None = None
    """Worker processes for what is slow to grade; default: one for each core."""


def grade_file(request: GradeRequest) -> dict[str, Any]:
    """Grade a file of traces and return its figures.

    Returns:
        A JSON object with keys as in a run's status: `verifier`, `prompts`, `samples` (total and one count for each verdict),
        `metrics` (`name`, `value`, `low`, `high`: pass@k with its 95 % interval by prompt, as fractions of 1), and `leftOut`
        (metric name to the prompts that had fewer than k samples) if there are any.

    Raises:
        ConfigurationError: for a bad line (naming file, line and field), an unknown verifier, a k that no prompt has samples
            for, a file that cannot be read or written.
    """
    chosen = verifier(request.verifier, request.timeout_seconds)
    ks = _checked_k(request.k)
    counts = _Counts()
    with (
        _verdict_writer(request) as write,
        References(chosen, request.timeout_seconds) as references,
        GradingPool(chosen, time_limit(chosen.name, request.timeout_seconds), request.workers) as pool,
    ):
        traces = read_traces(request.traces, references.check)
        for trace, grade in pool.grade((trace, known_grade(trace) or trace.solution, trace.reference) for trace in traces):
            counts.add(trace.prompt, grade.verdict)
            write(_verdict_line(trace, grade))
    if not counts.samples:
        raise ConfigurationError(f"{request.traces}: the file holds no traces; expected one JSON object a line")
    return {"verifier": chosen.name} | _figures(counts, ks)


def read_traces(path: Path, check: Callable[[str], str | None]) -> Iterator[Trace]:
    """Yield the traces of a file; `check` says why a reference cannot be used.

    Raises:
        ConfigurationError: at the first bad line, naming file, line, field, what was found and what is expected.
    """
    references: dict[str, bytes] = {}
    with _opened(path) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                trace = _trace(_object(line, path, number), path, number)
                _check_reference(trace, references, check, path)
                yield trace


def _figures(counts: _Counts, ks: Sequence[int]) -> dict[str, Any]:
    tallies = counts.tallies()
    estimates = [estimate(tallies, k) for k in ks]
    samples = {"total": counts.verdicts.total()} | {name: counts.verdicts[verdict] for verdict, name in _COUNT_NAMES.items()}
    metrics = [{"name": f"pass@{e.k}", "value": e.value, "low": e.low, "high": e.high} for e in estimates]
    left_out = {f"pass@{e.k}": e.left_out for e in estimates if e.left_out}
    figures: dict[str, Any] = {"prompts": len(tallies), "samples": samples, "metrics": metrics}
    return figures | ({"leftOut": left_out} if left_out else {})


def _checked_k(ks: Sequence[int]) -> tuple[int, ...]:
    bad = [k for k in ks if k < 1]
    if bad or not ks:
        raise ConfigurationError(
            f"k: {bad[0] if bad else 'nothing'} was given; allowed: one or more whole numbers from 1, such as 1,10"
        )
    return tuple(dict.fromkeys(ks))


def known_grade(trace: Trace) -> Grade | None:
    """Return the grade of a trace that no verifier has to see."""
    return Grade(Verdict.TRUNCATED) if trace.truncated else None


def _verdict_line(trace: Trace, grade: Grade) -> str:
    verdict = {"line": trace.line, "id": trace.prompt, "verdict": grade.verdict, "answer": grade.answer}
    return json.dumps(verdict | {"marked": grade.marked, "pattern": grade.pattern}) + "\n"


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror}); expected a JSON Lines file of traces") from error


def _object(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise ConfigurationError(f"{path}: line {number}: not JSON ({error}); expected one JSON object a line") from error
    if not isinstance(found, dict):
        raise ConfigurationError(
            f"{path}: line {number}: found {_shown(found)}; expected a JSON object with id, solution and reference"
        )
    return found


def _trace(found: dict[str, Any], path: Path, number: int) -> Trace:
    prompt = _field(found, "id", (str, int), path, number)
    solution = _field(found, "solution", (str,), path, number)
    reference = _field(found, "reference", (str, int, float), path, number)
    if prompt == "":
        raise ConfigurationError(f"{path}: line {number}: field id: is empty; expected the id of the prompt")
    finish = (found.get("finishReason"), found.get("finish_reason"))
    return Trace(number, str(prompt), solution, str(reference), "length" in finish)


def _field(found: dict[str, Any], name: str, types: tuple[type, ...], path: Path, number: int) -> Any:
    expected = "a string" if types == (str,) else "a string or a number"
    if name not in found:
        present = ", ".join(sorted(found)) or "none"
        raise ConfigurationError(
            f"{path}: line {number}: field {name}: is missing; expected {expected} (fields found: {present[:200]})"
        )
    value = found[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not isinstance(value, types) or not (isinstance(value, str) or is_number):
        raise ConfigurationError(f"{path}: line {number}: field {name}: found {_shown(value)}; expected {expected}")
    return value


def _check_reference(trace: Trace, references: dict[str, bytes], check: Callable[[str], str | None], path: Path) -> None:
    where = f"{path}: line {trace.line}: field reference:"
    digest = hashlib.blake2b(trace.reference.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    known = references.get(trace.prompt)
    if known is None:
        problem = check(trace.reference)
        if problem:
            raise ConfigurationError(f"{where} {problem}")
        references[trace.prompt] = digest
    elif known != digest:
        raise ConfigurationError(
            f"{where} differs from that of an earlier line with the id {trace.prompt!r}; expected one for each id"
        )


def _shown(value: Any) -> str:
    return json.dumps(value)[:60]


@contextmanager
def _verdict_writer(request: GradeRequest) -> Iterator[Callable[[str], None]]:
    """Give a function that writes a line of the output; the file appears only when all of it is written."""
    output = request.output
    if output is None:
        yield _discard
        return
    if output.exists() and request.traces.exists() and output.samefile(request.traces):
        raise ConfigurationError(f"output: {output} is the file of traces itself; give another name")
    partial = output.with_name(output.name + ".partial")
    with _write_errors_named(output):
        lines = partial.open("w", encoding="utf-8")
    try:
        yield _line_writer(lines, output)
        with _write_errors_named(output):
            lines.close()
            partial.replace(output)
    finally:
        lines.close()
        partial.unlink(missing_ok=True)


def _discard(line: str) -> None:
    """Do nothing: nobody asked for the verdicts."""
    del line


def _line_writer(lines: IO[str], output: Path) -> Callable[[str], None]:
    def write(line: str) -> None:
        with _write_errors_named(output):
            lines.write(line)

    return write


@contextmanager
def _write_errors_named(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"output: {output} cannot be written ({error.strerror}); give a path in a folder that exists"
        ) from error
