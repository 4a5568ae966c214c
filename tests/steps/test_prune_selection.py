"""Which samples are kept, policy by policy."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpt_runtime.core.choices import Choose, Keep, Weighting
from tpt_runtime.core.spec import Pruning
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.prune.selection import Candidate, Fate, Selection

R, W, U, T = Verdict.CORRECT, Verdict.WRONG, Verdict.UNPARSEABLE, Verdict.TRUNCATED


def prompt(*verdicts: Verdict, marked: bool = True, alike: bool = False) -> list[Candidate]:
    return [Candidate(i, v, marked, "same" if alike else str(i)) for i, v in enumerate(verdicts)]


class Chosen:
    """What `Selection` makes of prompts, the cap included."""

    def __init__(self, prompts: list[tuple[str, list[Candidate]]], pruning: Pruning, seed: int = 0) -> None:
        selection = Selection(pruning, seed, number=1)
        self.fates = {
            (name, index): fate for name, candidates in prompts for index, fate in selection.add(name, candidates).items()
        }
        self.kept = selection.close()
        self.fates |= selection.left_out
        assert +selection.fates == Counter(self.fates.values())


def fates(candidates: list[Candidate], **pruning: object) -> list[Fate]:
    chosen = Chosen([("p", candidates)], Pruning(**({"min_examples": 1} | pruning)))
    return [chosen.fates["p", index] for index in range(len(candidates))]


def test_the_first_correct_sample_of_a_prompt_is_kept() -> None:
    assert fates(prompt(W, R, R, U, T)) == [Fate.NOT_CORRECT, Fate.KEPT, Fate.ENOUGH, Fate.NO_ANSWER, Fate.NOT_ENDED]


def test_as_many_correct_samples_are_kept_as_the_policy_allows() -> None:
    assert fates(prompt(R, R, R), max_correct_per_prompt=2) == [Fate.KEPT, Fate.KEPT, Fate.ENOUGH]


def test_a_repeated_text_is_kept_once() -> None:
    assert fates(prompt(R, R, alike=True), max_correct_per_prompt=2) == [Fate.KEPT, Fate.REPEATED]


def test_a_right_answer_without_a_marker_is_not_trained_on_unless_allowed() -> None:
    assert fates(prompt(R, marked=False)) == [Fate.UNMARKED]
    assert fates(prompt(R, marked=False), verifier={"requireMarker": False}) == [Fate.KEPT]


def test_a_right_answer_with_a_false_equation_is_left_out_if_that_is_asked() -> None:
    candidates = [Candidate(0, R, True, "a", false_equation=True), Candidate(1, R, True, "b")]
    assert fates(candidates) == [Fate.KEPT, Fate.ENOUGH]
    assert fates(candidates, check_arithmetic=True) == [Fate.FALSE_EQUATION, Fate.KEPT]


@pytest.mark.parametrize("keep", list(Keep))
def test_a_truncated_trace_is_never_kept(keep: Keep) -> None:
    assert fates(prompt(T, R, T), keep=keep).count(Fate.NOT_ENDED) == 2


@pytest.mark.parametrize("keep", [Keep.PARSEABLE, Keep.RANDOM])
def test_a_control_keeps_as_many_as_correct_would_whether_their_prompts_were_ever_solved_or_not(keep: Keep) -> None:
    prompts = [(f"{n:04d}", prompt(R, W, W, W) if n % 4 == 0 else prompt(W, W, W, W)) for n in range(1000)]
    chosen = Chosen(prompts, Pruning(keep=keep))
    assert len(chosen.kept) == 250
    right = sum(int(name) % 4 == 0 and index == 0 for name, index in chosen.kept)
    assert right < 40, "one sample in sixteen is right: about 16 of 250 are expected, and 62 of those prompts that were solved"
    assert len({name for name, _ in chosen.kept}) == 250, "one of a prompt, as Correct takes"


def test_the_parseable_control_takes_wrong_answers_but_none_without_an_answer() -> None:
    found = fates([Candidate(0, R, True, "a"), Candidate(1, W, True, "b"), Candidate(2, U, False, "c")], keep=Keep.PARSEABLE)
    assert found[2] is Fate.NO_ANSWER
    assert sorted(found[:2]) == sorted([Fate.KEPT, Fate.ENOUGH])


def test_over_many_prompts_the_controls_do_keep_wrong_ones() -> None:
    prompts = [(str(n), prompt(R, W, W, U)) for n in range(200)]
    for keep, allowed in ((Keep.PARSEABLE, {R, W}), (Keep.RANDOM, {R, W, U})):
        chosen = Chosen(prompts, Pruning(keep=keep))
        kept = [prompt(R, W, W, U)[index].verdict for _, index in chosen.kept]
        assert set(kept) == allowed
        assert len(kept) == 200, "the control has the size that Correct would have"


def test_the_cap_takes_a_seeded_lot_and_says_what_it_left() -> None:
    prompts = [(f"{n:03d}", prompt(R)) for n in range(100)]
    first, again, other = (Chosen(prompts, Pruning(max_examples=40), seed) for seed in (0, 0, 1))
    assert first.kept == again.kept
    assert first.kept != other.kept
    assert len(first.kept) == 40
    assert list(first.fates.values()).count(Fate.CAPPED) == 60
    assert first.kept != sorted(first.kept), "the training order is shuffled"


@pytest.mark.parametrize("keep", [Keep.PARSEABLE, Keep.RANDOM])
def test_the_cap_bounds_a_control_too_and_what_it_did_not_draw_is_told_apart(keep: Keep) -> None:
    prompts = [(f"{n:03d}", prompt(R, W) if n < 50 else prompt(W, W)) for n in range(100)]
    chosen = Chosen(prompts, Pruning(max_examples=40, keep=keep))
    told = Counter(chosen.fates.values())
    assert (len(chosen.kept), told[Fate.KEPT], told[Fate.CAPPED], told[Fate.NOT_DRAWN]) == (40, 40, 10, 50)


@given(
    st.lists(st.lists(st.sampled_from([R, W, U, T]), min_size=1, max_size=8), min_size=1, max_size=12),
    st.sampled_from(list(Keep)),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_selection_is_the_same_in_any_order_and_every_sample_has_a_fate(rows, keep, most, random) -> None:
    prompts = [(f"p{n}", prompt(*verdicts)) for n, verdicts in enumerate(rows)]
    pruning = Pruning(keep=keep, max_correct_per_prompt=most)
    selection = Chosen(prompts, pruning, seed=3)
    shuffled = list(prompts)
    random.shuffle(shuffled)
    assert Chosen(shuffled, pruning, seed=3).kept == selection.kept
    assert len(selection.fates) == sum(map(len, rows))
    right = sum(min(most, verdicts.count(R)) for verdicts in rows)
    eligible = {Keep.CORRECT: {R}, Keep.PARSEABLE: {R, W}, Keep.RANDOM: {R, W, U}}[keep]
    assert len(selection.kept) == min(right, sum(min(most, sum(v in eligible for v in verdicts)) for verdicts in rows))
    for name, candidates in prompts:
        kept = [c for c in candidates if selection.fates[name, c.index] is Fate.KEPT]
        assert len(kept) <= most
        assert {c.verdict for c in kept} <= eligible


def measured(*samples: tuple[int, float]) -> list[Candidate]:
    """Return correct samples of (tokens, mean log-probability)."""
    return [Candidate(i, R, True, str(i), tokens, logprob) for i, (tokens, logprob) in enumerate(samples)]


def kept_of(candidates: list[Candidate], **pruning: object) -> list[int]:
    return sorted(index for index, fate in enumerate(fates(candidates, **pruning)) if fate is Fate.KEPT)


def test_the_shortest_correct_samples_are_kept_the_first_of_those_that_are_equally_short() -> None:
    assert kept_of(measured((9, 0), (4, 0), (4, 0), (5, 0)), choose="Shortest") == [1]
    assert kept_of(measured((9, 0), (4, 0), (4, 0), (5, 0)), choose="Shortest", max_correct_per_prompt=3) == [1, 2, 3]


def test_the_most_likely_correct_sample_is_kept_and_one_without_a_likelihood_last() -> None:
    found = measured((1, float("nan")), (1, -2.0), (1, -0.5), (1, float("nan")), (1, -1.0))
    assert kept_of(found, choose="MostLikely") == [2]
    assert kept_of(found, choose="MostLikely", max_correct_per_prompt=4) == [0, 1, 2, 4]


def test_of_like_samples_the_one_that_is_to_be_chosen_first_is_kept() -> None:
    found = [Candidate(0, R, True, "same", 9), Candidate(1, W, True, "same", 1), Candidate(2, R, True, "same", 3)]
    assert fates(found, choose="Shortest") == [Fate.REPEATED, Fate.NOT_CORRECT, Fate.KEPT]


def test_a_random_choice_hangs_on_the_seed() -> None:
    prompts = [(f"{n:03d}", prompt(R, R, R, R)) for n in range(50)]
    first, again, other = (Chosen(prompts, Pruning(choose="Random", max_examples=99), seed) for seed in (0, 0, 1))
    assert first.kept == again.kept
    assert set(first.kept) != set(other.kept)
    assert {index for _, index in first.kept} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("verdicts", "most", "kept"),
    [
        ([R, R, R, R], 4, 1),
        ([R, R, R, W], 4, 1),
        ([R, R, W, W], 4, 2),
        ([R, R, W, W], 1, 1),
        ([R, R, R, W, W, W, W, W, W, W], 4, 3),
        ([W, W], 4, 0),
    ],
)
def test_under_prop2diff_a_prompt_keeps_the_more_the_oftener_it_is_failed(verdicts: list[Verdict], most: int, kept: int) -> None:
    assert len(kept_of(prompt(*verdicts), weighting="Prop2Diff", max_correct_per_prompt=most)) == kept


def test_uniform_takes_one_of_every_prompt_before_it_takes_a_second_of_any() -> None:
    prompts = [(f"{n:02d}", prompt(*[R] * (1 + n % 3))) for n in range(30)]
    pruning = {"max_correct_per_prompt": 3, "min_examples": 1}

    def numbers(most: int, weighting: str) -> Counter[int]:
        chosen = Chosen(prompts, Pruning(**pruning, max_examples=most, weighting=weighting))
        assert len(chosen.kept) == min(most, 60)
        return Counter(Counter(name for name, _ in chosen.kept).values())

    assert numbers(30, "Uniform") == {1: 30}
    assert numbers(40, "Uniform") == {1: 20, 2: 10}
    assert numbers(60, "Uniform") == numbers(60, "None") == {1: 10, 2: 10, 3: 10}
    assert len(numbers(30, "None")) > 1, "without it, prompts with many correct samples have more"


CAPS = [{"solvedUpTo": 1.0, "maxExamples": 2}, {"solvedUpTo": 0.25, "maxExamples": 6}]


def test_a_difficulty_is_capped_down_to_the_next_lower_entry() -> None:
    prompts = [(f"{n:02d}", prompt(R, W, W, W) if n < 10 else prompt(R, R, W, W)) for n in range(20)]
    chosen = Chosen(prompts, Pruning(difficulty_caps=CAPS, min_examples=1))
    assert Counter(int(name) < 10 for name, _ in chosen.kept) == {True: 6, False: 2}
    told = Counter(chosen.fates.values())
    assert (told[Fate.KEPT], told[Fate.ENOUGH_OF_DIFFICULTY], told[Fate.CAPPED]) == (8, 12, 0)
    again = Chosen(prompts, Pruning(difficulty_caps=CAPS, max_examples=5, min_examples=1))
    assert Counter(again.fates.values())[Fate.CAPPED] == 3
    assert set(again.kept) < set(chosen.kept)


def test_a_difficulty_above_the_last_entry_has_no_cap() -> None:
    prompts = [(f"{n:02d}", prompt(R, R, W)) for n in range(20)]
    assert len(Chosen(prompts, Pruning(difficulty_caps=CAPS[1:], min_examples=1)).kept) == 20


def test_a_cap_of_nothing_leaves_a_difficulty_out() -> None:
    prompts = [("easy", prompt(R, R)), ("hard", prompt(W, R))]
    chosen = Chosen(
        prompts, Pruning(difficulty_caps=[{"solvedUpTo": 1.0, "maxExamples": 0}, {"solvedUpTo": 0.9, "maxExamples": 9}])
    )
    assert chosen.kept == [("hard", 1)]


def test_a_control_has_the_size_that_correct_has_under_all_its_policies() -> None:
    prompts = [(f"{n:02d}", prompt(R, W, W, W) if n < 10 else prompt(R, R, W, W)) for n in range(20)]
    policies = {"difficulty_caps": CAPS, "weighting": "Prop2Diff", "max_correct_per_prompt": 2, "min_examples": 1}
    sizes = {keep: len(Chosen(prompts, Pruning(keep=keep, **policies)).kept) for keep in Keep}
    assert set(sizes.values()) == {8}


POLICIES = st.builds(
    Pruning,
    choose=st.sampled_from(list(Choose)),
    weighting=st.sampled_from(list(Weighting)),
    max_correct_per_prompt=st.integers(1, 4),
    max_examples=st.integers(1, 20),
    min_examples=st.just(1),
    difficulty_caps=st.dictionaries(st.sampled_from([0.2, 0.5, 0.9, 1.0]), st.integers(0, 6)).map(
        lambda caps: [{"solvedUpTo": share, "maxExamples": most} for share, most in caps.items()]
    ),
)
SAMPLE = st.tuples(st.sampled_from([R, W, U, T]), st.booleans(), st.integers(1, 3), st.sampled_from("ab"), st.floats(-3, 0))
PROMPTS = st.lists(st.lists(SAMPLE, min_size=1, max_size=6), min_size=1, max_size=10)


@given(PROMPTS, POLICIES, st.randoms(use_true_random=False))
def test_under_every_policy_the_caps_hold_nothing_wrong_is_kept_and_no_order_matters(rows, pruning, random) -> None:
    prompts = [
        (f"p{n}", [Candidate(i, verdict, marked, like, tokens, logprob) for i, (verdict, marked, tokens, like, logprob) in row])
        for n, row in enumerate(map(list, map(enumerate, rows)))
    ]
    chosen = Chosen(prompts, pruning, seed=3)
    shuffled = list(prompts)
    random.shuffle(shuffled)
    assert Chosen(shuffled, pruning, seed=3).kept == chosen.kept
    assert set(chosen.kept) == {place for place, fate in chosen.fates.items() if fate is Fate.KEPT}
    assert len(chosen.kept) == len(set(chosen.kept)) <= pruning.max_examples
    of_cap: Counter[float] = Counter()
    for name, candidates in prompts:
        kept = [candidate for candidate in candidates if chosen.fates[name, candidate.index] is Fate.KEPT]
        assert all(candidate.verdict is R and candidate.marked for candidate in kept)
        assert len({candidate.likeness for candidate in kept}) == len(kept) <= pruning.max_correct_per_prompt
        share = sum(candidate.verdict is R for candidate in candidates) / len(candidates)
        for limit in sorted(cap.solved_up_to for cap in pruning.difficulty_caps if share <= cap.solved_up_to)[:1]:
            of_cap[limit] += len(kept)
    assert all(of_cap[cap.solved_up_to] <= cap.max_examples for cap in pruning.difficulty_caps)
