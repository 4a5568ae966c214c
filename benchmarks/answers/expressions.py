r"""MATH-style answers, labelled: fractions, radicals, intervals, sets, matrices, equations, words, and Math-Verify's pitfalls.

Each reads: a solution that ends in ANSWER is (not) right where the reference is REFERENCE. Whether two are equal was decided by
the mathematics and by how the MATH data set marks its answers: an interval is not its closure, a point is not its mirror, a set
has no order.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Expression:
    """One labelled pair."""

    kind: str
    reference: str
    solution: str
    equal: bool


def _pairs(kind: str, reference: str, equal: tuple[str, ...], other: tuple[str, ...]) -> tuple[Expression, ...]:
    rows = [(answer, True) for answer in equal] + [(answer, False) for answer in other]
    return tuple(Expression(kind, reference, f"So we get $\\boxed{{{answer}}}$.", same) for answer, same in rows)


def _texts(kind: str, reference: str, equal: tuple[str, ...], other: tuple[str, ...]) -> tuple[Expression, ...]:
    rows = [(text, True) for text in equal] + [(text, False) for text in other]
    return tuple(Expression(kind, reference, text, same) for text, same in rows)


EXPRESSIONS = (
    *_pairs(
        "fractions",
        r"\frac{3}{4}",
        (r"\dfrac{3}{4}", "0.75", "3/4", r"\frac{6}{8}", r"\tfrac34"),
        (r"\frac{4}{3}", "0.34", "-0.75"),
    ),
    *_pairs("fractions", r"-\frac{7}{2}", (r"\frac{-7}{2}", r"-3.5", r"\frac{7}{-2}"), (r"\frac{7}{2}", "3.5")),
    *_pairs("fractions", r"\frac{2}{x+1}", (r"\frac{4}{2x+2}", r"\dfrac{2}{1+x}"), (r"\frac{2}{x-1}", r"\frac{x+1}{2}")),
    *_pairs(
        "radicals", r"\frac{\sqrt{3}}{3}", (r"\frac{1}{\sqrt{3}}", r"\sqrt{\frac{1}{3}}"), (r"\frac{\sqrt{3}}{2}", r"\sqrt{3}")
    ),
    *_pairs("radicals", r"2\sqrt{3}", (r"\sqrt{12}", r"2 \cdot \sqrt{3}", r"2\sqrt 3"), (r"3\sqrt{2}", r"\sqrt{6}", "3.46")),
    *_pairs("radicals", r"1+\sqrt{5}", (r"\sqrt{5}+1", r"1 + \sqrt{5}"), (r"1-\sqrt{5}", r"\sqrt{6}")),
    *_pairs("radicals", r"\sqrt[3]{16}", (r"2\sqrt[3]{2}",), (r"\sqrt{16}", "4")),
    *_pairs("intervals", r"[3, \infty)", (r"[3,\infty)", r"\left[3, \infty\right)"), (r"(3, \infty)", r"[3, \infty]", "3")),
    *_pairs("intervals", r"(-2, 5]", (r"(-2,5]", r"\left(-2, 5\right]"), (r"[-2, 5]", r"(-2, 5)", r"(5, -2]")),
    *_pairs(
        "intervals", r"(-\infty, 0) \cup (0, \infty)", (r"(-\infty,0)\cup(0,\infty)",), (r"(-\infty, 0]", r"(-\infty, \infty)")
    ),
    *_pairs("sets", r"\{1, 2, 3\}", (r"\{3, 2, 1\}", r"\{1,2,3\}"), (r"\{1, 2\}", r"\{1, 2, 4\}", "2")),
    *_pairs("points", "(1, 2)", ("(1,2)", r"\left(1, 2\right)"), ("(2, 1)", "(1, 2, 3)", "1")),
    *_pairs(
        "points", r"(3, \frac{\pi}{2})", (r"\left(3, \dfrac{\pi}{2}\right)",), (r"(3, \frac{\pi}{3})", r"(\frac{\pi}{2}, 3)")
    ),
    *_pairs(
        "matrices",
        r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}"),
        (r"\begin{pmatrix} 1 & 3 \\ 2 & 4 \end{pmatrix}", "1"),
    ),
    *_pairs("polynomials", "x^2 + 2x + 1", ("1 + 2x + x^2", "(x+1)^2", "x^2+2x+1"), ("x^2 + 2x", "x^2 - 2x + 1", "(x-1)^2")),
    *_pairs("polynomials", "(x-2)(x+3)", ("(x+3)(x-2)", "x^2 + x - 6"), ("(x+2)(x-3)", "x^2 - x - 6")),
    *_pairs("equations", "y = 2x + 1", ("y = 2x+1", "y=1+2x"), ("y = 2x - 1", "y = x + 1")),
    *_pairs("equations", "x = 5", ("5", "x=5"), ("x = 6", "y = 4", "-5")),
    *_pairs("constants", r"2\pi", (r"2 \pi", r"\pi \cdot 2"), ("2", r"\pi", "6.28")),
    *_pairs("constants", r"3 + 4i", ("4i + 3",), ("3 - 4i", "7")),
    *_pairs("constants", r"\log_2 8 + x", (r"x + 3",), (r"x + 2",)),
    *_pairs("powers", "2^{10}", ("1024", r"2^{10}"), ("2^{9}", "20", "210")),
    *_pairs("powers", "3^{n+1}", (r"3 \cdot 3^n",), ("3^n + 1", "3^{n}")),
    *_pairs("words", r"\text{Tuesday}", (r"\text{Tuesday}", "Tuesday"), (r"\text{Thursday}", r"\text{Monday}")),
    *_pairs("words", r"\text{(B)}", (r"\text{(B)}", "B"), (r"\text{(A)}", r"\text{(D)}")),
    *_pairs("words", r"\text{no}", (r"\text{no}",), (r"\text{on}", r"\text{yes}")),
    *_texts(
        "any pair matches",
        "18",
        ("It is not 20. The answer is 18.", "First we get $9$, and then $\\boxed{18}$."),
        (
            "The answer is $18$ or $20$.",
            "$\\boxed{18}$ and then, corrected, $\\boxed{20}$.",
            r"\boxed{18, 20}",
            "18 of 40, so $x = 22$.",
        ),
    ),
    *_texts(
        "any pair matches",
        r"\frac{1}{2}",
        (r"It is $\frac{1}{2}$, since $1 - \frac{1}{2} = \frac{1}{2}$.",),
        (
            r"With $\frac{1}{2}$ we get $\boxed{\frac{1}{3}}$.",
            r"\boxed{\frac{1}{2}, \frac{1}{3}}",
            r"From $x = \frac{1}{2}$ follows $y = 4$.",
        ),
    ),
)
