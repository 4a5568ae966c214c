"""Sampling and training agree on every token: the text of a sample, and the ids that are trained on."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.steps.sampling import BEGIN, END, TURN, write_bpe_tokenizer
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.rows import Sample
from tpt_runtime.sample.engine import Generated
from tpt_runtime.sample.modelfolder import special_ids
from tpt_runtime.sample.tokens import RETRIES, Endings, find_stop, plain_ids, plain_text

STOP_IDS = frozenset({END, TURN})
PROMPT = (BEGIN, 40, 41, 42)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return write_bpe_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def spaced() -> Any:
    """A tokenizer of SentencePiece's kind: it puts a space before every text, and takes the first one off again."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<unk>", "</s>", "▁", *"abcdefgh.\n", "▁a", "ab", "▁ab", "b.", ".\n", "▁cab"]
    merges = [("▁", "a"), ("a", "b"), ("▁a", "b"), ("b", "."), (".", "\n")]
    tokenizer = Tokenizer(
        models.BPE(vocab={piece: number for number, piece in enumerate(pieces)}, merges=merges, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=False)
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>")


def one(
    tokenizer: Any, ids: Sequence[int], stop: Sequence[str] = (), finish: Any = "stop", prompt: Sequence[int] = PROMPT
) -> Sample:
    endings = Endings(tokenizer, tuple(stop), STOP_IDS, END)
    return endings.samples(prompt, [Generated(list(ids), finish, -3.0)])[0]


def token(tokenizer: Any, text: str) -> int:
    """Return the id of the one token whose text is `text`."""
    ids = plain_ids(tokenizer, text)
    assert len(ids) == 1, f"{text!r} was expected to be one token"
    return ids[0]


@pytest.mark.parametrize("logprob", [float("nan"), float("-inf")])
def test_a_model_that_has_diverged_is_named_as_such(tokenizer: Any, logprob: float) -> None:
    endings = Endings(tokenizer, (), STOP_IDS, END)
    with pytest.raises(ConfigurationError, match="its training has diverged; lower"):
        endings.samples(PROMPT, [Generated([40, END], "stop", logprob)])


def test_a_sample_that_ended_by_itself_keeps_its_ids_and_loses_the_end_from_its_text(tokenizer: Any) -> None:
    ids = [*plain_ids(tokenizer, "2 + 6 = 8 ."), END]
    made = one(tokenizer, ids, ["\n"])
    assert (made["ids"], made["text"], made["finish"], made["tokens"]) == (ids, "2 + 6 = 8 .", "stop", len(ids))


def test_another_token_that_ended_the_sample_stays_as_its_last_id(tokenizer: Any) -> None:
    ids = [*plain_ids(tokenizer, "8"), TURN]
    assert one(tokenizer, ids)["ids"] == ids


def test_a_truncated_sample_is_left_as_it_is(tokenizer: Any) -> None:
    ids = plain_ids(tokenizer, "2 + 6 =")
    made = one(tokenizer, ids, ["\n"], finish="length")
    assert (made["ids"], made["finish"]) == (ids, "length")
    assert made["ids"][-1] not in STOP_IDS


def test_a_stop_text_made_of_whole_tokens_is_replaced_by_the_end(tokenizer: Any) -> None:
    body, stop = plain_ids(tokenizer, "2 + 6"), plain_ids(tokenizer, "\n")
    made = one(tokenizer, [*body, *stop], ["\n"])
    assert (made["text"], made["ids"]) == ("2 + 6", [*body, END])


def test_a_stop_text_inside_a_token_keeps_what_stands_before_it_in_that_token(tokenizer: Any) -> None:
    straddling = token(tokenizer, " .\n")
    body = plain_ids(tokenizer, "= 8")
    made = one(tokenizer, [*body, straddling], ["\n"])
    assert made["text"] == "= 8 ."
    assert made["ids"] == [*body, *plain_ids(tokenizer, " ."), END]
    assert straddling not in made["ids"]


def test_tokens_generated_after_the_stop_text_are_cut_off(tokenizer: Any) -> None:
    ids = plain_ids(tokenizer, "8\n#### 19 and more")
    made = one(tokenizer, ids, ["\n"])
    assert (made["text"], made["ids"]) == ("8", [*plain_ids(tokenizer, "8"), END])
    assert made["tokens"] == len(ids), "what was generated is counted, also what was cut off"


def test_a_stop_text_that_only_shows_when_decoded_together_is_found(tokenizer: Any) -> None:
    half, other_half = plain_ids(tokenizer, "日")[:1], plain_ids(tokenizer, "日")[1:]
    made = one(tokenizer, [*plain_ids(tokenizer, "x"), *half, *other_half], ["日"])
    assert (made["text"], made["ids"]) == ("x", [*plain_ids(tokenizer, "x"), END])


def test_the_limit_on_tokens_does_not_hide_a_stop_text(tokenizer: Any) -> None:
    made = one(tokenizer, plain_ids(tokenizer, "8\n"), ["\n"], finish="length")
    assert (made["finish"], made["ids"][-1]) == ("stop", END)


def test_a_stop_that_the_engine_saw_and_decoding_does_not_show_still_ends_in_the_end(tokenizer: Any) -> None:
    ids = plain_ids(tokenizer, "8")
    assert one(tokenizer, ids, ["?"])["ids"] == [*ids, END]


def test_special_tokens_inside_a_sample_show_in_its_ids_and_not_in_its_text(tokenizer: Any) -> None:
    ids = [*plain_ids(tokenizer, "2"), BEGIN, *plain_ids(tokenizer, "6"), END]
    made = one(tokenizer, ids)
    assert (made["text"], made["ids"]) == ("26", ids)


def test_spaces_before_punctuation_are_kept() -> None:
    """Some tokenizers ask transformers to tidy them away, and then the text is not what was trained on."""
    seen = []

    class Tidy:
        eos_token_id = END

        def decode(self, token_ids: Sequence[int], **options: Any) -> str:
            seen.append(options)
            return ""

    plain_text(Tidy(), [5])  # type: ignore[arg-type]
    assert seen == [{"skip_special_tokens": True, "clean_up_tokenization_spaces": False}]


def test_a_space_that_the_sample_begins_with_is_kept(spaced: Any) -> None:
    """Decoded alone, the first space is dropped; after the prompt, it stands there."""
    prompt, body = plain_ids(spaced, "cab"), plain_ids(spaced, "ab")
    assert plain_text(spaced, body) == "ab"
    assert one(spaced, body, prompt=prompt)["text"] == " ab"


def test_a_tail_is_tokenized_without_the_space_that_the_tokenizer_would_add(spaced: Any) -> None:
    vocabulary = spaced.get_vocab()
    straddling = vocabulary["b."]
    made = one(spaced, [vocabulary["▁a"], straddling], ["."], prompt=plain_ids(spaced, "cab"))
    assert made["text"] == " ab"
    assert made["ids"] == [vocabulary["▁a"], vocabulary["b"], END]


def test_the_mean_log_probability_is_over_everything_that_was_generated(tokenizer: Any) -> None:
    assert one(tokenizer, plain_ids(tokenizer, "8\n"), ["\n"])["logprob"] == pytest.approx(-1.5)


def test_a_log_probability_that_differs_in_its_last_bits_makes_the_same_sample(tokenizer: Any) -> None:
    endings = Endings(tokenizer, (), STOP_IDS, END)
    one, other = ([Generated([40, 41, END], "stop", -1.0 + off)] for off in (0.0, 4e-15))
    assert endings.samples(PROMPT, one) == endings.samples(PROMPT, other)
    assert endings.samples(PROMPT, one) != endings.samples(PROMPT, [Generated([40, 41, END], "stop", -1.00001)])


def test_samples_are_numbered_in_order(tokenizer: Any) -> None:
    made = Endings(tokenizer, (), STOP_IDS, END).samples(
        PROMPT, [Generated([9, END], "stop", -1.0), Generated([8], "length", -1.0)]
    )
    assert [(one["index"], one["finish"]) for one in made] == [(0, "stop"), (1, "length")]


def test_only_special_tokens_among_the_stop_texts_stop_as_tokens(tokenizer: Any) -> None:
    assert special_ids(tokenizer, ("<|im_end|>", "\n", " .\n")) == {TURN}


def growing(text: str, stop: Sequence[str]) -> int | None:
    """Return where `text` is cut if it is looked at after every letter, as an engine does."""
    for end in range(1, len(text) + 1):
        for word in stop:
            if text[:end].endswith(word):
                return end - len(word)
    return None


@given(text=st.text("ab\n", max_size=12), stop=st.lists(st.text("ab\n", min_size=1, max_size=3), max_size=3))
def test_a_stop_text_is_found_where_an_engine_that_looks_at_every_letter_finds_it(text: str, stop: list[str]) -> None:
    assert find_stop(text, stop) == growing(text, stop)


@settings(max_examples=300, deadline=None)
@given(
    pieces=st.lists(
        st.sampled_from([" .\n", "8", " 19", "####", "日", "😀", "\n\n", "\xff", " ", "apples", "\n"]), min_size=1, max_size=12
    ),
    stop=st.lists(st.sampled_from(["\n", " .", "9\n", "#", "日", "pp", "\n\n"]), min_size=1, max_size=3),
)
def test_whatever_is_generated_text_and_ids_agree(tokenizer: Any, pieces: list[str], stop: list[str]) -> None:
    ids = plain_ids(tokenizer, "".join(pieces))
    made = one(tokenizer, ids, stop, finish="length")
    text = plain_text(tokenizer, ids)
    cut = find_stop(text, stop)
    assert made["text"] == (text if cut is None else text[:cut])
    body = made["ids"] if cut is None else made["ids"][:-1]
    assert plain_text(tokenizer, body) == made["text"]
    assert (made["ids"][-1] == END) == (cut is not None)
    sampled = next((place for place, (made_id, id_) in enumerate(zip(body, ids, strict=False)) if made_id != id_), len(body))
    whole = [n for n in range(len(ids) + 1) if made["text"].startswith(plain_text(tokenizer, ids[:n]))]
    assert sampled >= max(whole) - RETRIES, "as many sampled ids as fit are kept"
