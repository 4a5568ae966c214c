"""Exact numbers out of text, as fractions: `1,080.00`, `50%`, `1 1/2`, `1.5 million`, `1.08e3`.

Nothing symbolic and nothing slow: what has more than 300 digits or a longer exponent is no number here. Units are not compared.

How one numeral may be read:

- Commas and points follow English: `1,080` is 1080 and `1.080` is 1.08. What English cannot mean is read as other languages
  write it: `1.080.000`, `1.080,50`, `18,5`, `1 080`, `1'080`, `1,00,000`. `1.080`, three decimals that end in an idle zero, has
  1080 as a second reading; with `continental=True` (a text in such a language, or in euros) so have `2.125` and, the other way,
  `2,125`.
- A percent sign, or a word such as million, is a unit or a factor: `50%` equals a bare 50 and a bare 0.5, `4 million` a bare 4
  and a bare 4,000,000 (references of both kinds exist in GSM8K). When both sides bear one, the products are compared. In the
  same way `2 hours 30 minutes` equals a bare 150 and a bare 2.5.
- Numbers are equal when they are exactly equal. Only a decimal with six digits or more after the point is taken as rounded, and
  equals what differs by less than one unit of its last digit: `0.333333` is 1/3, but `0.33` is not. (From the twelfth digit on
  such a digit is floating-point noise: `18.000000000000004` is 18.)
"""

import re
from dataclasses import dataclass
from fractions import Fraction

MAX_DIGITS = 300
"""Longest numeral, and largest exponent of ten, that is read as a number."""

ROUNDED_FROM = 6
"""A decimal with so many digits after the point is taken as rounded."""
_NOISE_FROM = 12
_NOISE = Fraction(1, 10**14)

_FACTORS = {
    "k": Fraction(1000),
    "hundred": Fraction(100),
    "thousand": Fraction(1000),
    "million": Fraction(10**6),
    "billion": Fraction(10**9),
    "trillion": Fraction(10**12),
}
_PERCENT = Fraction(1, 100)
_SMALLER_UNITS = {
    ("h", "mi"): 60,
    ("m", "se"): 60,
    ("d", "ho"): 24,
    ("d", "hr"): 24,
    ("w", "da"): 7,
    ("y", "mo"): 12,
    ("f", "in"): 12,
    ("p", "ou"): 16,
    ("p", "oz"): 16,
    ("l", "ou"): 16,
    ("l", "oz"): 16,
}
"""How many minutes make an hour, and so on, by the first letters of both: feet and inches, pounds (lb) and ounces (oz), ..."""

_NUMERAL = r"[1-9]\d{0,2}(?:[ '_]\d{3})+(?!\d)(?:[.,]\d+)?|\d+(?:[.,]\d+)*|\.\d+"
QUANTITY = re.compile(
    rf"(?P<numeral>{_NUMERAL})"
    r"(?:\s+(?:and\s+)?(?P<part>\d+)\s*/\s*(?P<whole>\d+)"
    r"|\s*/\s*(?P<divisor>\d+(?:[.,]\d+)*)"
    r"|:(?P<minutes>\d\d)(?![\d:])"
    r"|\s*(?:\*|x)\s*10\s*\^\s*[{(]?\s*(?P<power>[-+]?\d+)\s*[)}]?"
    r"|[eE](?P<exponent>[-+]?\d+)(?!\w))?"
    r"(?P<percent>\s*(?:%|percent\b|per\s?cent\b|pct\b))?"
    r"(?:\s*(?P<scale>hundred|thousand|million|billion|trillion)\b|(?P<kilo>k)\b)?"
    r"(?:\s*dollars?,?\s+(?:and\s+)?(?P<cents>\d\d?)\s*cents?\b"
    r"|\s*(?P<larger>hours?|hrs?|h|minutes?|mins?|days?|weeks?|years?|feet|foot|ft|pounds?|lbs?)\b\.?,?\s*(?:and\s+)?(?P<small>\d{1,4})\s*"
    r"(?P<smaller>minutes?|mins?|seconds?|secs?|hours?|hrs?|days?|months?|inch(?:es)?|in|ounces?|oz)\b)?",
    re.IGNORECASE,
)
"""One quantity, without its sign. Give a match to `number_of`."""

_MORE_DIGITS = re.compile(r"\s?[:/]\s?\d|'\s?\d")
"""What follows the beginning of a date, a ratio, or feet and inches."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written."""

    value: Fraction
    """Its plain reading, factor left out."""
    decimals: int = 0
    """Digits after the decimal point; 0 for a fraction."""
    factor: Fraction | None = None
    """What a percent sign or a word such as million may multiply it by."""
    other: Fraction | None = None
    """Its reading in the separators of other languages, where that is another."""

    def readings(self) -> tuple[Fraction, ...]:
        """Return everything that this may mean when it is compared with a number that bears no factor."""
        plain = (self.value,) if self.other is None else (self.value, self.other)
        return plain if self.factor is None else plain + tuple(value * self.factor for value in plain)

    def products(self) -> tuple[Fraction, ...]:
        """Return everything that this may mean, factor included."""
        factor = self.factor or Fraction(1)
        return (self.value * factor,) if self.other is None else (self.value * factor, self.other * factor)

    def negative(self) -> "Number":
        """Return the same number with a minus sign."""
        return Number(-self.value, self.decimals, self.factor, None if self.other is None else -self.other)


def same(left: Number, right: Number) -> bool:
    """Return whether two numbers are equal in a reading of each (see the module's text)."""
    if left.factor is right.factor and _equal(left.value, right.value):
        return True
    both = left.factor is not None and right.factor is not None
    lefts, rights = (left.products(), right.products()) if both else (left.readings(), right.readings())
    tolerance = _tolerance(left, right)
    return any(_equal(a, b) or (tolerance is not None and _near(a, b, tolerance)) for a in lefts for b in rights)


