"""What a report shows, as data: written to report.json, read by the page and the model card. Nothing here draws or reads."""

from pydantic import Field

from tpt_runtime.core.model import Model
from tpt_runtime.core.status import Metric, SampleCounts


class RoundRecord(Model):
    """One round; its metrics are those of the model that it made, its samples and fates those that it trained that model on."""

    round: int
    """0 is the base model."""
    metrics: list[Metric] = []
    """pass@k and the like of this model."""
    samples: SampleCounts | None = None
    """Training samples drawn in this round, by verdict."""
    fates: dict[str, int] = {}
    """What became of them."""
    examples: int | None = None
    """Examples kept."""
    difficulty: dict[str, int] = {}
    """Training prompts by the share of right samples in this round, the hardest first."""
    seconds: dict[str, float] = {}
    """Wall time by step."""

    def metric(self, name: str) -> Metric | None:
        """Return the metric called `name`, or None."""
        return next((metric for metric in self.metrics if metric.name == name), None)


class Change(Model):
    """One question that the base model and the best model answer differently."""

    question: str
    reference: str
    before: float
    """Share of right samples of the base model."""
    after: float
    """Share of right samples of the best model."""
    before_solution: str
    """A solution of the base model, of the kind that it gave most."""
    after_solution: str
    """A solution of the best model, of the kind that it gave most."""


class Trace(Model):
    """One sample, to be read."""

    round: int
    set: str
    question: str
    reference: str
    solution: str
    verdict: str
    kept: str | None = None
    """`kept`, or why it was not trained on; of training questions only."""
    id: str = ""
    """Of the question: the same in every round."""
    sample: int = 0
    """Index among the samples of the question."""
    answer: str | None = None
    """The answer as the verifier read it."""
    right: int = 0
    """How many of the question's samples are right in this round."""
    of: int = 0
    """Of how many."""


class RunRecord(Model):
    """A whole run."""

    run: str
    namespace: str
    metric: str
    """The objective's metric, such as pass@1."""
    rounds: list[RoundRecord]
    best_round: int | None = None
    prompts: dict[str, int] = {}
    """Prompts by data set, and how many were left out for what reason, as prepare counted them."""
    changed_set: str | None = None
    """The data set that the changes below are of."""
    gained: list[Change] = []
    """From wrong to right, the largest changes first."""
    lost: list[Change] = []
    """From right to wrong."""
    gained_count: int = 0
    """How many questions gained more than they lost, of all; the lists above show the largest."""
    lost_count: int = 0
    traces: list[Trace] = []
    """A few samples of every verdict, and of questions that are followed over the rounds."""
    traces_from: dict[str, int] = {}
    """How many samples there are of each set, that the traces were chosen from."""
    settings: dict[str, object] = Field(default={})
    """The spec, without defaults."""
