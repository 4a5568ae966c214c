"""Which samples are kept, policy by policy."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpt_runtime.core.choices import Keep
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
