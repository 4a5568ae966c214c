"""Training prompts once more, with the answer in them: for the second try at what a model does not solve (rationalization).

They are rendered and tokenized here, as all prompts are. Nobody is trained on them: a solution that was found with the hint is
put behind the prompt without it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from jinja2 import Environment, meta
from jinja2.exceptions import TemplateError

from tpt_runtime.core.configs import PrepareConfig
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.rows import PreparedPrompt
from tpt_runtime.prepare.questions import Question
from tpt_runtime.prepare.render import Renderer, Tokenizer, compiled
from tpt_runtime.step.context import Context
from tpt_runtime.verify.pool import GradingPool
from tpt_runtime.verify.protocol import verifier

FIELD: Final = "spec.sampling.rationalization.template"
DEFAULT: Final = """{{ prompt }}

Hint: the answer is {{ answer }}. Show step by step how one gets there, as if you did not know it."""
NAMES: Final = frozenset({"prompt", "answer"})


class Hints:
    """Adds the hinted ids to prepared prompts, if the run rationalizes."""

    def __init__(self, config: PrepareConfig, tokenizer: Tokenizer, limit: int | None) -> None:
        """Render as `config` says; `limit` is the longest sequence that the model takes, in tokens.

        Raises:
            ConfigurationError: the template is none, or leaves out the prompt or the answer.
        """
        self._config = config
        self._tokenizer = tokenizer
        self._limit = limit
        self._counts: Counter[str] = Counter()
        wanted = config.rationalization
        text = DEFAULT if wanted is None or wanted.template is None else wanted.template
        self._template = compiled(text, FIELD)
        missing = sorted(NAMES - meta.find_undeclared_variables(Environment(autoescape=True).parse(text)))
        if missing:
            raise ConfigurationError(
                f"{FIELD}: does not use {' and '.join(missing)}; write {{{{ {missing[0]} }}}} where it belongs"
            )

    @property
    def counts(self) -> dict[str, int]:
        """Return how many hinted prompts leave the model no room, if any: those are not tried a second time."""
        return dict(+self._counts)

    def warn(self, context: Context) -> None:
        """Say what does not fit."""
        if long := self._counts["hintsTooLong"]:
            context.warn(f"{long} training prompts fill the model's context once the answer is in them: not tried a second time")

    def add(self, rows: Sequence[PreparedPrompt], questions: Sequence[Question]) -> None:
        """Add to each of `rows`, made of `questions`, its ids with the answer in it."""
        if self._config.rationalization is None:
            return
        renderer = Renderer(self._config.dataset.prompt, "", None)
        texts = [renderer.model_text(self._tokenizer, text) for text in self._texts(questions)]
        for row, ids in zip(rows, renderer.token_ids(self._tokenizer, texts), strict=True):
            if self._limit is not None and len(ids) >= self._limit:
                self._counts["hintsTooLong"] += 1
            else:
                row["hintedIds"] = ids

    def _texts(self, questions: Sequence[Question]) -> Iterator[str]:
        for question, answer in self._answers(questions):
            try:
                yield self._template.render(prompt=question.text, answer=answer)
            except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
                raise ConfigurationError(f"{FIELD}: failed on a question: {type(error).__name__}: {error}") from error

    def _answers(self, questions: Sequence[Question]) -> Iterator[tuple[Question, str]]:
        """Yield every question with its answer alone: a reference may be a whole solution, which would be copied."""
        settings = self._config.verifier
        with GradingPool(verifier(settings.type), settings.timeout_seconds, workers=1) as pool:
            for question, grade in pool.grade((question, question.reference, question.reference) for question in questions):
                yield question, (grade.answer or question.reference).strip()
