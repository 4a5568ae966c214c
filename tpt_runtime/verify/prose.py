"""The answer of a solution that marks none: what its last sentence with a number states.

In that sentence: what is bold; else what follows the word "answer"; else, of its last clause, the result of an equation; else the
last number, numbers in brackets and circumstances ("in 5 days", "from 9 eggs") aside. Questions, remarks ("Note: ...", "Check: ...") and made-up list numbers state nothing. A text that breaks off where an
answer should come, or gives up, has none.
"""

import re
from collections.abc import Iterator

from tpt_runtime.verify.marks import ANSWER, BOLD, LAST, Found, is_supposed, is_word, marks_in
from tpt_runtime.verify.numbers import Number, same
from tpt_runtime.verify.reading import Reading, Shape, Stated, read, stated
from tpt_runtime.verify.text import plain

_DANGLING_WORDS = frozenset(
    "the a an of for to is are and or with by at from per so then that she he they has have will make makes "
    "answer antwort respuesta réponse risposta resposta ответ ist es est".split()
)
_OPEN_BOX = re.compile(r"\\(?:f?boxed|fbox)\s*\{?[^{}\n]*$")
_RULER = re.compile(r"(?:\n\s*[-*_=]{3,}|\*\*|[`$])\s*$")
_GIVEN_UP = re.compile(
    r"\b(?:unknown|undetermined|(?:cannot|can't|can not|could not|couldn't|unable to|impossible to)\s+(?:be\s+)?"
    r"(?:determined?|answer(?:ed)?|solved?|say|calculated?|know|tell)|(?:not enough|insufficient) information|(?:don't|do not) know|"
    r"no idea|not sure)\b",
    re.IGNORECASE,
)
_REMARK = re.compile(
    r"[\s*_>(#-]*(?:(?:note|notes|n\.b\.|remark|assumptions?|check|checking|verification|proof|explanation|confidence|p\.s\.|tip|disclaimer|"
    r"source|reference)\s*\**[:,]|note that\b|this assumes\b|assuming\b|remember\b|i hope\b|hope\b|let me know\b|feel free\b|thanks?\b|"
    r"thank you\b|if you\b|would you\b|do you\b|(?:let's|let us|let me|to) (?:double.?)?(?:check|verify)\b)",
    re.IGNORECASE,
)
_SENTENCE_BREAK = re.compile(r"(?<=[.!?])[\"')*_]*\s+|(?<=[.!?]\*\*)\s+")
_LIST_NUMBER = re.compile(r"\s*(?:[-*]\s+)?\d{1,3}[.)]\s+(?=\S)")
_CLAUSE_BREAK = re.compile(r"[,;]\s")
_SUBORDINATE = re.compile(
    r"\s*(?:which(?!\s+(?:is|equals|makes|gives)\s+(?:about\s+)?[-\d.])|since|because|where|given|when|if|after|by|assuming|as|not|and not|instead)\b",
    re.IGNORECASE,
)
_BOLD = re.compile(r"\*\*([^*\n]{1,120})\*\*|__([^_\n]{1,120})__|<b>([^<\n]{1,120})</b>")
_CIRCUMSTANCE = re.compile(
    r"\b(?:in|from|over|after|within|among|every|during|throughout)\s+(?:the\s+|all\s+|these\s+|those\s+)?(?:next\s+|first\s+|last\s+)?$",
    re.IGNORECASE,
)
_DURATION = re.compile(r"\bfor\s+$", re.IGNORECASE)
_TIME_UNIT = re.compile(r"\s*(?:second|minute|hour|day|week|month|year)s?\b", re.IGNORECASE)
_BRACKETS = re.compile(r"\s\([^()]*\)")
_EITHER = re.compile(
    r"[\w%']{0,20}(?:\s+[\w%']{1,20}){0,2}?\s*,?\s*\bor\s+(?:maybe\s+|perhaps\s+|possibly\s+|about\s+)?|-", re.IGNORECASE
)
_LINES_READ = 40
_TAIL_READ = 240


def last_stated(text: str, continental: bool) -> Found | None:
    """Return the answer of `text` (already `typed`), which has no strong mark; None if it has no answer."""
    text = _RULER.sub("", text.rstrip()).rstrip() if text.rstrip()[-1:] in "-*_=`$" else text.rstrip()
    if _breaks_off(text):
        return None
    for keep_remarks in (False, True):
        for sentence in _sentences_from_the_end(text):
            if _GIVEN_UP.search(sentence) and not (_REMARK.match(sentence) and not keep_remarks):
                return None
            if not keep_remarks and _REMARK.match(sentence):
                continue
            found = _in_sentence(sentence, continental)
            if found:
                return found if found.reading.shape is not Shape.NONE else None
    return None


def _breaks_off(text: str) -> bool:
    """Return whether `text` ends where an answer should come."""
    last, before = text[-1:], text[-2:-1]
    if last in "=+(<[{€,#" or (last in "-*/$" and not before.isdigit()):
        return True
    tail = text[-_TAIL_READ:]
    words = tail.rstrip(" :*_").rsplit(None, 1)
    if words and words[-1].lstrip("*_#").lower() in _DANGLING_WORDS:
        return True
    return tail.rfind("<<") > tail.rfind(">>") or ("\\" in tail and _OPEN_BOX.search(tail) is not None)


