r"""The places where a solution marks its final answer: a `####` line, a `\boxed{}`, "the answer is".

Only places are found here; what is written there is `reading`'s business, and which place wins is `extract`'s. What only looks
like a mark gives no place: a `#### Step 2` heading, an open box, "if the answer is 18", "I thought the answer was 18".
"""

import re
from dataclasses import dataclass

from tpt_runtime.verify.reading import Reading, stated
from tpt_runtime.verify.text import plain

HASHES = "####"
BOXED = "boxed"
ANSWER = "answer is"
BOLD = "bold"
LAST = "last number"
REVISED = "revised"

_MARK = re.compile(
    r"####+|\\(?:f?boxed|fbox)(?![a-zA-Z])|<answer>|答案|答え|Ответ(?!\w)|ответ(?!\w)"
    r"|A(?:nswer|NSWER|ns|NS|ntwort|ntwoord)(?!\w)|a(?:nswer|ns|ntwort|ntwoord)(?!\w)"
    r"|R(?:espuesta|éponse|isposta|esposta)(?!\w)|r(?:espuesta|éponse|isposta|esposta)(?!\w)"
)
"""Every alternative begins with a literal, and there is neither a flag nor a look-behind: only so is the search for it quick."""

_CONNECTIVE = re.compile(
    r"[*_\"']{0,3}(?:[ \t]*\([^()\n]{1,30}\))?(?:[ \t]+(?:to|for|of|in)\b[^.:=?\n]{0,80}?)?[*_\"']{0,3}"
    r"(?:[ \t]*(?::|=>?|->|[ \t]-[ \t])"
    r"|[ \t]+(?:is|was|are|equals|comes\s+(?:out\s+)?to|must\s+be|should\s+be|ist|es|est|è|é|lautet)\b|\s*[是は为]|[*_#: \t]*$)",
    re.IGNORECASE | re.MULTILINE,
)
_FILLER = re.compile(
    r"(?:\n[ \t]{0,8}[-+][ \t]+(?=[\d$*\\])|[\s*_:>\"'$,]|\.\.+|\\[\[(]|\((?=\s*-?[\d$.])|"
    r"\b(?:also|thus|therefore|then|hence|indeed|simply|just|clearly|now|still|given\s+by|as\s+follows|is)\b,?)*",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?](?=[\s*\"')\]$]|$)|\n|$")
_IS_THE = re.compile(
    r"\bis\s+(?:therefore\s+|thus\s+|then\s+)?(?:the|our|my)\s+(?:(?:final|correct|right|exact)\s+)*$", re.IGNORECASE
)
_SUPPOSING = frozenset(
    {
        *("thought", "if", "suppose", "supposing", "assume", "assuming", "guess", "guessed", "whether", "unless", "until", "let"),
        *("wrong", "incorrect", "initial", "previous", "first", "original"),
    }
)
_TO_GET = re.compile(
    r"\bto\s+(?:convert|express|find|calculate|compute|round)\s+(?:(?:that|the|my|this|final|correct)\s+){0,3}$", re.IGNORECASE
)
"""What stands before an answer that is yet to be found: "to convert the answer to weeks: 28 / 7 = 4"."""
_COUNTERFACTUAL = re.compile(r"\w+\s+(?:would|could|might|should)\s+have\b", re.IGNORECASE)
_BETWEEN = frozenset({"that", "the", "my", "this", "final", "correct"})
_STEP_HEADING = re.compile(
    r"[\s*]*(?:step|part|case|method|solution|approach|problem|question|example|explanation|note|calculation)\b", re.IGNORECASE
)
_LIST_HEADING = re.compile(r"[\s*]*\d{1,2}\s*[.):]\s*\**[A-Za-z]")
_LIST_ITEM = re.compile(r"\d{1,2}[.)]\s+\S")
_BRACE = re.compile(r"(?<!\\)[{}]")
_BARE_BOX = re.compile(r"\s+(-?\d+)")
_SPACE = re.compile(r"\s*")
_LOOK_BACK = 60
_LONGEST_SPAN = 1000
"""So much of what follows a mark is read: no answer is so long, and a text that repeats a mark must not cost for ever."""


@dataclass(frozen=True, slots=True)
class Span:
    """A place where an answer may stand."""

    start: int
    end: int
    pattern: str
    """One of this module's constants."""


@dataclass(frozen=True, slots=True)
class Found:
    """A final answer."""

    text: str
    """As it stood in the solution."""
    reading: Reading
    pattern: str
    place: str = ""
    """The words that it was read from, mark included."""

    @property
    def marked(self) -> bool:
        """Return whether it stood at a mark."""
        return self.pattern not in (LAST, REVISED)


def marks_in(text: str) -> list[re.Match[str]]:
    """Return the beginnings of what may be marks, in order; give each to `span_at`."""
    return [mark for mark in _MARK.finditer(text) if not (is_word(mark) and _continues_word(text, mark.start()))]


def is_word(mark: re.Match[str]) -> bool:
    """Return whether a mark is the word "answer" in some language."""
    return mark[0][0] not in "#\\<"


def _continues_word(text: str, start: int) -> bool:
    before = text[start - 1 : start]
    return (before.isalnum() and text[start] != "答") or before in ("_", "/")


def span_at(text: str, mark: re.Match[str]) -> Span | None:
    """Return the place that a mark points to, or None if it points to none."""
    if mark[0].startswith("#"):
        return _line_span(text, mark.end())
    if mark[0].startswith("\\"):
        return _box_span(text, mark.end())
    if mark[0].startswith("<"):
        end = text.find("</", mark.end(), mark.end() + _LONGEST_SPAN)
        return Span(mark.end(), end, BOXED) if text[mark.end() : end].strip() and end >= 0 else None
    return _answer_span(text, mark)


def is_supposed(text: str, start: int) -> bool:
    """Return whether the word "answer" at `start` belongs to a supposition, such as "I thought the answer was 18"."""
    if _COUNTERFACTUAL.match(text, start) or _TO_GET.search(text, max(0, start - _LOOK_BACK), start):
        return True
    for word in reversed(text[max(0, start - _LOOK_BACK) : start].lower().split()):
        if word not in _BETWEEN:
            return word in _SUPPOSING
    return False


def line_end(text: str, start: int) -> int:
    """Return where the line that holds `start` ends."""
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def _line_span(text: str, start: int) -> Span | None:
    end = min(line_end(text, start), start + _LONGEST_SPAN)
    again = text.find("####", start, end)
    end = end if again < 0 else again
    is_last = not text[end : end + _LONGEST_SPAN].strip()
    is_heading = _STEP_HEADING.match(text, start, end) or (not is_last and _LIST_HEADING.match(text, start, end))
    return None if is_heading or not text[start:end].strip() else Span(start, end, HASHES)


def _box_span(text: str, start: int) -> Span | None:
    bare = _BARE_BOX.match(text, start)
    if bare:
        return Span(bare.start(1), bare.end(1), BOXED)
    space = _SPACE.match(text, start)
    begin = space.end() if space else start
    if text[begin : begin + 1] != "{":
        return None
    depth = 0
    for brace in _BRACE.finditer(text, begin, begin + _LONGEST_SPAN):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return Span(begin + 1, brace.start(), BOXED) if text[begin + 1 : brace.start()].strip() else None
    return None


def _answer_span(text: str, mark: re.Match[str]) -> Span | None:
    if is_supposed(text, mark.start()):
        return None
    connective = _CONNECTIVE.match(text, mark.end())
    return _after(text, connective.end()) if connective else _before(text, mark.start())


def _after(text: str, connective_end: int) -> Span | None:
    """Return the sentence that follows "answer is", which may begin on a later line."""
    filler = _FILLER.match(text, connective_end)
    start = filler.end() if filler else connective_end
    end = _SENTENCE_END.search(text, start, start + _LONGEST_SPAN)
    is_list = "\n" in text[connective_end:start] and _LIST_ITEM.match(text, start)
    if start >= len(text) or end is None or is_list or "\\boxed" in text[start : end.start()]:
        return None
    return Span(start, end.start(), ANSWER)


def _before(text: str, mark_start: int) -> Span | None:
    """Return the one number of "so 18 is the answer"."""
    ahead = _IS_THE.search(text, max(0, mark_start - _LOOK_BACK), mark_start)
    if ahead is None:
        return None
    first = max(0, ahead.start() - _LOOK_BACK)
    begin = max(first - 1, *(text.rfind(stop, first, ahead.start()) for stop in ("\n", ". ", ", ", ": "))) + 1
    numbers = stated(plain(text[begin : ahead.start()]))
    return Span(begin, ahead.start(), ANSWER) if len(numbers) == 1 else None
