"""How numerals are read, and when two numbers are equal."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tpt_runtime.verify.numbers import QUANTITY, Number, number_of, same


def number(text: str, continental: bool = False) -> Number | None:
    match = QUANTITY.match(text)
    return number_of(match, continental) if match else None


def value(text: str) -> Fraction | None:
    found = number(text)
    return found.value if found else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("18", 18),
        ("018", 18),
        ("1,080", 1080),
        ("1,080.50", Fraction("1080.5")),
        ("1.080,50", Fraction("1080.5")),
        ("1,234,567", 1234567),
        ("1.234.567", 1234567),
        ("1 080", 1080),
        ("1'080", 1080),
        ("1_080", 1080),
        ("1 080,5", Fraction("1080.5")),
        ("1,00,000", 100000),
        ("18,5", Fraction("18.5")),
        ("0,125", Fraction("0.125")),
        (".5", Fraction(1, 2)),
        ("1/2", Fraction(1, 2)),
        ("1 1/2", Fraction(3, 2)),
        ("1 and 1/2", Fraction(3, 2)),
        ("1e3", 1000),
        ("1.5e-3", Fraction("0.0015")),
        ("2 x 10^3", 2000),
        ("5:00", 5),
        ("18 dollars and 50 cents", Fraction("18.5")),
    ],
)
def test_a_numeral_is_read_as_it_is_meant(text: str, expected: Fraction | int) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3",
        "1.2.3",
        "1.2,3.4",
        "1/0",
        "3/4/2024",
        "5:30",
        "3:2",
        "5'10",
        "1 3/2",
        "9" * 301,
        "1e301",
        "1e-301",
        "2 hours 3 months",
    ],
)
def test_digits_that_are_no_number_are_read_as_none(text: str) -> None:
    assert number(text) is None


def test_a_huge_exponent_costs_no_time_and_no_memory() -> None:
    assert number("1e" + "9" * 200) is None


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("18", "18.00"),
        ("50%", "50"),
        ("50%", "0.5"),
        ("50%", "1/2"),
        ("50%", "50 percent"),
        ("4 million", "4"),
        ("4 million", "4,000,000"),
        ("4 million", "4000 thousand"),
        ("80k", "80,000"),
        ("0.333333", "1/3"),
        ("0.333334", "1/3"),
        ("18.000000000000004", "18"),
        ("33333333.333333332", "33333333 1/3"),
        ("1.080", "1.08"),
        ("1.080", "1080"),
        ("2 hours 30 minutes", "150"),
        ("2 hours and 30 minutes", "2.5"),
        ("5 feet 6 inches", "5.5"),
        ("2 pounds 8 oz", "40"),
    ],
)
def test_two_ways_to_write_a_number_are_the_same(left: str, right: str) -> None:
    first, second = number(left), number(right)
    assert first is not None
    assert second is not None
    assert same(first, second)
    assert same(second, first)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("18", "18.01"),
        ("50%", "0.5%"),
        ("50%", "5000%"),
        ("4 million", "4 thousand"),
        ("4 million", "40"),
        ("0.33", "1/3"),
        ("0.33333", "1/3"),
        ("0.333336", "1/3"),
        ("17.999999", "18"),
        ("0.0000001", "0.0000002"),
        ("123456789.123456", "123456800"),
        ("2.125", "2125"),
        ("2 hours 30 minutes", "2"),
        ("2 hours 30 minutes", "30"),
    ],
)
def test_numbers_that_only_look_alike_differ(left: str, right: str) -> None:
    first, second = number(left), number(right)
    assert first is not None
    assert second is not None
    assert not same(first, second)
    assert not same(second, first)


def test_a_continental_text_may_mean_the_other_separator() -> None:
    thousands, decimal = number("2.125", continental=True), number("2,125", continental=True)
    assert thousands is not None
    assert decimal is not None
    assert same(thousands, Number(Fraction(2125)))
    assert same(decimal, Number(Fraction("2.125")))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(left=st.fractions(), right=st.fractions())
def test_fractions_are_the_same_exactly_if_they_are_equal(left: Fraction, right: Fraction) -> None:
    assert same(Number(left), Number(right)) is (left == right)
    assert same(Number(left), Number(left))
