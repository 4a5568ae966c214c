"""How prompts become tokens, with tokenizers of several conventions and chat templates of several tempers."""

from pathlib import Path
from typing import Any

import pytest

from tests.steps.conftest import CHAT_TEMPLATE, write_tokenizer
from tpt_runtime.core.choices import PromptMode
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.spec import Prompt
from tpt_runtime.prepare.basemodel import load_tokenizer
from tpt_runtime.prepare.render import Renderer

START, END, PAD = 0, 1, 2
CONVENTIONS = {
    "begins with BOS, as Llama's": ("<s> $A", [START], []),
    "adds nothing, as GPT-2's and Qwen's": ("$A", [], []),
    "ends with EOS, as T5's": ("$A </s>", [], [END]),
    "begins and ends": ("<s> $A </s>", [START], [END]),
    "ends with a separator of its own, as BERT's": ("<s> $A <pad>", [START], [PAD]),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return load_tokenizer(folder, "spec.model.uri: model")


def with_convention(tokenizer: Any, single: str) -> Any:
    from tokenizers import processors

    special = [("<s>", START), ("</s>", END), ("<pad>", PAD)]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=special)
    return tokenizer


def completion() -> Renderer:
    return Renderer(Prompt(mode=PromptMode.COMPLETION), "question", None)


def chat(system: str | None = None) -> Renderer:
    return Renderer(Prompt(mode=PromptMode.CHAT, system=system), "question", None)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_completion_begins_as_the_tokenizer_begins_and_is_left_open(name: str, base: Any) -> None:
    single, before, after = CONVENTIONS[name]
    tokenizer = with_convention(base, single)
    whole = tokenizer("Q: 1 + 1 A:")["input_ids"]
    assert whole == [*before, *whole[len(before) : len(whole) - len(after)], *after], "the convention is what it is said to be"
    [ids] = completion().token_ids(tokenizer, ["Q: 1 + 1 A:"])
    assert ids == whole[: len(whole) - len(after)]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "Q: 1 + 1 A:"


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_chat_prompt_has_the_special_tokens_of_the_template_and_no_others(name: str, base: Any) -> None:
    tokenizer = with_convention(base, CONVENTIONS[name][0])
    tokenizer.chat_template = CHAT_TEMPLATE
    text = chat().model_text(tokenizer, "1 + 1")
    [ids] = chat().token_ids(tokenizer, [text])
    assert [one for one in ids if one in (START, END, PAD)] == [START, END, START]
    assert tokenizer.decode(ids) == text


def test_a_completion_that_writes_its_bos_itself_has_it_once(base: Any) -> None:
    tokenizer = with_convention(base, "<s> $A")
    texts = ["<s>Q: 1", "Q: 1", "<s>", "<s><s>Q"]
    found = completion().token_ids(tokenizer, texts)
    assert [ids[:2].count(START) for ids in found] == [1, 1, 1, 2]
    assert found[0] == found[1]


def test_an_end_that_the_user_wrote_stays(base: Any) -> None:
    tokenizer = with_convention(base, "<s> $A </s>")
    [ids] = completion().token_ids(tokenizer, ["shot one</s>"])
    assert ids[-1] == END
    assert ids.count(END) == 1


def test_prompts_of_any_length_are_tokenized_without_a_word(base: Any, capfd: pytest.CaptureFixture[str]) -> None:
    tokenizer = with_convention(base, "$A")
    tokenizer.model_max_length = 10
    for renderer in (completion(), chat()):
        [ids] = renderer.token_ids(tokenizer, ["x" * 100])
        assert len(ids) == 100
    assert capfd.readouterr().err == "", "the log of a step is JSON, line by line"


TEMPLATES = {
    "refuses a system message": (
        "{% if messages|length > 1 %}{{ raise_exception('System role not supported') }}{% endif %}{{ messages[0]['content'] }}",
        "the model's chat template refused it: System role not supported; a model without a system role needs its text in",
    ),
    "leaves a system message out": (
        "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}{% endfor %}",
        "spec.dataset.prompt.system: the model's chat template leaves the system message out; put its text in template",
    ),
    "is broken": ("{% for m in messages %}", "the model's chat template refused it: "),
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_chat_template_that_does_not_take_the_system_message_is_told(name: str, base: Any) -> None:
    template, expected = TEMPLATES[name]
    base.chat_template = template
    with pytest.raises(ConfigurationError) as caught:
        chat(system="Be brief.").model_text(base, "1 + 1")
    assert expected in str(caught.value)


@pytest.mark.parametrize("name", ["refuses a system message", "leaves a system message out"])
def test_without_a_system_message_such_a_template_will_do(name: str, base: Any) -> None:
    base.chat_template = TEMPLATES[name][0]
    assert chat().model_text(base, "1 + 1") == "1 + 1"


def test_a_template_may_trim_the_system_message_or_put_it_elsewhere(base: Any) -> None:
    base.chat_template = "{{ messages[1]['content'] }} ({{ messages[0]['content'] | trim }})"
    assert chat(system="  Be brief.\n").model_text(base, "1 + 1") == "1 + 1 (Be brief.)"
