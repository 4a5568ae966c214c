"""Properties of the Math verifier: any style of the right number is correct, and never of another number."""

from fractions import Fraction

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tpt_runtime.core.verdict import Verdict
from tpt_runtime.verify.math import Math

WORKING = "First, 16 - 3 - 4 = 9 eggs are left.\nThen 9 * 2 = 18 dollars.\n"

NUMBER_STYLES = (
    "{n}",
    "{commas}",
    "{n}.0",
    "{commas}.00",
    "${commas}",
    "${n}.00",
    "€{n}",
    "{n} dollars",
    "{n} eggs per day",
    "{n}%",
    "{n} percent",
    "{n}kg",
    "{n} cm^2",
    "{spaces}",
    "{apostrophes}",
    "\\${commas}",
    "{n}\\%",
    "{latex}",
    "{n} \\text{{ dollars}}",
    "\\mathbf{{{n}}}",
    "**{n}**",
    "({n})",
    "{double}/2",
    "\\frac{{{double}}}{{2}}",
)
PLACES = (
    "#### {a}",
    "####{a}",
    "#### {a}.",
    "#### **{a}**",
    "#### Answer: {a}",
    "#### The total is {a}",
    "\\boxed{{{a}}}",
    "$\\boxed{{{a}}}$",
    "The answer is {a}.",
    "So the final answer is: {a}",
    "**Answer:** {a}",
    "### Final Answer\n\n{a}",
    "Janet makes **{a}** in total.",
    "Janet has {a} in total.",
    "In total that is 1 + 1 = {a}.",
    "#### 7\nThat was only the first part.\n#### {a}",
    "#### {a}\n\nI hope this helps! Let me know if you have any questions.",
    "#### {a}\n\nNote: this assumes 31 days.",
)
EXAMPLES = settings(max_examples=250, deadline=None, derandomize=True)
integers = st.one_of(st.integers(-(10**12), 10**12), st.integers(-2000, 2000))
near = st.one_of(integers, st.integers(-3, 3), st.sampled_from((10, -10, 100, 1000)))
"""What is added to a number to get another one: often little."""


def written(number: int, style: str) -> str:
    """Write an integer in a style."""
    sign, size = ("-" if number < 0 else ""), abs(number)
    commas = f"{size:,}"
    text = style.format(
        n=size,
        commas=commas,
        spaces=commas.replace(",", " "),
        apostrophes=commas.replace(",", "'"),
        latex=commas.replace(",", "{,}"),
        double=2 * size,
    )
    if style.startswith(("**", "(", "\\m")):
        return text.replace(str(size), sign + str(size), 1)
    return sign + text


@EXAMPLES
@given(number=integers, style=st.sampled_from(NUMBER_STYLES), place=st.sampled_from(PLACES))
@example(number=1080, style="{spaces}", place="#### {a}")
def test_a_number_in_any_style_and_place_is_correct(number: int, style: str, place: str) -> None:
    solution = WORKING + place.format(a=written(number, style))
    assert Math().grade(solution, str(number)).verdict is Verdict.CORRECT


@EXAMPLES
@given(number=integers, off=near, style=st.sampled_from(NUMBER_STYLES), place=st.sampled_from(PLACES))
def test_another_number_is_never_correct(number: int, off: int, style: str, place: str) -> None:
    other = number + off
    is_percent = "%" in style or "percent" in style
    assume(off != 0 and not (is_percent and other == 100 * number))
    solution = WORKING + place.format(a=written(other, style))
    assert Math().grade(solution, str(number)).verdict is not Verdict.CORRECT


@EXAMPLES
@given(number=st.integers(0, 10**6), factor=st.sampled_from((10, 100, 1000)), place=st.sampled_from(PLACES))
def test_a_number_of_another_magnitude_is_never_correct(number: int, factor: int, place: str) -> None:
    assume(number > 0)
    for wrong in (f"{number * factor}", f"{number * factor:,}", f"{number}{'0' * (len(str(factor)) - 1)}"):
        assert Math().grade(WORKING + place.format(a=wrong), str(number)).verdict is not Verdict.CORRECT