def _equal(left: Fraction, right: Fraction) -> bool:
    """Return whether two fractions are equal; a third of the time that `==` takes, which first asks what it is given."""
    return left.numerator == right.numerator and left.denominator == right.denominator


def number_of(match: re.Match[str], continental: bool = False) -> Number | None:
    """Return the number that a match of `QUANTITY` stands for, or None if it stands for none (a date, a list, a time).

    Args:
        match: A match of `QUANTITY`, which bears no sign.
        continental: Whether the text may write `2.125` for 2125 and `2,125` for 2.125.
    """
    numeral = match["numeral"]
    if len(match[0]) > MAX_DIGITS or _MORE_DIGITS.match(match.string, match.end()):
        return None
    number = _integer(numeral) if numeral.isdigit() else _separated(numeral, continental)
    if number is None or match.end() == match.end("numeral"):
        return number
    number = _with_fraction(number, match)
    return None if number is None else _with_factor(number, match)


def _integer(numeral: str) -> Number:
    return Number(Fraction(int(numeral)))


def _separated(numeral: str, continental: bool) -> Number | None:
    if any(mark in numeral for mark in " '_"):
        return _decimal(re.sub("[ '_]", "", numeral).replace(",", "."))
    points, commas = numeral.count("."), numeral.count(",")
    if points and commas:
        return _both_separators(numeral)
    if commas:
        return _with_commas(numeral, commas, continental)
    if points > 1:
        return _decimal(numeral.replace(".", "")) if _grouped(numeral, ".") else None
    return _with_point(numeral, continental)


def _with_commas(numeral: str, commas: int, continental: bool) -> Number | None:
    if _grouped(numeral, ","):
        number = _decimal(numeral.replace(",", ""))
        if commas == 1 and continental:
            return Number(number.value, other=Fraction(numeral.replace(",", ".")))
        return number
    return _decimal(numeral.replace(",", ".")) if commas == 1 else None


def _with_point(numeral: str, continental: bool) -> Number:
    number = _decimal(numeral)
    if _grouped(numeral, ".") and (continental or numeral.endswith("0")):
        return Number(number.value, number.decimals, other=Fraction(numeral.replace(".", "")))
    return number


def _both_separators(numeral: str) -> Number | None:
    point = max(numeral.rfind("."), numeral.rfind(","))
    whole, mark, decimals = numeral[:point], numeral[point], numeral[point + 1 :]
    grouping = "," if mark == "." else "."
    if mark in whole or not _grouped(whole, grouping):
        return None
    return _decimal(whole.replace(grouping, "") + "." + decimals)


def _grouped(numeral: str, mark: str) -> bool:
    first, *groups = numeral.split(mark)
    if not 1 <= len(first) <= 3 or first.startswith("0") or len(groups[-1]) != 3:
        return False
    middle = groups[:-1]
    thousands = all(len(group) == 3 for group in middle)
    lakhs = mark == "," and len(first) <= 2 and bool(middle) and all(len(group) == 2 for group in middle)
    return thousands or lakhs


def _decimal(numeral: str) -> Number:
    whole, _, decimals = numeral.partition(".")
    return Number(Fraction(int((whole + decimals) or "0"), 10 ** len(decimals)), len(decimals))


def _with_fraction(number: Number, match: re.Match[str]) -> Number | None:
    if match["part"] is not None:
        part, whole = int(match["part"]), int(match["whole"])
        return Number(number.value + Fraction(part, whole)) if part < whole and number.value.denominator == 1 else None
    if match["divisor"] is not None:
        divisor = _integer(match["divisor"]) if match["divisor"].isdigit() else _separated(match["divisor"], False)
        return Number(number.value / divisor.value) if divisor is not None and divisor.value else None
    if match["minutes"] is not None:
        return number if match["minutes"] == "00" else None
    return _with_exponent(number, match["power"] or match["exponent"])


def _with_exponent(number: Number, exponent: str | None) -> Number | None:
    if exponent is None:
        return number
    return Number(number.value * Fraction(10) ** int(exponent)) if abs(int(exponent)) <= MAX_DIGITS else None


def _with_factor(number: Number, match: re.Match[str]) -> Number | None:
    if match["cents"] is not None:
        return Number(number.value + Fraction(int(match["cents"]), 100), max(number.decimals, 2))
    if match["small"] is not None:
        return _with_smaller_unit(number, match)
    if match["percent"]:
        return Number(number.value, number.decimals, _PERCENT, number.other)
    scale = match["scale"] or match["kilo"]
    return number if scale is None else Number(number.value, number.decimals, _FACTORS[scale.lower()], number.other)


def _with_smaller_unit(number: Number, match: re.Match[str]) -> Number | None:
    """Return "2 hours 30 minutes" as 150, which with its factor is 2.5."""
    ratio = _SMALLER_UNITS.get((match["larger"][0].lower(), match["smaller"][:2].lower()))
    return Number(number.value * ratio + int(match["small"]), factor=Fraction(1, ratio)) if ratio else None


def _tolerance(left: Number, right: Number) -> Fraction | None:
    rounded = [number.decimals for number in (left, right) if number.decimals >= ROUNDED_FROM]
    return Fraction(1, 10 ** min(*rounded, _NOISE_FROM)) if rounded else None


def _near(left: Fraction, right: Fraction, tolerance: Fraction) -> bool:
    return abs(left - right) < max(tolerance, abs(right) * _NOISE)
