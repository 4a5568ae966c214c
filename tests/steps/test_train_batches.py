"""train: which examples make up which optimizer step, and who takes them."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpt_runtime.core.choices import Batching
from tpt_runtime.train.batches import Order, Plan, Shape, epoch_steps, near_equal, pack, plan_held_out, plan_training

lengths_of = st.lists(st.integers(2, 400), min_size=1, max_size=300)
batchings = st.sampled_from(Batching)
shapes = st.builds(Shape, st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))


def planned(lengths: list[int], batching: Batching, shape: Shape, *, seed: str = "seed", epochs: int = 1) -> Plan:
    order = Order(seed, epochs, shape.processes * shape.micro_batch_size * shape.accumulation)
    return plan_training(lengths, batching, order, shape, capacity=shape.micro_batch_size * 400)


def taken(plan: Plan) -> list[list[list[int]]]:
    return [list(plan.micro_batches(process)) for process in range(plan.shape.processes)]


def padding(steps: list[list[int]], lengths: list[int]) -> int:
    return sum(max(lengths[e] for e in step) * len(step) - sum(lengths[e] for e in step) for step in steps)


@given(lengths_of, batchings, shapes, st.integers(1, 3))
def test_every_example_is_taken_exactly_once_an_epoch(lengths: list[int], batching: Batching, shape: Shape, epochs: int) -> None:
    plan = planned(lengths, batching, shape, epochs=epochs)
    counts = Counter(example for process in taken(plan) for batch in process for example in batch)
    assert counts == dict.fromkeys(range(len(lengths)), epochs)


@given(lengths_of, batchings, shapes)
def test_every_process_takes_as_many_micro_batches_as_the_others(lengths: list[int], batching: Batching, shape: Shape) -> None:
    plan = planned(lengths, batching, shape)
    expected = len(plan.steps) * plan.shape.accumulation
    assert [len(process) for process in taken(plan)] == [expected] * shape.processes


@given(lengths_of, batchings, shapes, shapes)
def test_optimizer_steps_do_not_depend_on_processes_or_micro_batches(
    lengths: list[int], batching: Batching, one: Shape, other: Shape
) -> None:
    order = Order("seed", 2, 12)
    plans = [plan_training(lengths, batching, order, shape, capacity=800) for shape in (one, other)]
    flat = [[sorted(e for part in step for e in part) for step in plan.steps] for plan in plans]
    assert flat[0] == flat[1]


@given(lengths_of, shapes)
def test_no_micro_batch_is_larger_than_asked_for(lengths: list[int], shape: Shape) -> None:
    plan = planned(lengths, Batching.LENGTH_GROUPED, shape)
    assert max(len(part) for step in plan.steps for part in step) <= shape.micro_batch_size


@given(lengths_of, batchings, shapes)
def test_steps_are_at_most_one_example_larger_than_others(lengths: list[int], batching: Batching, shape: Shape) -> None:
    plan = planned(lengths, batching, shape)
    sizes = {sum(len(part) for part in step) for step in plan.steps}
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= shape.processes * shape.micro_batch_size * shape.accumulation


def test_a_remainder_is_spread_over_the_steps_and_no_step_is_tiny() -> None:
    steps = epoch_steps([10] * 33, Batching.PADDED, Order("seed", 1, 32), 0)
    assert sorted(len(step) for step in steps) == [16, 17]


@given(lengths_of, st.integers(400, 1200))
def test_a_packed_row_never_has_more_tokens_than_it_may(lengths: list[int], capacity: int) -> None:
    rows = pack(range(len(lengths)), lengths, capacity)
    assert all(sum(lengths[e] for e in row) <= capacity for row in rows)
    assert sorted(e for row in rows for e in row) == list(range(len(lengths)))


@given(lengths_of, st.integers(400, 1200))
def test_packing_wastes_less_than_half_of_all_rows_but_the_last(lengths: list[int], capacity: int) -> None:
    rows = pack(range(len(lengths)), lengths, capacity)
    full = [row for row in rows if 2 * sum(lengths[e] for e in row) > capacity]
    assert len(full) >= len(rows) - 1


def test_packing_puts_an_example_where_least_room_is_left() -> None:
    assert pack(range(4), [60, 50, 40, 45], 100) == [[0, 2], [1, 3]]


def test_packed_takes_as_few_turns_as_its_fullest_step_needs() -> None:
    lengths = [100] * 16
    plan = plan_training(lengths, Batching.PACKED, Order("seed", 1, 8), Shape(1, 1, 8), capacity=400)
    assert plan.shape.accumulation == 2
    assert [len(step) for step in plan.steps] == [2, 2]


def unequal(count: int) -> list[int]:
    generator = random.Random(1)
    return [generator.randint(20, 400) for _ in range(count)]


def test_grouping_by_length_saves_nearly_all_of_the_padding() -> None:
    lengths, order = unequal(1000), Order("seed", 1, 8)
    grouped = padding(epoch_steps(lengths, Batching.LENGTH_GROUPED, order, 0), lengths)
    padded = padding(epoch_steps(lengths, Batching.PADDED, order, 0), lengths)
    assert grouped < 0.1 * padded


def test_the_order_of_grouped_steps_says_nothing_about_length() -> None:
    """The usual sampler goes from long to short inside a window; here the rank correlation of place and length is small."""
    lengths = unequal(2000)
    steps = epoch_steps(lengths, Batching.LENGTH_GROUPED, Order("seed", 1, 8), 0)
    means = [sum(lengths[e] for e in step) / len(step) for step in steps]
    for part in (means, means[:50], means[-50:]):
        assert abs(rank_correlation(part)) < 0.35
        assert part != sorted(part)
        assert part != sorted(part, reverse=True)


def rank_correlation(values: list[float]) -> float:
    """Return Spearman's correlation of values with their places."""
    ranks = {place: rank for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__))}
    count = len(values)
    squares = sum((place - ranks[place]) ** 2 for place in range(count))
    return 1 - 6 * squares / (count * (count**2 - 1))


