"""Plain text out of what models write: typography, Markdown, LaTeX decoration and calculator annotations taken away.

Only decoration goes: what carries meaning in LaTeX (roots, powers, sets) stays as it is, so that whoever reads the result can
see that it is more than a number. Currency signs count as decoration, since references of word problems bear no units.
"""

import re

_TYPOGRAPHY = str.maketrans(
    {
        **dict.fromkeys("−‐‑–﹣－", "-"),
        **dict.fromkeys("\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u200e\u200f\u2060\ufeff∴", ""),
        **dict.fromkeys("’‘ʼ′", "'"),
        **dict.fromkeys("“”„«»", '"'),
        **dict.fromkeys("×·⋅∙✕✖", "*"),
        **dict.fromkeys("÷⁄∕／", "/"),
        **dict.fromkeys("≈≅≃＝", "="),
        **dict.fromkeys("→⇒➔➜", "=>"),
        **dict.fromkeys("£¥₹₩₽₦", "$"),
        **{chr(0xFF10 + digit): str(digit) for digit in range(10)},
        "—": ": ",
        "≠": " not ",
        "％": "%",
        "。": ". ",
        "，": ", ",
        "、": ", ",
        "：": ": ",
        "！": "! ",
        "？": "? ",
        "（": "(",
        "）": ")",
        "＃": "#",
        "＊": "*",
        "＋": "+",
        "…": "...",
        "°": " degrees ",
        "¢": " cents",
        "½": " 1/2",
        "⅓": " 1/3",
        "⅔": " 2/3",
        "¼": " 1/4",
        "¾": " 3/4",
        "⅕": " 1/5",
        "⅖": " 2/5",
        "⅗": " 3/5",
        "⅘": " 4/5",
        "⅙": " 1/6",
        "⅚": " 5/6",
        "⅛": " 1/8",
        "⅜": " 3/8",
        "⅝": " 5/8",
        "⅞": " 7/8",
        "²": "^2",
        "³": "^3",
    }
)

_ANNOTATION = re.compile(r"<<[^<>\n]*(?:>>|$)", re.MULTILINE)
_PAIRED_MATH = re.compile(r"\\[()\[\]]")
_SMALL_FRACTION = re.compile(r"\\[dtc]?frac\s*(?:\{\s*(\d{1,300})\s*\}|(\d))\s*(?:\{\s*(\d{1,300})\s*\}|(\d))")
_FONT = re.compile(
    r"\\(?:text|textbf|textit|textrm|textsf|texttt|mathrm|mathbf|mathit|mathsf|mbox|emph|underline|bm|boldsymbol|operatorname\*?)"
    r"\s*\{([^{}]*)\}"
)
_INVISIBLE = re.compile(r"\\(?:left|right|displaystyle|textstyle|bigg?|Bigg?|limits|!)(?![a-zA-Z])")
_SPACING = re.compile(r"\\(?:quad|qquad|[,;:> ~])(?![a-zA-Z])|~")
_DEGREES = re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degree(?![a-zA-Z])")
_COMMANDS = {
    re.compile(r"\\(?:times|cdot|ast)(?![a-zA-Z])"): "*",
    re.compile(r"\\div(?![a-zA-Z])"): "/",
    re.compile(r"\\(?:approx|simeq|eq)(?![a-zA-Z])"): "=",
    re.compile(r"\\neq?(?![a-zA-Z])"): " not ",
    re.compile(r"\\(?:dots|ldots|cdots)(?![a-zA-Z])"): "...",
    re.compile(r"\\(?:Rightarrow|rightarrow|to|implies)(?![a-zA-Z])"): "=>",
    re.compile(r"\\(?=[$%#&_])"): "",
}
_TAG = re.compile(r"</?[a-zA-Z]{1,10}\s*/?>")
_ANGLED = re.compile(r"<\s*([-$]*[\d.,]+%?)\s*>")
_LINE_BREAK = re.compile(r"\\n(?![a-zA-Z])|\\\\")
_CURRENCY_CODE = re.compile(r"\b(?:USD|EUR|GBP|INR|CAD|AUD|US\$|A\$|C\$|Rs\.?)\s*\$?\s*(?=[-\d.])")
_POWER = re.compile(r"(?<=\d)\s*\*\*\s*(?=\d)")
_MARKUP = re.compile(r"\*\*+|__+|`+")
_ITALIC = re.compile(r"(?:^|(?<=[\s(:]))\*(?=[^\s*])([^*\n]{1,80})(?<=\S)\*(?=$|[\s.,;:!?)])")
_NESTED_FONTS = 4


def typed(text: str) -> str:
    """Return `text` with typographic characters (dashes, spaces, quotes, vulgar fractions) as they are typed in ASCII."""
    if text.isascii():
        return text
    return text.translate(_TYPOGRAPHY)


def plain(text: str) -> str:
    """Return `text`, already `typed`, without Markdown, calculator annotations, currency signs and LaTeX decoration."""
    if "<" in text:
        text = _ANGLED.sub(r"\1", _TAG.sub(" ", _ANNOTATION.sub("", text)))
    if "\\" in text or "{" in text or "~" in text:
        text = _without_latex_decoration(text)
    if "*" in text or "_" in text or "`" in text:
        text = _ITALIC.sub(r"\1", _MARKUP.sub("", _POWER.sub("^", text)))
    return _CURRENCY_CODE.sub("", text).replace("$", "").replace("€", "")


def _without_latex_decoration(text: str) -> str:
    text = _LINE_BREAK.sub("\n", text.replace("{,}", ",")).rstrip()
    text = _PAIRED_MATH.sub(" ", _INVISIBLE.sub("", text))
    text = _DEGREES.sub(" degrees", _SPACING.sub(" ", text))
    for command, meaning in _COMMANDS.items():
        text = command.sub(meaning, text)
    text = _SMALL_FRACTION.sub(_typed_fraction, text)
    for _ in range(_NESTED_FONTS):
        text, replaced = _FONT.subn(r" \1 ", text)
        if not replaced:
            break
    return text


def _typed_fraction(match: re.Match[str]) -> str:
    top, top_digit, bottom, bottom_digit = match.groups()
    start = match.start()
    is_mixed = match.string[max(0, start - 1) : start].isdigit()
    return f"{' ' if is_mixed else ''}{top or top_digit}/{bottom or bottom_digit} "