@EXAMPLES
@given(
    number=st.fractions(min_value=-1000, max_value=1000, max_denominator=64),
    place=st.sampled_from(PLACES),
    style=st.sampled_from(("{n}/{d}", "{n} / {d}", "\\frac{{{n}}}{{{d}}}", "\\dfrac{{{n}}}{{{d}}}")),
)
def test_a_fraction_in_any_style_is_correct(number: Fraction, place: str, style: str) -> None:
    assume(number.denominator > 1)
    sign = "-" if number < 0 else ""
    answer = sign + style.format(n=abs(number.numerator), d=number.denominator)
    assert Math().grade(WORKING + place.format(a=answer), f"{number.numerator}/{number.denominator}").verdict is Verdict.CORRECT


@EXAMPLES
@given(
    cents=st.integers(-(10**9), 10**9),
    place=st.sampled_from(PLACES),
    style=st.sampled_from(("{s}{v}", "{s}${v}", "{s}{v} dollars")),
)
def test_a_price_in_any_style_is_correct(cents: int, place: str, style: str) -> None:
    value = f"{abs(cents) / 100:,.2f}"
    sign = "-" if cents < 0 else ""
    solution = WORKING + place.format(a=style.format(s=sign, v=value))
    assert Math().grade(solution, sign + value.replace(",", "")).verdict is Verdict.CORRECT


@EXAMPLES
@given(
    left=integers,
    right=integers,
    joined=st.sampled_from((" or ", " and ", ", ", " or maybe ", " dollars or ")),
    place=st.sampled_from(PLACES[:11]),
)
def test_a_choice_of_two_numbers_is_never_correct(left: int, right: int, joined: str, place: str) -> None:
    assume(left != right)
    solution = WORKING + place.format(a=f"{left}{joined}{right}")
    for reference in (left, right):
        assert Math().grade(solution, str(reference)).verdict is not Verdict.CORRECT


@EXAMPLES
@given(text=st.text(alphabet="0123456789 .,$%#*=-+/()\\{}<>'\n:answerisboxedfcQ", max_size=120), reference=integers)
def test_no_text_breaks_the_verifier(text: str, reference: int) -> None:
    grade = Math().grade_quickly(text, str(reference))
    assert grade is None or grade.verdict in (Verdict.CORRECT, Verdict.WRONG, Verdict.UNPARSEABLE)


@EXAMPLES
@given(number=integers, text=st.text(alphabet="abc 0123456789.=\n", max_size=80))
def test_the_short_cut_for_a_last_line_of_hashes_changes_no_verdict(number: int, text: str) -> None:
    short = f"{text}\n#### {abs(number)}"
    long = f"{text}\n#### {abs(number)} "
    assert Math().grade(short, str(number)).verdict is Math().grade(long + "\n<br>", str(number)).verdict


@EXAMPLES
@given(number=integers, cut=st.integers(0, 200))
def test_a_solution_cut_off_before_its_answer_is_never_correct_by_a_mark(number: int, cut: int) -> None:
    solution = WORKING + f"#### {number}"
    grade = Math().grade(solution[: min(cut, len(WORKING) + 5)], str(number))
    assert not (grade.marked and grade.verdict is Verdict.CORRECT)


HASH_FORMS = (
    "{n}",
    "{commas}",
    "${n}",
    "${commas}",
    "{n}.",
    "{n}.0",
    "${commas}.00",
    "0{n}",
    " {n} ",
    "{n},",
    "{n}%",
    "-{n}",
    "{n}.5",
)


@EXAMPLES
@given(number=st.integers(0, 10**9), off=st.sampled_from((0, 0, 1, -1, 10)), form=st.sampled_from(HASH_FORMS))
def test_the_quick_way_for_usual_endings_finds_what_the_slow_one_finds(number: int, off: int, form: str) -> None:
    ending = f"#### {form.format(n=number, commas=f'{number:,}')}"
    quick, slow = (Math().grade(f"{start}\n{ending}", str(number + off)) for start in ("So she makes that", "So: she makes that"))
    assert quick == slow, "a colon might begin another problem, so with one everything is looked at"