@pytest.mark.parametrize("batching", Batching)
def test_epochs_and_seeds_differ_and_repetitions_do_not(batching: Batching) -> None:
    lengths = unequal(200)
    order = Order("seed", 2, 8)
    first = epoch_steps(lengths, batching, order, 0)
    assert first == epoch_steps(lengths, batching, order, 0)
    assert first != epoch_steps(lengths, batching, order, 1)
    assert first != epoch_steps(lengths, batching, Order("other", 2, 8), 0)


def test_grouped_examples_meet_others_in_the_next_epoch() -> None:
    lengths, order = unequal(1000), Order("seed", 2, 8)
    epochs = [{frozenset(step) for step in epoch_steps(lengths, Batching.LENGTH_GROUPED, order, epoch)} for epoch in (0, 1)]
    assert len(epochs[0] & epochs[1]) < 5


def test_inside_a_step_the_longest_come_first_and_like_lengths_together() -> None:
    plan = plan_training([10, 40, 20, 30], Batching.PADDED, Order("seed", 1, 4), Shape(2, 1, 2), capacity=400)
    assert plan.steps == [[[1], [3], [2], [0]]]
    assert taken(plan) == [[[1], [2]], [[3], [0]]]


@given(lengths_of, shapes)
def test_every_held_out_example_is_measured_once(lengths: list[int], shape: Shape) -> None:
    plan = plan_held_out(lengths, shape)
    processes = taken(plan)
    assert sorted(e for process in processes for batch in process for e in batch) == list(range(len(lengths)))
    assert len({len(process) for process in processes}) == 1


@given(st.integers(1, 500), st.integers(1, 50))
def test_near_equal_sizes_add_up(count: int, parts: int) -> None:
    sizes = near_equal(count, parts)
    assert sum(sizes) == count
    assert len(sizes) == parts
    assert max(sizes) - min(sizes) <= 1