def _sentences_from_the_end(text: str) -> Iterator[str]:
    """Yield sentences that state something, last first, of the last lines that are not empty."""
    read_lines, end = 0, len(text)
    while end > 0 and read_lines < _LINES_READ:
        start = text.rfind("\n", 0, end) + 1
        line = text[start:end]
        end = start - 1
        if not line.strip():
            continue
        read_lines += 1
        line = _LIST_NUMBER.sub("", line, count=1) if _LIST_NUMBER.match(line) else line
        for sentence in [line] if _REMARK.match(line) else reversed(_SENTENCE_BREAK.split(line)):
            if not sentence.rstrip(" *_\"')").endswith("?"):
                yield sentence


def _in_sentence(sentence: str, continental: bool) -> Found | None:
    if not any(char.isdigit() for char in sentence):
        return None
    numbers = stated(plain(sentence), continental)
    mark = next((mark for mark in reversed(marks_in(sentence)) if is_word(mark)), None)
    if not numbers:
        # "The answer is not 18": the solution withholds its answer, an earlier number must not stand in for it.
        return Found(sentence.strip(), Reading(Shape.NONE), LAST) if mark else None
    return (
        _bold(sentence, continental) or _after_answer(sentence, mark, continental) or _last(plain(sentence), numbers, continental)
    )


def _bold(sentence: str, continental: bool) -> Found | None:
    if "**" not in sentence and "__" not in sentence and "<b>" not in sentence:
        return None
    spans = ["".join(groups) for groups in _BOLD.findall(sentence)]
    readings = [(span, read(span, continental)) for span in spans]
    stating = [(span, reading) for span, reading in readings if reading.number is not None]
    if not stating or any(not same(_number(stating[0][1]), _number(reading)) for _, reading in stating):
        return None
    span, reading = stating[-1]
    return Found(span.strip(), reading, BOLD)


def _number(reading: Reading) -> Number:
    if reading.number is None:
        raise ValueError("this reading has no number")
    return reading.number


def _after_answer(sentence: str, mark: re.Match[str] | None, continental: bool) -> Found | None:
    if mark is None or is_supposed(sentence, mark.start()):
        return None
    rest = sentence[mark.end() :]
    reading = read(rest, continental)
    if reading.shape not in (Shape.NUMBER, Shape.SENTENCE):
        return None
    return Found(rest.strip(), reading, ANSWER)


def _last(sentence: str, numbers: list[Stated], continental: bool) -> Found:
    """Return the number of the last clause that states one on its own account, outside brackets if there is one."""
    bare = _BRACKETS.sub(lambda brackets: " " * len(brackets[0]), sentence) if "(" in sentence else sentence
    outside = [number for number in numbers if bare[number.start].strip()]
    if outside:
        sentence, numbers = bare, outside
    if len(numbers) > 1 and _offers_both(sentence, numbers[-2], numbers[-1]):
        return Found(sentence[numbers[-2].start : numbers[-1].end].strip(), Reading(Shape.CHOICE), LAST)
    start, end = _last_clause(sentence, numbers)
    equals = sentence.rfind("=", start, end)
    if equals >= 0:
        reading = read(sentence[equals:end], continental)
        if reading.shape in (Shape.NUMBER, Shape.SENTENCE):
            return Found(sentence[start:end].strip(), reading, LAST)
    inside = [number for number in numbers if start <= number.start < end]
    chosen = ([number for number in inside if not _is_circumstance(sentence, number)] or inside)[-1]
    shape = Shape.CHOICE if chosen.number is None else Shape.NUMBER
    return Found(sentence[chosen.start : chosen.end].strip(), Reading(shape, chosen.number), LAST)


def _is_circumstance(sentence: str, number: Stated) -> bool:
    if _DURATION.search(sentence, max(0, number.start - 8), number.start):
        return _TIME_UNIT.match(sentence, number.end) is not None
    return _CIRCUMSTANCE.search(sentence, max(0, number.start - 24), number.start) is not None


def _offers_both(sentence: str, left: Stated, right: Stated) -> bool:
    if left.number is not None and right.number is not None and same(left.number, right.number):
        return False
    return _EITHER.fullmatch(sentence, left.end, right.start) is not None


def _last_clause(sentence: str, numbers: list[Stated]) -> tuple[int, int]:
    """Return where the last clause that holds a number begins and ends; subordinate ones count only if there is no other."""
    breaks = [match.end() for match in _CLAUSE_BREAK.finditer(sentence)]
    clauses = list(zip([0, *breaks], [*breaks, len(sentence)], strict=True))
    stating = [(start, end) for start, end in clauses if any(start <= number.start < end for number in numbers)]
    main = [(start, end) for start, end in stating if "=" in sentence[start:end] or not _SUBORDINATE.match(sentence, start)]
    return (main or stating)[-1]
