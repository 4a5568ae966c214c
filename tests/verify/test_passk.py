"""pass@k is unbiased, and its intervals say how little few questions tell."""

import math
import random
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.verify.passk import Tally, difference, estimate, pass_at_k

EXAMPLES = settings(max_examples=200, deadline=None, derandomize=True)
sizes = st.integers(1, 200)


@pytest.mark.parametrize(
    ("samples", "correct", "k"), [(n, c, k) for n in range(1, 7) for c in range(n + 1) for k in range(1, n + 1)]
)
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_sample(samples: int, correct: int, k: int) -> None:
    subsets = list(combinations(range(samples), k))
    share = sum(min(subset) < correct for subset in subsets) / len(subsets)
    assert pass_at_k(samples, correct, k) == pytest.approx(share, abs=1e-12)


@EXAMPLES
@given(data=st.data(), samples=sizes)
def test_pass_at_k_equals_the_binomial_form(data: st.DataObject, samples: int) -> None:
    correct, k = data.draw(st.integers(0, samples)), data.draw(st.integers(1, samples))
    exact = 1 - math.comb(samples - correct, k) / math.comb(samples, k)
    assert pass_at_k(samples, correct, k) == pytest.approx(exact, abs=1e-9)


def test_pass_at_one_is_the_share_of_correct_samples() -> None:
    assert pass_at_k(8, 3, 1) == pytest.approx(3 / 8)


def test_many_samples_neither_overflow_nor_cancel() -> None:
    assert 0.0 < pass_at_k(1_000_000, 1, 1) < 2e-6
    assert pass_at_k(100_000, 50_000, 1000) == pytest.approx(1.0)


@pytest.mark.parametrize(("samples", "correct", "k"), [(4, 2, 5), (4, 2, 0), (4, 5, 1), (4, -1, 1), (0, 0, 1)])
def test_pass_at_k_of_impossible_counts_is_refused(samples: int, correct: int, k: int) -> None:
    with pytest.raises(ValueError, match=f"pass@{k} of samples={samples}, correct={correct}"):
        pass_at_k(samples, correct, k)


def test_a_tally_of_more_correct_than_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="correct=3 of samples=2"):
        Tally(2, 3)


def test_the_figure_is_the_mean_over_prompts_and_not_over_samples() -> None:
    assert estimate([Tally(1, 1), Tally(9, 0)], 1).value == pytest.approx(0.5)


def test_prompts_with_too_few_samples_are_left_out_and_counted() -> None:
    result = estimate([Tally(4, 4), Tally(2, 0), Tally(4, 0)], 4)
    assert (result.value, result.prompts, result.left_out) == (0.5, 2, 1)


def test_a_k_that_no_prompt_has_samples_for_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match="pass@10 needs at least 10 samples of a prompt; the most that a prompt has is 4"
    ):
        estimate([Tally(4, 4), Tally(2, 0)], 10)


def test_no_prompts_at_all_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="the most that a prompt has is 0"):
        estimate([], 1)


@EXAMPLES
@given(
    tallies=st.lists(st.tuples(st.integers(0, 8)).map(lambda drawn: Tally(8, drawn[0])), min_size=1, max_size=60),
    k=st.integers(1, 8),
)
def test_an_interval_lies_within_0_and_1_around_its_value(tallies: list[Tally], k: int) -> None:
    result = estimate(tallies, k)
    assert 0.0 <= result.low <= result.value <= result.high <= 1.0
    assert result.low < result.high


def test_one_question_says_little() -> None:
    result = estimate([Tally(1000, 1000)], 1)
    assert result.high == 1.0
    assert result.low < 0.25


@pytest.mark.parametrize("correct", [0, 1])
def test_the_interval_at_0_and_at_100_percent_is_wilsons(correct: int) -> None:
    result = estimate([Tally(1, correct)] * 100, 1)
    other_end = result.high if correct == 0 else 1 - result.low
    assert other_end == pytest.approx(3.8415 / (100 + 3.8415), abs=1e-4)


def test_one_sample_a_question_gives_nearly_wilsons_interval() -> None:
    result = estimate([Tally(1, 1)] * 60 + [Tally(1, 0)] * 40, 1)
    assert (result.low, result.high) == pytest.approx((0.502, 0.691), abs=0.004)


