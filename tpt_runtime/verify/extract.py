r"""The final answer of a solution.

Strong marks, the last one wins: the rest of a `####` line, the content of `\boxed{}`, and the number that directly follows
"answer is", "answer:" and their like (or stands before "is the answer"). They are equal in rank because models repeat
themselves in any order, and the latest explicit claim is the one that stands: an intermediate `#### 9`, a first "The answer is
20", a box in the middle are all overruled by what comes later, while trailing remarks hold no mark and overrule nothing.

Without a strong mark, the last sentence that states a number holds the answer (see `prose`), because whoever reads such a
solution would look there too. It counts as marked only if it is bold or follows the word "answer".

Three things take an answer back. A new problem that the model makes up after its answer ("Q: ...") is cut off. "Wait, that is
wrong" after the mark makes the last number behind it the answer, unmarked. And a solution that breaks off where an answer
should come ("9 * 2 =", "the answer is", an open box, a bare "####"), or gives up, has none.
"""

import re
from dataclasses import dataclass

from tpt_runtime.verify.marks import ANSWER, HASHES, LAST, REVISED, Found, Span, line_end, marks_in, span_at
from tpt_runtime.verify.numbers import QUANTITY, Number, number_of, same
from tpt_runtime.verify.prose import last_stated
from tpt_runtime.verify.reading import Reading, Shape, read
from tpt_runtime.verify.text import typed

_NEXT_PROBLEM = re.compile(
    r"^[ \t*#]{0,8}(?:Q|Question|Problem|New problem|Next problem|Human|User|Instruction)[ \t]*:", re.MULTILINE
)
_END_OF_TURN = re.compile(
    r"<\|(?:im_start|im_end|user|eot_id|start_header_id|endoftext|end)\|>|<start_of_turn>|<end_of_turn>|\[INST\]|</s>|<eos>"
)
_REVISION = re.compile(
    r"\b(?:wait|hold on|hang on|oops|scratch that|on second thoughts?|on (?:further |closer )?(?:reflection|inspection)|"
    r"(?:thinking|looking) (?:about it |at it |at this )?again|come to think of it|edit(?=:)|correction|"
    r"(?:the )?(?:above|previous)(?: answer| result)? (?:is|was) (?:wrong|incorrect)|not (?:at all |so |really )?sure|"
    r"(?:can't|cannot|can not) decide|"
    r"i made (?:a|an) (?:mistake|error)|my mistake|let me (?:redo|recalculate|recheck|reconsider|correct|fix|re-\w+)|"
    r"(?:that|this|it)(?:'s| is| was) (?:wrong|incorrect|not (?:right|correct))|"
    r"answer (?:is|was) (?:not|wrong|incorrect)|answer (?:isn't|wasn't)|sorry|apologies)\b|"
    r"(?:^|[.!?]\s+|\n\s*)(?:no|actually),?\s",
    re.IGNORECASE,
)
_REVISING = (
    *(
        "wait",
        "hold on",
        "hang on",
        "oops",
        "scratch",
        "second thought",
        "reflection",
        "inspection",
        "again",
        "come to think",
        "edit:",
        "decide",
        "correct",
        "mistake",
        "error",
        "let me ",
        "wrong",
        "not ",
    ),
    *("n't", "sorry", "apolog", "no ", "no,", "actually"),
)
"""One of these is in every text that `_REVISION` matches: looking for them is quicker."""
_CONFIRMED = re.compile(
    r"\b(?:is|are|was|'s|looks|seems|yes,?)\s+(?:indeed\s+|all\s+)?(?:correct|right|fine|confirmed|verified)\b(?!\s+\w*\d)|"
    r"\bchecks out\b|\bmatches\b",
    re.IGNORECASE,
)
_REFUTED = re.compile(
    r"(?:\bnot|n't)\s+(?:(?:at all|so|really)\s+)?(?:correct|right|sure)|\bwrong\b|\bincorrect\b|\bmistake\b|\berror\b|"
    r"\banswer (?:is|was) not\b|\bdecide\b",
    re.IGNORECASE,
)
_FORMULA = re.compile(r"\$([^$\n]+)\$|\\\(([^\n]+?)\\\)|\\\[([^\n]+?)\\\]")
_SAID_BEFORE = re.compile(r"=|\b(?:is|are)\b")
_GROUPED = re.compile(r"\d[.,]\d{3}(?!\d)")
_CONTINENTAL = re.compile(r"€|\beuros?\b|\bEUR\b|antwort|respuesta|réponse|risposta|resposta|antwoord|ответ", re.IGNORECASE)
_OR = re.compile(r"[\s}$)*\\.,\]]*\b(?:or|or else|or maybe|or perhaps)\b[\s$(*\\\[]*", re.IGNORECASE)
_OR_READ = 20
_CONTINENTAL_SIGNS = ("€", "uro", "URO", "EUR", "ntwo", "NTWO", "espuesta", "éponse", "esposta", "isposta", "твет")
"""One of these is in nearly every text that `_CONTINENTAL` matches: looking for them is quicker."""
_SHORTEST_REVISION = 4
_TAIL_READ = 4000
_RESULT_READ = 60
_MARKS_TRIED = 40
"""Marks that are looked at, from the end, before a text counts as unmarked: most texts have one, degenerate ones thousands."""


