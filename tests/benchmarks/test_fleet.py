"""The arithmetic of the operator's benchmark."""

import json

import pytest

from benchmarks.fleet.figures import (
    HandOff,
    Request,
    Sample,
    Seen,
    Window,
    difference,
    handoffs,
    percentile,
    quiet_since,
    requests,
    without_collection,
)
from benchmarks.fleet.sides import CHAIN, summary
from benchmarks.fleet.tables import Measured, milliseconds, tables
from tpt_runtime.core import summaries
from tpt_runtime.core.rounds import StepKey
from tpt_runtime.core.status import StepName

ROUNDS = {"prepare": 0}


def test_percentiles_are_of_the_nearest_rank():
    values = [float(value) for value in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]
    assert percentile([3.0], 0.99) == 3.0
    assert percentile([1.0, 2.0, 3.0], 0.5) == 2.0


def test_of_nothing_there_is_no_percentile():
    with pytest.raises(ValueError, match="nothing was measured"):
        percentile([], 0.5)


def test_a_hand_off_is_from_a_completion_to_the_next_job_of_the_same_run():
    seen = [
        Seen("a", 0.0, completed=False),
        Seen("b", 1.0, completed=False),
        Seen("b", 2.0, completed=True),
        Seen("a", 2.5, completed=True),
        Seen("a", 2.75, completed=False),
        Seen("b", 3.0, completed=False),
    ]
    assert handoffs(reversed(seen)) == [HandOff(2.0, 1.0), HandOff(2.5, 0.25)]


def test_the_first_job_and_the_last_completion_of_a_run_are_no_hand_off():
    assert handoffs([Seen("a", 0.0, completed=False), Seen("a", 1.0, completed=True)]) == []


PAGE = """\
# TYPE apiserver_request_total counter
apiserver_request_total{code="200",dry_run="",resource="runs",subresource="status",verb="PUT"} 7
apiserver_request_total{code="201",dry_run="All",resource="jobs",subresource="",verb="POST"} 3
apiserver_request_total{code="201",dry_run="",resource="jobs",subresource="",verb="POST"} 1.2e+01
apiserver_request_total{code="409",dry_run="",resource="jobs",subresource="",verb="POST"} 5
apiserver_request_total{code="200",dry_run="",resource="jobs",subresource="",verb="LIST"} 99
other_total{code="200",dry_run="",resource="jobs",subresource="",verb="POST"} 1
"""


def test_writes_are_counted_by_kind_those_that_failed_and_reads_left_out():
    assert requests(PAGE) == {
        Request("PUT", "runs/status", dry=False): 7,
        Request("POST", "jobs", dry=True): 3,
        Request("POST", "jobs", dry=False): 12,
    }


def test_only_what_was_added_counts():
    before, after = requests(PAGE), requests(PAGE.replace("1.2e+01", "15"))
    assert difference(after, before) == {Request("POST", "jobs", dry=False): 3}


def test_a_process_is_quiet_from_where_a_whole_second_costs_little():
    busy = [Sample(t / 4, min(t / 4, 2.0), 0) for t in range(8)]
    assert quiet_since(busy, 1.0, 0.1) is None
    later = [*busy, *(Sample(2.0 + t / 4, 2.0 + t / 400, 0) for t in range(8))]
    assert quiet_since(later, 1.0, 0.1) == 2.0


def window(cpu: float, latency: float, writes: float) -> Window:
    samples = tuple(Sample(10.0 * block, cpu * 10 * block, 100 * 2**20) for block in range(3))
    ended = tuple(float(second) for second in range(20))
    due = tuple(HandOff(at, latency) for at in ended)
    counts = {Request("POST", "jobs", dry=False): writes, Request("POST", "jobs", dry=True): 100.0}
    return Window(0.0, 20.0, due, ended, samples, counts, events=40)


def test_what_a_step_costs_is_the_window_divided_by_its_steps():
    one = window(cpu=0.02, latency=0.01, writes=60.0)
    assert (one.rate, one.writes_per_step) == (1.0, 3.0)
    assert one.cpu_per_step == pytest.approx(0.02)
    assert [(len(block.ended), len(block.handoffs)) for block in one.blocks()] == [(10, 10), (10, 10)]
    assert [block.cpu_per_step for block in one.blocks()] == pytest.approx([0.02, 0.02])


def test_the_tables_tell_the_operator_as_a_ratio_to_its_peer_of_the_same_size():
    mine = Measured("the operator", 100, 0, window(0.02, 0.01, 60.0), 0.001, 2.5)
    crowded = Measured("the operator", 100, 20000, window(0.022, 0.01, 60.0), 0.001, 2.5)
    peer = Measured("JobSet", 100, 0, window(0.01, 0.005, 40.0), 0.0, None)
    text = tables([mine, crowded, peer], 15.0)
    assert "| the operator | 100 | 1.0 | 10.0 ms | 10.0 ms | 10.0 ms | 20.0 ms | 100 MiB | 0.1% | 2.5 s |" in text
    assert "| the operator | 100 | 3.00 | POST jobs 3.00 | 5.00 | 2.00 |" in text
    assert "| the operator | 100 | 2.00 (2.00 to 2.00) | 2.00 (2.00 to 2.00) | 2.00 (2.00 to 2.00) | 1.00 |" in text
    assert "| 20,000 Jobs and pods | 100 | 1.10 (1.10 to 1.10) | 1.00 (1.00 to 1.00) | 0.1%, 0.1% |" in text


def test_long_times_have_no_fraction():
    assert (milliseconds(0.0123), milliseconds(0.1234)) == ("12.3 ms", "123 ms")


@pytest.mark.parametrize("step", CHAIN)
def test_what_fake_pods_hand_in_is_what_the_planner_reads(step):
    said = json.loads(json.dumps(summary(step)))
    key = StepKey(ROUNDS.get(step, 1), StepName(step))
    needed = "validation/pass@1" if step in ("prune", "grade") else None
    assert not isinstance(summaries.read(key, [said], needed), summaries.Unreadable)


def test_what_the_garbage_collector_patches_is_nobodys_write() -> None:
    patched, deleted, made = (Request(verb, "jobs", dry=False) for verb in ("PATCH", "DELETE", "POST"))
    assert without_collection({patched: 31, deleted: 14, made: 15}) == {patched: 17, deleted: 14, made: 15}
    assert without_collection({patched: 3, deleted: 14})[patched] == 0
