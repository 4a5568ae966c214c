"""What can be said of one sample once it has been graded."""

from enum import StrEnum


class Verdict(StrEnum):
    """The outcome of grading one sample; each is counted separately, and only `CORRECT` is ever a success."""

    CORRECT = "correct"
    WRONG = "wrong"
    UNPARSEABLE = "unparseable"
    """No answer could be found in the text."""
    TRUNCATED = "truncated"
    """Generation hit `maxTokens` before it ended by itself."""
    TIMED_OUT = "timed_out"
    """The verifier reached its time limit."""
