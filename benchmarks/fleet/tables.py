"""What was measured, as tables of Markdown."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from benchmarks.fleet.figures import Window, percentile
from benchmarks.ratios import ratio


@dataclass(frozen=True)
class Measured:
    """One side at one size."""

    side: str
    runs: int
    foreign: int
    """Jobs, and as many pods, of others."""
    window: Window
    idle: float
    """Share of a core."""
    settled: float | None
    """Seconds after a restart; None: it was not restarted."""


def tables(measured: list[Measured], rate: float) -> str:
    """Return all tables."""
    parts = [_load(measured, rate), _writes(measured), _ratios(measured), _growth(measured)]
    return "\n\n".join("\n".join(lines) for lines in map(list, parts) if len(lines) > 2)


def _load(measured: Iterable[Measured], rate: float) -> Iterator[str]:
    names = ("live runs", "steps/s", "hand-off p50", "p99", "longest", "CPU a step", "RSS", "idle", "settled", "busy")
    yield f"| up to {rate:g} steps a second | {' | '.join(names)} |"
    yield "|" + "---|" * (1 + len(names))
    for one in measured:
        window, name = one.window, one.side + (f", {one.foreign:,} of others" if one.foreign else "")
        p50, p99, longest = (milliseconds(percentile(window.latencies, share)) for share in (0.5, 0.99, 1.0))
        settled = "" if one.settled is None else f"{one.settled:.1f} s"
        yield (
            f"| {name} | {one.runs:,} | {window.rate:.1f} | {p50} | {p99} | {longest} | {milliseconds(window.cpu_per_step)} "
            f"| {window.memory / 2**20:.0f} MiB | {one.idle:.1%} | {settled} | {window.busy:.0%} |"
        )


def _writes(measured: Iterable[Measured]) -> Iterator[str]:
    yield "| API requests a step | live runs | writes | of these | dry runs | Events |"
    yield "|" + "---|" * 6
    for one in measured:
        window = one.window
        kinds = sorted((kind for kind in window.writes if not kind.dry), key=lambda kind: -window.writes[kind])
        steps = len(window.ended)
        parts = ", ".join(f"{kind.verb} {kind.resource} {window.writes[kind] / steps:.2f}" for kind in kinds)
        dry = sum(count for kind, count in window.writes.items() if kind.dry) / steps
        yield f"| {one.side} | {one.runs:,} | {window.writes_per_step:.2f} | {parts} | {dry:.2f} | {window.events / steps:.2f} |"


def _ratios(measured: list[Measured]) -> Iterator[str]:
    """Yield the operator beside its peer at each size, block by block."""
    yield "| ratio to JobSet (95 %) | live runs | hand-off p50 | p99 | CPU a step | RSS |"
    yield "|" + "---|" * 6
    plain = {(one.side == "JobSet", one.runs): one.window for one in measured if not one.foreign}
    for (peer, runs), mine in plain.items():
        other = plain.get((True, runs))
        if peer or other is None:
            continue
        pairs = list(zip(mine.blocks(), other.blocks(), strict=True))
        cells = [
            ratio([_latency(one, 0.5) for one, _ in pairs], [_latency(two, 0.5) for _, two in pairs]),
            ratio([_latency(one, 0.99) for one, _ in pairs], [_latency(two, 0.99) for _, two in pairs]),
            ratio([one.cpu_per_step for one, _ in pairs], [two.cpu_per_step for _, two in pairs]),
            f"{mine.memory / other.memory:.2f}",
        ]
        yield f"| the operator | {runs:,} | {' | '.join(cells)} |"


def _growth(measured: list[Measured]) -> Iterator[str]:
    """Yield what others in the cluster change, block by block."""
    yield "| with others, as a ratio to without (95 %) | live runs | CPU a step | RSS | idle, with and without |"
    yield "|" + "---|" * 5
    for crowded in (one for one in measured if one.foreign):
        alone = next(one for one in measured if (one.side, one.runs, one.foreign) == (crowded.side, crowded.runs, 0))
        pairs = list(zip(crowded.window.blocks(), alone.window.blocks(), strict=True))
        cpu = ratio([one.cpu_per_step for one, _ in pairs], [two.cpu_per_step for _, two in pairs])
        memory = ratio([float(one.memory) for one, _ in pairs], [float(two.memory) for _, two in pairs])
        idle = f"{crowded.idle:.1%}, {alone.idle:.1%}"
        yield f"| {crowded.foreign:,} Jobs and pods | {crowded.runs:,} | {cpu} | {memory} | {idle} |"


def milliseconds(seconds: float) -> str:
    """Return a short time."""
    return f"{1000 * seconds:.1f} ms" if seconds < 0.0995 else f"{1000 * seconds:.0f} ms"


def _latency(window: Window, share: float) -> float:
    return percentile(window.latencies, share)