@dataclass(frozen=True, slots=True)
class _Solution:
    """What a model wrote about its own problem."""

    text: str
    marks: list[re.Match[str]]
    continental: bool


def find_answer(solution: str) -> Found | None:
    """Return the final answer of `solution` as a number, or what stands in its place; None if there is none."""
    own = _own_problem(solution)
    marks = own.marks[-_MARKS_TRIED:]
    for place in range(len(marks) - 1, -1, -1):
        strong = _strong(own.text, marks[place], own.continental)
        if strong:
            choice = place and _offers_another(own, marks[place - 1], marks[place], strong[1])
            return choice or _as_revised(own.text, *strong, own.continental)
    return last_stated(own.text, own.continental)


def marked_answers(solution: str) -> list[Found]:
    """Return what stands at the marks of `solution` that answer, in order: the last one is found, unless it is taken back."""
    own = _own_problem(solution)
    found = (_strong(own.text, mark, own.continental) for mark in own.marks[-_MARKS_TRIED:])
    return [strong[1] for strong in found if strong]


def own_text(solution: str) -> str:
    """Return `solution`, typed, without the further turns and problems that a model makes up after its answer."""
    return _own_problem(solution).text


def find_expression(solution: str) -> tuple[str, str] | None:
    """Return the final answer of `solution` as text, and its pattern, for references that are no numbers.

    Without a mark it is the last formula, else what the last line ends in. None if there is no text at all.
    """
    own = _own_problem(solution)
    text = own.text
    for mark in reversed(own.marks[-_MARKS_TRIED:]):
        span = span_at(text, mark)
        if span and text[span.start : span.end].strip(" .*#$"):
            return text[span.start : span.end].strip(), span.pattern
    formulas = _FORMULA.findall(text, max(0, len(text) - _TAIL_READ))
    if formulas:
        return "".join(formulas[-1]).strip(), LAST
    said = _SAID_BEFORE.split(text.rstrip(" .\t\n").rpartition("\n")[2])[-1].strip()
    return (said, LAST) if said else None


def _own_problem(solution: str) -> _Solution:
    text = _first_turn(typed(solution))
    continental = any(sign in text for sign in _CONTINENTAL_SIGNS) and bool(_GROUPED.search(text) and _CONTINENTAL.search(text))
    marks = marks_in(text)
    if ":" in text and _NEXT_PROBLEM.search(text):
        text = _first_problem(text, marks, continental)
        marks = [mark for mark in marks if mark.end() <= len(text)]
    return _Solution(text, marks, continental)


def _first_turn(text: str) -> str:
    """Cut off what follows a chat template's end of turn, where the text does not begin with it."""
    end = _END_OF_TURN.search(text, 1) if "<" in text or "[" in text else None
    return text[: end.start()] if end and text[: end.start()].strip() else text