def test_equal_rates_are_not_taken_for_certainty() -> None:
    result = estimate([Tally(10, 1)] * 20, 1)
    assert result.high - result.low > 0.2


def test_samples_of_one_question_do_not_count_as_independent() -> None:
    halves = estimate([Tally(100, 100)] * 20 + [Tally(100, 0)] * 20, 1)
    singles = estimate([Tally(1, 1)] * 20 + [Tally(1, 0)] * 20, 1)
    assert (halves.low, halves.high) == pytest.approx((singles.low, singles.high))


def test_more_questions_make_the_interval_narrower() -> None:
    few, many = (estimate([Tally(4, 3), Tally(4, 1)] * count, 1) for count in (10, 1000))
    assert many.high - many.low < (few.high - few.low) / 5


@pytest.mark.parametrize(("questions", "samples", "k"), [(5, 8, 1), (20, 1, 1), (20, 8, 1), (20, 8, 4), (100, 4, 1)])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(questions: int, samples: int, k: int) -> None:
    draw, covered, trials = random.Random(0), 0, 400
    truth = 1 - 1 / (k + 1)  # of pass@k where the questions' rates are uniform between 0 and 1
    for _ in range(trials):
        rates = [draw.random() for _ in range(questions)]
        result = estimate([Tally(samples, sum(draw.random() < rate for _ in range(samples))) for rate in rates], k)
        covered += result.low <= truth <= result.high
    assert covered / trials > 0.91


def tallied(*correct: int, samples: int = 4) -> dict[str, Tally]:
    return {f"q{number}": Tally(samples, count) for number, count in enumerate(correct)}


def test_the_difference_is_the_mean_over_shared_prompts() -> None:
    result = difference(tallied(4, 2, 0), tallied(2, 2, 2), 1)
    assert result.value == pytest.approx((0.5 + 0 - 0.5) / 3)
    assert (result.prompts, result.left_out) == (3, 0)


def test_a_model_compared_with_itself_does_not_differ_but_not_for_certain() -> None:
    result = difference(tallied(4, 2, 0), tallied(4, 2, 0), 1)
    assert result.value == 0.0
    assert result.low == pytest.approx(-result.high)
    assert result.high > 0.1


def test_exchanging_the_models_turns_the_sign() -> None:
    ours, theirs = tallied(4, 3, 1, 2), tallied(2, 3, 0, 1)
    there, back = difference(ours, theirs, 1), difference(theirs, ours, 1)
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))


def test_prompts_that_only_one_model_has_are_left_out_and_counted() -> None:
    ours = tallied(4, 4) | {"mine": Tally(4, 0), "short": Tally(1, 0)}
    theirs = tallied(0, 0) | {"yours": Tally(4, 4), "short": Tally(4, 4)}
    result = difference(ours, theirs, 2)
    assert (result.value, result.prompts, result.left_out) == (1.0, 2, 3)


def test_models_without_a_shared_prompt_cannot_be_compared() -> None:
    with pytest.raises(ConfigurationError, match="no prompt has at least 2 samples of both models"):
        difference({"a": Tally(4, 1)}, {"b": Tally(4, 1)}, 2)


def test_pairing_tells_more_than_two_intervals() -> None:
    questions = [(rate, rate + 1) for rate in (0, 1, 2, 6, 7)] * 20
    ours = tallied(*(better for _, better in questions), samples=8)
    theirs = tallied(*(worse for worse, _ in questions), samples=8)
    paired = difference(ours, theirs, 1)
    assert paired.low > 0.0
    assert estimate(list(ours.values()), 1).low < estimate(list(theirs.values()), 1).high


def test_the_paired_interval_covers_no_difference_as_often_as_it_says() -> None:
    draw, covered, trials = random.Random(1), 0, 400
    for _ in range(trials):
        rates = [draw.random() for _ in range(100)]
        ours, theirs = (tallied(*(sum(draw.random() < rate for _ in range(4)) for rate in rates)) for _ in range(2))
        result = difference(ours, theirs, 1)
        covered += result.low <= 0.0 <= result.high
    assert covered / trials > 0.93
