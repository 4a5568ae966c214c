r"""Equality of mathematical expressions, by Math-Verify (which sees only the answer, never the whole solution).

Known pitfalls of Math-Verify and what is done about them: it accepts when any pair of what it extracted matches, so it is given
one expression a side and only the first parse counts; it reads words as products of letters ("on" equals "no"), so words are
compared as words, before; SymPy knows no interval that is closed at infinity, so the brackets of intervals are compared, before;
its time limits use signals and so work in the main thread only, so they are off and `pool` sets the limit.
"""

import logging
import re
from typing import Any

from tpt_runtime.core.errors import ConfigurationError

_WORD = re.compile(r"[A-Za-z]{4,}")
_ONLY_LETTERS = re.compile(r"[A-Za-z][A-Za-z .]*[A-Za-z]")
_COMMAND = re.compile(r"\\(?:begin|end)\s*\{\w*\}|\\[a-zA-Z]+")
_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mbox)\s*\{([^{}]*)\}")
_DECORATION = re.compile(r"\\(?:left|right|displaystyle|!|,|;|:|quad|qquad| )(?![a-zA-Z])|\\[()\[\]]|[$\s]|\*\*")
_FRACTION = re.compile(r"\\[dtc]frac")
_ROOT = re.compile(r"(?<!\\)\bsqrt\s*\(([^()]*)\)|√\s*\(([^()]*)\)|√\s*(\d+)")
_POWER = re.compile(r"(?<=\d)\s*\*\*\s*(?=[-\d])")
_UNIT_WORDS = re.compile(r"(?<=[\d)])\s+[A-Za-z]{2,}(?:\s+[A-Za-z]+)*\s*\.?$")
_FUNCTIONS = frozenset(
    {
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "log",
        "ln",
        "exp",
        "sqrt",
        "pi",
        "det",
        "max",
        "min",
        "mod",
        "arcsin",
        "arccos",
        "arctan",
    }
)
MAX_LENGTH = 1000
"""Longest expression that is looked at."""


def normal_form(text: str) -> str:
    """Return `text` without spaces, dollar signs and LaTeX decoration, for comparison as a string."""
    text = _TEXT.sub(r"\1", text.strip().rstrip("."))
    return _FRACTION.sub(r"\\frac", _DECORATION.sub("", text)).rstrip(".")


def is_words(text: str) -> bool:
    r"""Return whether `text` is to be compared as words: `\text{Tuesday}`, `Tuesday`, `(B)`, but not `2x` or `\sin x`."""
    if _TEXT.fullmatch(text.strip()) or _ONLY_LETTERS.fullmatch(text.strip()):
        return True
    return any(word.lower() not in _FUNCTIONS for word in _WORD.findall(_COMMAND.sub(" ", text)))


def load() -> None:
    """Import Math-Verify, which takes up to a second, and compile its grammar's first parse."""
    _parse("1")


def is_expression(text: str) -> bool:
    """Return whether `text` can be parsed as one expression."""
    return _parse(text) is not None


def shown(text: str) -> str | None:
    """Return what `text` is parsed as, in SymPy's words; None if it cannot be parsed. May take for ever, as all parsing."""
    parsed = _parse(text)
    return None if parsed is None else str(parsed)


def equal_expressions(answer: str, reference: str) -> bool:
    """Return whether two expressions are equal; may take for ever (see the module's text)."""
    if _brackets(answer) != _brackets(reference):
        return False
    verify = _math_verify().verify
    left, right = _parse(reference), _parse(answer)
    if left is None or right is None:
        return False
    return bool(verify(left, right, timeout_seconds=None))


def _brackets(text: str) -> str | None:
    r"""Return the outer brackets of an interval or a point, else None: SymPy takes `[3, \infty]` for `[3, \infty)`."""
    form = normal_form(text)
    is_pair = form[:1] in "[(" and form[-1:] in "])" and "," in form and not set(form[1:-1]) & set("[]()")
    return form[0] + form[-1] if is_pair else None


def _parse(text: str) -> Any | None:
    library = _math_verify()
    latex = _as_latex(text)
    if not latex or len(latex) > MAX_LENGTH:
        return None
    config = [library.LatexExtractionConfig(boxed_match_priority=-1)]
    parsed = library.parse(f"${latex}$", config, fallback_mode="no_fallback", parsing_timeout=None)
    return parsed[0] if parsed else None


def _math_verify() -> Any:
    """Import Math-Verify.

    Raises:
        ConfigurationError: if it is not installed.
    """
    try:
        import math_verify
    except ImportError as error:
        raise ConfigurationError(
            f"answers that are no numbers need Math-Verify ({error}): pip install 'tpt-operator[pruner]'"
        ) from error
    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its time limit is off, which is meant
    return math_verify


def _as_latex(text: str) -> str:
    text = _POWER.sub("^", text.strip().rstrip(".").replace("$", "")).replace("**", "")
    text = re.sub(r"\\[()\[\]]", "", text)
    text = _ROOT.sub(lambda match: rf"\sqrt{{{match[1] or match[2] or match[3]}}}", text)
    return text if "\\" in text else _UNIT_WORDS.sub("", text)