def _first_problem(text: str, marks: list[re.Match[str]], continental: bool) -> str:
    """Cut off the problems that a model makes up after it has answered its own."""
    strong = next((found for mark in marks[:_MARKS_TRIED] if (found := _strong(text, mark, continental))), None)
    header = _NEXT_PROBLEM.search(text, strong[0].end if strong else 1)
    if header is None or (strong is None and last_stated(text[: header.start()], continental) is None):
        return text
    return text[: header.start()]


def _strong(text: str, mark: re.Match[str], continental: bool) -> tuple[Span, Found] | None:
    """Return the answer at a strong mark, and where it stands; None if nothing that answers stands there."""
    span = span_at(text, mark)
    if span is None:
        return None
    raw, place = text[span.start : span.end], text[min(span.start, mark.start()) : max(span.end, mark.end())]
    reading = read(raw, continental)
    if span.pattern == ANSWER:
        follows = span.start > mark.start()
        accepted = (Shape.NUMBER, Shape.CHOICE, Shape.EXPRESSION) if follows else (Shape.NUMBER, Shape.SENTENCE)
        answers = reading.shape in accepted and not (follows and _opens_working(text, span, reading))
        return (span, Found(raw.strip(), reading, ANSWER, place)) if answers else None
    if reading.shape is Shape.PROSE:
        return _in_words(raw, span, continental)
    if reading.shape is Shape.NONE and span.pattern == HASHES:
        return None
    return span, Found(raw.strip(), reading, span.pattern, place)


def _offers_another(own: _Solution, mark: re.Match[str], last: re.Match[str], found: Found) -> Found | None:
    """Return a choice if another answer stands at `mark`, and only "or" between it and `last`, the mark of `found`."""
    if "or" not in own.text[max(mark.end(), last.start() - _OR_READ) : last.start()]:
        return None
    other = _strong(own.text, mark, own.continental)
    if other is None or not _OR.fullmatch(own.text, other[0].end, last.start()):
        return None
    left, right = other[1].reading.number, found.reading.number
    if left is not None and right is not None and same(left, right):
        return None
    return Found(own.text[other[0].start : last.end()], Reading(Shape.CHOICE), found.pattern, own.text[mark.start() : last.end()])


def _in_words(raw: str, span: Span, continental: bool) -> tuple[Span, Found]:
    """Return the answer of a marked text that states several numbers: only a working or bold type tells which is meant."""
    found = last_stated(raw, continental)
    if found is None or (found.pattern == LAST and "=" not in raw):
        return span, Found(raw.strip(), Reading(Shape.CHOICE), span.pattern, raw.strip())
    return span, found


def _opens_working(text: str, span: Span, reading: Reading) -> bool:
    """Return whether "Answer: 16 - 3 = 13 eggs." is only the first line of a working that ends in another result."""
    if reading.number is None or "=" not in text[span.start : line_end(text, span.end)]:
        return False
    result = _last_result(text, span.end)
    return result is not None and not same(reading.number, result)


def _last_result(text: str, start: int) -> Number | None:
    """Return the number after the last equals sign of `text` from `start` on."""
    equals = text.rfind("=", start)
    right = text[equals + 1 : equals + 1 + _RESULT_READ].lstrip(" $>") if equals >= 0 else ""
    match = QUANTITY.match(right)
    return number_of(match) if match else None


def _as_revised(text: str, span: Span, found: Found, continental: bool) -> Found | None:
    """Return `found`, or what replaces it if the solution takes it back afterwards."""
    tail = text[span.end : span.end + _TAIL_READ]
    if len(tail) < _SHORTEST_REVISION:
        return found
    folded = tail.lower()
    cue = _REVISION.search(tail) if any(word in folded for word in _REVISING) else None
    if cue is None:
        return found
    rest = tail[cue.start() :]
    refuted = _REFUTED.search(rest) is not None
    if not refuted and _CONFIRMED.search(rest):
        return found
    revised = last_stated(rest, continental) if any(char.isdigit() for char in rest) else None
    if revised is None or revised.reading.number is None:
        return None if refuted else found
    if found.reading.number is not None and same(found.reading.number, revised.reading.number):
        return found
    return Found(revised.text, revised.reading, REVISED, revised.place)
