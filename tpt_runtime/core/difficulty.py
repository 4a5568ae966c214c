"""How hard a question is to a model, seen from its samples, and what follows from that. Pure.

Both the sample step, which may stop once it has enough, and the prune step, which keeps them, ask here how many are wanted.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from tpt_runtime.core.choices import Weighting
from tpt_runtime.core.model import Model


class DifficultyCap(Model):
    """A cap on the examples whose questions are about equally hard."""

    solved_up_to: Annotated[float, Field(gt=0, le=1)]
    """The cap holds for questions of whose samples at most this share is correct, down to the next lower entry."""
    max_examples: Annotated[int, Field(ge=0, le=100000000)]
    """Most examples of such questions in a round; 0 leaves them out."""


def wanted(most: int, weighting: Weighting, samples: int, correct: int) -> int:
    """Return how many examples are wanted of a question with so many `samples`, `correct` of them right, at most `most`.

    Under Prop2Diff that is `most` times the share that failed, rounded up, and at least 1: a question that is never failed still
    has one example (DART-Math, arXiv 2407.13690). It hangs on this question's samples alone, so that neither shards nor other
    questions matter; in DART-Math the hardest question of all is given `most`.
    """
    if weighting is not Weighting.PROP2DIFF or not samples:
        return most
    return max(1, -(-most * (samples - correct) // samples))


def cap_of(caps: Sequence[DifficultyCap], samples: int, correct: int) -> DifficultyCap | None:
    """Return the cap that holds for a question, None if none does."""
    share = correct / samples if samples else 0.0
    return min((cap for cap in caps if share <= cap.solved_up_to), key=lambda cap: cap.solved_up_to, default=None)
