"""Training questions that share a long run of words with a question of validation or eval. Pure.

Compared are the words of the question field: normalised as prompts are, without punctuation, so that a comma hides nothing. A
question of validation or eval that has fewer words than are compared cannot be found in this way; how many there are is told.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from tpt_runtime.prepare.questions import Question
from tpt_runtime.prepare.render import normalised

WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True)
class Contaminated:
    """A training question, and why it is left out."""

    question: Question
    data_set: str
    """Where the other one stands: validation or eval."""
    other: Question
    shared: str
    """The first words that both have."""

    def row(self) -> dict[str, str]:
        """Return it as a row of the report."""
        return {
            "id": self.question.id,
            "question": self.question.question,
            "set": self.data_set,
            "otherId": self.other.id,
            "other": self.other.question,
            "shared": self.shared,
        }


class Contamination:
    """Knows the runs of `size` words of all questions that models are measured on."""

    def __init__(self, size: int) -> None:
        """Compare runs of so many words."""
        self._size = size
        self._seen: dict[str, tuple[str, Question]] = {}
        self.too_short = 0
        """Questions of validation and eval with fewer words."""

    def measure(self, data_set: str, questions: Iterable[Question]) -> None:
        """Take note of the questions of `data_set`, which no training question may resemble."""
        for question in questions:
            runs = list(self._runs(question))
            self.too_short += not runs
            for run in runs:
                self._seen.setdefault(run, (data_set, question))

    def find(self, question: Question) -> Contaminated | None:
        """Return why `question` is not to be trained on, None if it may be."""
        for run in self._runs(question):
            if run in self._seen:
                return Contaminated(question, *self._seen[run], run)
        return None

    def _runs(self, question: Question) -> Iterator[str]:
        words = WORD.findall(normalised(question.question))
        return (" ".join(words[start : start + self._size]) for start in range(len(words) - self._size + 1))
