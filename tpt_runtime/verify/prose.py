"""The answer of a solution that marks none: what its last sentence with a number states.

In that sentence: what is bold; else what follows the word "answer"; else, of its last clause, the result of an equation; else
the last number, numbers in brackets and circumstances ("in 5 days", "from 9 eggs") aside. Questions, remarks ("Note: ...",
"Check: ...") and made-up list numbers state nothing. A text that breaks off where an answer should come, or gives up, has none.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator

from tpt_runtime.verify.marks import ANSWER, BOLD, LAST, Found, is_supposed, is_word, marks_in
from tpt_runtime.verify.numbers import same
from tpt_runtime.verify.reading import Reading, Shape, Stated, read, stated
from tpt_runtime.verify.text import plain

_DANGLING_WORDS = frozenset(
    {
        *("the", "a", "an", "of", "for", "to", "is", "are", "and", "or", "with", "by", "at", "from", "per", "so", "then", "that"),
        *("she", "he", "they", "has", "have", "will", "make", "makes", "ist", "es", "est"),
        *("answer", "antwort", "respuesta", "réponse", "risposta", "resposta", "ответ"),
    }
)
_OPEN_BOX = re.compile(r"\\(?:f?boxed|fbox)\s*\{?[^{}\n]*$")
_RULER = re.compile(r"(?:\n\s*[-*_=]{3,}|\*\*|[`$])\s*$")
_GIVEN_UP = re.compile(
    r"(?:\b(?:is|are|remains)|[:#]|^)\s*unknown\b|"
    r"\b(?:undetermined|(?:cannot|can't|can not|could not|couldn't|unable to|impossible to)\s+(?:be\s+)?"
    r"(?:determined?|answer(?:ed)?|solved?|say|calculated?|know|tell)|"
    r"none of the (?:above|options|choices|others)|(?:not|isn't|aren't) (?:\w+ )?among|"
    r"(?:not enough|insufficient) information|(?:don't|do not) know|no idea|not sure)\b",
    re.IGNORECASE,
)
_GIVING_UP = ("nknown", "ndetermined", "not ", "n't ", "nable", "mpossible", "nsufficient", "o idea", "one of the")
"""One of these is in every sentence that `_GIVEN_UP` matches."""
_REMARK = re.compile(
    r"[\s*_>(#-]*(?:"
    r"(?:note|notes|n\.b\.|remark|assumptions?|check|checking|verification|proof|explanation|confidence|p\.s\.|tip|disclaimer|"
    r"source|reference)\s*\**[:,]|"
    r"(?:note that|this assumes|remember|i hope|hope|let me know|feel free|thanks?|thank you|would you|do you|"
    r"if you (?:have|need|want|would|'d)|(?:let's|let us|let me|to) (?:double.?)?(?:check|verify))\b)",
    re.IGNORECASE,
)
_SENTENCE_BREAK = re.compile(r"(?<=[.!?])[\"')*_]*\s+|(?<=[.!?]\*\*)\s+")
_QUESTION = re.compile(r"\b(?:how|what|which|when|who)\b", re.IGNORECASE)
_OFFER = re.compile(r"\b(?:you|help|questions?|else)\b", re.IGNORECASE)
_LIST_NUMBER = re.compile(r"\s*(?:[-*]\s+)?\d{1,3}[.)]\s+(?=\S)")
_CLAUSE_BREAK = re.compile(r"[,;]\s")
_SUBORDINATE = re.compile(
    r"\s*(?:which(?!\s+(?:is|equals|makes|gives|rounds\s+(?:up\s+|down\s+)?to)\s+(?:about\s+)?[-\d.])|"
    r"since|because|where|given|when|if|after|by|assuming|as|not|and not|instead)\b",
    re.IGNORECASE,
)
_BOLD = re.compile(r"\*\*([^*\n]{1,120})\*\*|__([^_\n]{1,120})__|<b>([^<\n]{1,120})</b>")
_CIRCUMSTANCE = re.compile(
    r"\b(?:in|from|over|after|within|among|every|during|throughout)\s+(?:the\s+|all\s+|these\s+|those\s+)?(?:next\s+|first\s+|last\s+)?$",
    re.IGNORECASE,
)
_FOR = re.compile(r"\bfor\s+(?:the\s+|all\s+|each\s+of\s+)?$")
_PURPOSE = re.compile(r"\d\s+(?:[a-z]+\s+){0,3}to\s+[a-z]+\s+(?:the\s+|all\s+)?$")
_MONEY = re.compile(r"\s*(?:dollars?|cents?|bucks|euros?|pounds?|rupees|yen)\b|\s*[.!]?$", re.IGNORECASE)
_REASON = re.compile(r"\s(?:because|since|due to)\s[^,;]*")
_BRACKETS = re.compile(r"\s\((?!-?[\d.,$]+\))[^()]*\)")
_ASIDES = ((_BRACKETS, ("(",)), (_REASON, ("because", "since", "due to")))
"""Each with what a sentence that holds one must hold: looking for that is quicker."""
_EITHER = re.compile(
    r"[\w%']{0,20}(?:\s+[\w%']{1,20}){0,2}?\s*,?\s*\bor\s+(?:maybe\s+|perhaps\s+|possibly\s+|about\s+)?|-", re.IGNORECASE
)
_BETWEEN = re.compile(r"\bbetween\s+(?:about\s+)?$", re.IGNORECASE)
_AND = re.compile(r"[\w%']{0,20}(?:\s+[\w%']{1,20})?\s+and\s+", re.IGNORECASE)
_OPEN_TAG = re.compile(r"<(?:final[_ -]?)?answer>\s*$", re.IGNORECASE)
_LEFT_READ = 12
_LINES_READ = 40
_TEXT_READ = 4000
_TAIL_READ = 240


def last_stated(text: str, continental: bool) -> Found | None:
    """Return the answer of `text` (already `typed`), which has no strong mark; None if it has no answer."""
    text = text.rstrip()[-_TEXT_READ:]
    if text[-1:] in "-*_=`$":
        text = _RULER.sub("", text).rstrip()
    if _breaks_off(text):
        return None
    own = (sentence for sentence in _sentences_from_the_end(text) if not _REMARK.match(sentence))
    # A remark answers only where nothing else does.
    found = _first_answer(own, continental) or _first_answer(_sentences_from_the_end(text), continental)
    return None if found is None or found.reading.shape is Shape.NONE else found


def _first_answer(sentences: Iterable[str], continental: bool) -> Found | None:
    """Return the answer of the first sentence that gives or withholds one (then it has the shape `NONE`)."""
    for sentence in sentences:
        if any(word in sentence for word in _GIVING_UP) and _GIVEN_UP.search(sentence):
            return Found(sentence.strip(), Reading(Shape.NONE), LAST)
        found = _in_sentence(sentence, continental)
        if found:
            return Found(found.text, found.reading, found.pattern, sentence.strip())
    return None


def _breaks_off(text: str) -> bool:
    """Return whether `text` ends where an answer should come."""
    text = text[:-3].rstrip(" $") if text.endswith("...") else text
    last, before = text[-1:], text[-2:-1]
    if last in "=+(<[{#" or (last in "-*/$€" and not before.isdigit()):
        return True
    tail = text[-_TAIL_READ:]
    words = tail.rstrip(" :*_").rsplit(None, 1)
    if words and words[-1].lstrip("*_#").lower() in _DANGLING_WORDS:
        return True
    if tail.rfind("<<") > tail.rfind(">>") or ("\\" in tail and _OPEN_BOX.search(tail) is not None):
        return True
    if (last == ">" and _OPEN_TAG.search(tail)) or (last.isalpha() and _has_no_result(tail)):
        return True
    return _asks(tail) if last == "?" else last.isalpha() and _opens_sentence(tail)


def _has_no_result(tail: str) -> bool:
    """Return whether `tail` ends in words, without a number, behind arithmetic and an equals sign: "480 / 30 = about"."""
    before, equals, after = tail.rpartition("\n")[2].rpartition("=")
    return bool(equals) and any(char.isdigit() for char in before[-_LEFT_READ:]) and not any(char.isdigit() for char in after)


def _asks(tail: str) -> bool:
    """Return whether the last thing said is a question about a quantity, which then has no answer."""
    question = _SENTENCE_BREAK.split(tail.rpartition("\n")[2])[-1]
    return _QUESTION.search(question) is not None and not _OFFER.search(question)


def _opens_sentence(tail: str) -> bool:
    """Return whether `tail` ends inside a sentence that has said no number yet: an earlier number is not its answer."""
    line = tail.rpartition("\n")[2]
    sentence = _SENTENCE_BREAK.split(line)[-1]
    has_number = any(char.isdigit() for char in sentence)
    return not has_number and len(sentence.split()) > 1 and sentence != tail and not _REMARK.match(sentence)


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
    bare = plain(sentence)
    numbers = stated(bare, continental)
    mark = next((mark for mark in reversed(marks_in(sentence)) if is_word(mark)), None)
    if not numbers:
        # "The answer is not 18": the solution withholds its answer, an earlier number must not stand in for it.
        return Found(sentence.strip(), Reading(Shape.NONE), LAST) if mark else None
    bold = _bold(sentence, continental) if any(sign in sentence for sign in ("**", "__", "<b>")) else None
    return bold or _after_answer(sentence, mark, continental) or _last(bare, numbers, continental)


def _bold(sentence: str, continental: bool) -> Found | None:
    readings = [(span, read(span, continental)) for span in map("".join, _BOLD.findall(sentence))]
    numbers = [reading.number for _, reading in readings if reading.number is not None]
    if not numbers or any(not same(numbers[0], number) for number in numbers[1:]):
        return None
    span, reading = next((span, reading) for span, reading in reversed(readings) if reading.number is not None)
    return Found(span.strip(), reading, BOLD)


def _after_answer(sentence: str, mark: re.Match[str] | None, continental: bool) -> Found | None:
    if mark is None or is_supposed(sentence, mark.start()):
        return None
    rest = sentence[mark.end() :]
    reading = read(rest, continental)
    if reading.shape not in (Shape.NUMBER, Shape.SENTENCE):
        return None
    return Found(rest.strip(), reading, ANSWER)


def _last(sentence: str, numbers: list[Stated], continental: bool) -> Found:
    """Return the number of the last clause that states one on its own account."""
    sentence, numbers = _without_asides(sentence, numbers)
    start, end = _last_clause(sentence, numbers)
    equals = sentence.rfind("=", start, end)
    if equals >= 0:
        reading = read(sentence[equals:end], continental)
        if reading.shape in (Shape.NUMBER, Shape.SENTENCE):
            return Found(sentence[equals + 1 : end].strip(), reading, LAST)
    if len(numbers) > 1 and _offers_both(sentence, numbers[-2], numbers[-1]):
        return Found(sentence[numbers[-2].start : numbers[-1].end].strip(), Reading(Shape.CHOICE), LAST)
    inside = [number for number in numbers if start <= number.start < end]
    chosen = ([number for number in inside if not _is_circumstance(sentence, number)] or inside)[-1]
    shape = Shape.CHOICE if chosen.number is None else Shape.NUMBER
    return Found(sentence[chosen.start : chosen.end].strip(), Reading(shape, chosen.number), LAST)


def _without_asides(sentence: str, numbers: list[Stated]) -> tuple[str, list[Stated]]:
    """Blank out brackets and reasons, unless they hold the only numbers."""
    for aside, sign in _ASIDES:
        if not any(word in sentence for word in sign):
            continue
        bare = aside.sub(lambda match: " " * len(match[0]), sentence)
        outside = [number for number in numbers if bare[number.start].strip()]
        if outside:
            sentence, numbers = bare, outside
    return sentence, numbers


def _is_circumstance(sentence: str, number: Stated) -> bool:
    if _FOR.search(sentence, max(0, number.start - 16), number.start):
        return _MONEY.match(sentence, number.end) is None
    if _PURPOSE.search(sentence, max(0, number.start - 40), number.start):
        return True
    return _CIRCUMSTANCE.search(sentence, max(0, number.start - 24), number.start) is not None


def _offers_both(sentence: str, left: Stated, right: Stated) -> bool:
    if left.number is not None and right.number is not None and same(left.number, right.number):
        return False
    if _EITHER.fullmatch(sentence, left.end, right.start):
        return True
    between = _BETWEEN.search(sentence, max(0, left.start - 20), left.start)
    return between is not None and _AND.fullmatch(sentence, left.end, right.start) is not None


def _last_clause(sentence: str, numbers: list[Stated]) -> tuple[int, int]:
    """Return where the last clause that holds a number begins and ends; subordinate ones count only if there is no other."""
    starts = [0, *(match.end() for match in _CLAUSE_BREAK.finditer(sentence))]
    ends = [*starts[1:], len(sentence)]
    stating = sorted({bisect_right(starts, number.start) - 1 for number in numbers})
    main = [i for i in stating if "=" in sentence[starts[i] : ends[i]] or not _SUBORDINATE.match(sentence, starts[i])]
    chosen = (main or stating)[-1]
    return starts[chosen], ends[chosen]
