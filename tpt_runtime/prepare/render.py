"""How a row of data becomes the text and the token ids that the model sees: once, here, for the whole run.

Sampling and training both start from these ids, so they cannot disagree about a token.
"""

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.sandbox import SandboxedEnvironment

from tpt_runtime.core.choices import PromptMode
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.spec import Prompt


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer that rendering needs."""

    chat_template: Any

    def apply_chat_template(self, conversation: list[dict[str, str]], **options: Any) -> Any:
        """Render a conversation."""

    def __call__(self, text: list[str], **options: Any) -> Any:
        """Tokenize texts."""


@dataclass(frozen=True)
class Renderer:
    """Renders rows by one `Prompt`."""

    prompt: Prompt
    prompt_field: str
    template: Template | None

    @classmethod
    def of(cls, prompt: Prompt, prompt_field: str) -> "Renderer":
        """Compile the template.

        Raises:
            ConfigurationError: it is no Jinja template.
        """
        template = None if prompt.template is None else compiled(prompt.template, "spec.dataset.prompt.template")
        return cls(prompt, prompt_field, template)

    def user_text(self, row: Mapping[str, Any]) -> str:
        """Return the row's text before the chat template.

        Raises:
            ConfigurationError: the template asks for a field that the row does not have, or fails on it.
        """
        if self.template is None:
            return str(row[self.prompt_field])
        try:
            return self.template.render(dict(row))  # as one argument: a field may be called `self`
        except UndefinedError as error:
            fields = ", ".join(sorted(map(str, row)))
            raise ConfigurationError(f"spec.dataset.prompt.template: {error.message}; the row has the fields {fields}") from error
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
            raise ConfigurationError(f"spec.dataset.prompt.template: failed on a row: {type(error).__name__}: {error}") from error

    def model_text(self, tokenizer: Tokenizer, text: str) -> str:
        """Return what the model sees: `text` itself in Completion mode, else as the user's turn of the chat template."""
        if self.prompt.mode is PromptMode.COMPLETION:
            return text
        if not tokenizer.chat_template:
            raise ConfigurationError(
                "spec.dataset.prompt.mode: Chat, but the model's tokenizer has no chat template; set it to Completion, or take "
                "the instruction-tuned model"
            )
        system = [{"role": "system", "content": self.prompt.system}] if self.prompt.system else []
        rendered = str(_chat(tokenizer, [*system, {"role": "user", "content": text}]))
        if self.prompt.system and self.prompt.system.strip() not in rendered:
            raise ConfigurationError(
                "spec.dataset.prompt.system: the model's chat template leaves the system message out; put its text in template"
            )
        return rendered

    def token_ids(self, tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of model texts. A completion begins as the tokenizer begins a text, and does not end as it ends one.

        The chat template has written all special tokens that a chat prompt has.
        """
        if self.prompt.mode is PromptMode.CHAT:
            ids = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
            return [list(row) for row in ids]
        encoded = tokenizer(list(texts), return_special_tokens_mask=True, return_attention_mask=False, verbose=False)
        pairs = zip(encoded["input_ids"], encoded["special_tokens_mask"], strict=True)
        return [_open_ended(list(ids), list(added)) for ids, added in pairs]


def compiled(text: str, field: str) -> Template:
    """Return a Jinja template that reaches nothing but what it is rendered with.

    Raises:
        ConfigurationError: the text in `field` is no template.
    """
    try:
        return SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(text)
    except TemplateSyntaxError as error:
        raise ConfigurationError(f"{field}: no Jinja template, line {error.lineno}: {error.message}") from error


def _chat(tokenizer: Tokenizer, turns: list[dict[str, str]]) -> Any:
    try:
        return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    except TemplateError as error:  # such as a template without a system role
        raise ConfigurationError(
            f"spec.dataset.prompt: the model's chat template refused it: {error}; a model without a system role needs "
            "its text in template instead of system"
        ) from error


def _open_ended(ids: list[int], added: list[int]) -> list[int]:
    """Return `ids` without what the tokenizer added at the end (`added` is 1 there), and without a second BOS."""
    while ids and added[len(ids) - 1]:
        ids.pop()
    twice = len(ids) > 1 and added[0] and not added[1] and ids[0] == ids[1]  # the text begins with it already
    return ids[1:] if twice else ids


def normalised(text: str) -> str:
    """Return `text` as it is compared: NFC, case folded, white space collapsed.

    Not NFKC: to it 3² is 32, and two questions would be one.
    """
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def prompt_id(text: str) -> str:
    """Return the id of a prompt: two texts have the same one if they are equal once normalised."""
    return hashlib.sha256(normalised(text).encode()).hexdigest()[:16]
