"""Which questions a run works on: checked rows, the seeded hold-out, and training prompts that must go.

Pure: rows come in, questions and counts come out. Overlap is exact after normalisation.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.prepare.render import Renderer, prompt_id
from tpt_runtime.prepare.tables import Row

SHOWN_PROBLEMS = 5
DEFAULT_FRACTION = 0.05


@dataclass(frozen=True)
class Question:
    """One usable row."""

    id: str
    place: str
    question: str
    """The prompt field."""
    text: str
    """The rendered template, before the chat template."""
    reference: str


@dataclass(frozen=True)
class Fields:
    """How the rows of one data set are read."""

    shown: str
    """The data set, as errors call it: `spec.dataset.train (data/train.jsonl)`."""
    prompt_field: str
    answer_field: str
    structured: bool = False
    """Whether an answer may be a list or an object, as tests are; it becomes JSON."""


def read_questions(
    rows: Iterable[Row], fields: Fields, renderer: Renderer, check_reference: Callable[[str], str | None]
) -> tuple[list[Question], int]:
    """Return the questions of a data set in order, each once, and how many rows repeated an earlier one.

    Raises:
        ConfigurationError: no rows; or rows that lack a field, have an unusable reference answer, or repeat a question with
            another answer: the first five are named, and how many there are.
    """
    found: dict[str, Question] = {}
    problems: list[str] = []
    repeated = 0
    for row in rows:
        try:
            question = _question(row, fields, renderer, check_reference)
        except UnusableRow as error:
            problems.append(str(error))
            continue
        earlier = found.setdefault(question.id, question)
        if earlier is not question:
            repeated += 1
            if earlier.reference != question.reference:
                problems.append(f"{question.place}: repeats the question of {earlier.place} with another answer")
    _refuse(problems, fields)
    if not found:
        raise ConfigurationError(f"{fields.shown}: no rows; at least one question is needed")
    return list(found.values()), repeated


class UnusableRow(Exception):
    """Why a row is no question, with its place."""


def _question(row: Row, fields: Fields, renderer: Renderer, check_reference: Callable[[str], str | None]) -> Question:
    """Return the question in a row, or raise `UnusableRow`."""
    question = _value(row, fields.prompt_field, "promptField")
    reference = _structured(row, fields) or _value(row, fields.answer_field, "answerField")
    if not question.strip():
        raise UnusableRow(f"{row.place}: the field {fields.prompt_field!r} is empty")
    text = renderer.user_text(row.fields)
    if not text.strip():
        raise UnusableRow(f"{row.place}: spec.dataset.prompt.template renders to nothing")
    if not all(map(_is_unicode, (question, reference, text))):
        raise UnusableRow(f"{row.place}: half of a surrogate pair (\\ud800 to \\udfff), which is no character")
    if unusable := check_reference(reference):
        raise UnusableRow(f"{row.place}: field {fields.answer_field!r}: {unusable}")
    return Question(prompt_id(text), row.place, question, text, reference)


def _structured(row: Row, fields: Fields) -> str | None:
    """Return an answer that is a list or an object as JSON, if it may be one."""
    value = row.fields.get(fields.answer_field)
    return json.dumps(value, ensure_ascii=False, default=str) if fields.structured and isinstance(value, list | dict) else None


def _value(row: Row, field: str, what: str) -> str:
    """Return a field as text; numbers become text, nothing else does."""
    if field not in row.fields:
        present = ", ".join(map(str, row.fields)) or "no fields"
        raise UnusableRow(f"{row.place}: no field {field!r} ({what}); the row has {present}")
    value = row.fields[field]
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        found = "null" if value is None else type(value).__name__
        raise UnusableRow(f"{row.place}: the field {field!r} ({what}) is {found}, expected text or a number")
    return str(value)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse(problems: list[str], fields: Fields) -> None:
    if problems:
        shown = "\n".join(f"  {problem}" for problem in problems[:SHOWN_PROBLEMS])
        more = f"\n  and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
        rows = "1 row" if len(problems) == 1 else f"{len(problems)} rows"
        raise ConfigurationError(f"{fields.shown}: {rows} cannot be used:\n{shown}{more}")


def hold_out(questions: list[Question], fraction: float, seed: int) -> tuple[list[Question], list[Question]]:
    """Return (kept, held out): about `fraction` of the questions, at least one, chosen by seed and id, whatever their order.

    Raises:
        ConfigurationError: nothing would be left to train on.
    """
    count = max(1, round(fraction * len(questions)))
    if count >= len(questions):
        raise ConfigurationError(
            f"spec.dataset.validation.fraction: {fraction} of {len(questions)} training questions leaves none to train on; give "
            "more questions, a smaller fraction, or a validation set of its own"
        )
    chosen = {q.id for q in sorted(questions, key=lambda q: _lot(seed, q.id))[:count]}
    kept = [question for question in questions if question.id not in chosen]
    return kept, [question for question in questions if question.id in chosen]


def _lot(seed: int, identity: str) -> str:
    return hashlib.sha256(f"{seed}/validation/{identity}".encode()).hexdigest()


def without(questions: list[Question], others: Iterable[Question]) -> list[Question]:
    """Return the questions that do not stand among `others`."""
    taken = {question.id for question in others}
    return [question for question in questions if question.id not in taken]
