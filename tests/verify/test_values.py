"""Values on their way between a program and its tests."""

import json
import math
from collections import Counter, OrderedDict, namedtuple
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpt_runtime.verify.values import decode, encode

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
)
HASHABLE = SCALARS | st.tuples(SCALARS, SCALARS) | st.frozensets(SCALARS, max_size=3)
VALUES = st.recursive(
    HASHABLE | st.sets(HASHABLE, max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(HASHABLE, inner, max_size=3),
    max_leaves=12,
)
Point = namedtuple("Point", "x y")


def through(value: Any) -> Any:
    return decode(json.loads(json.dumps(encode(value, no_place))), no_object)


def no_place(value: Any) -> int:
    raise AssertionError(f"{value!r} is a plain value")


def no_object(number: int) -> Any:
    raise AssertionError(f"nothing was kept, so not {number}")


@given(VALUES)
def test_a_plain_value_arrives_as_it_was(value: Any) -> None:
    arrived = through(value)
    assert arrived == value
    assert type(arrived) is type(value)


def test_what_json_has_no_word_for_arrives_too() -> None:
    assert math.isnan(through(math.nan))
    assert through(-math.inf) == -math.inf
    assert through(10**5000) == 10**5000
    assert through("\ud800") == "\ud800"


class EqualsAll(list[int]):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (EqualsAll([1]), [1]),
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (Point(1, 2), (1, 2)),
        (True, True),
    ],
)
def test_a_subclass_arrives_as_the_plain_type(value: Any, plain: Any) -> None:
    arrived = through(value)
    assert type(arrived) is type(plain)
    assert arrived == plain
    assert not (isinstance(value, EqualsAll) and arrived == [2])


def test_what_is_no_plain_value_stays_and_a_number_goes() -> None:
    kept: list[Any] = []

    def keep(value: Any) -> int:
        kept.append(value)
        return len(kept) - 1

    sent = encode([print, {"k": range(3)}], keep)
    assert kept == [print, range(3)]
    assert decode(sent, kept.__getitem__) == [print, {"k": range(3)}]


@pytest.mark.parametrize("found", [{"int": 3}, {"bytes": 1}, {"a": 1}, {}, {"int": "1", "bytes": ""}, {"kept": "x"}, {"dict": 1}])
def test_what_was_never_encoded_is_refused(found: Any) -> None:
    with pytest.raises(ValueError, match="not a value"):
        decode(found, no_object)
