"""The Transformers engine: the same samples whatever else is generated beside them, and those of the model itself."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.steps.conftest import SilentJournal
from tests.steps.sampling import BEGIN, CONTEXT, END, TURN, config, part, sampled, write_prompts, write_tiny_llama
from tests.steps.training import poison
from tpt_runtime.core.choices import SamplingEngine
from tpt_runtime.core.errors import ConfigurationError, Interrupted
from tpt_runtime.sample import transformers_engine
from tpt_runtime.sample.engine import Drawing, EngineSettings, Generated, Request, open_engine
from tpt_runtime.sample.feeding import Pace
from tpt_runtime.sample.modelfolder import ModelFolder
from tpt_runtime.sample.step import sample
from tpt_runtime.sample.tokens import plain_text
from tpt_runtime.sample.transformers_engine import TransformersEngine, choose, probabilities
from tpt_runtime.step.context import Context

STOP_IDS = frozenset({END, TURN})


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small are slower on several cores than on one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("llama") / "model")


def settings(model: Path, **more: Any) -> EngineSettings:
    values: dict[str, Any] = {"model": model, "context": CONTEXT, "tensor_parallel_size": 1, "log": lambda level, text: None}
    return EngineSettings(**values | more)


@pytest.fixture(scope="module")
def engine(model: Path) -> Iterator[TransformersEngine]:
    opened = TransformersEngine(settings(model))
    yield opened
    opened.close()


def drawing(**more: Any) -> Drawing:
    values: dict[str, Any] = {"samples": 3, "temperature": 0.9, "top_p": 1.0, "top_k": None, "max_tokens": 20, "stop": ()}
    return Drawing(**values | {"stop_ids": STOP_IDS} | more)


def requests(count: int = 24, **more: Any) -> list[Request]:
    lot = Random(1)
    drawn = drawing(**more)
    lengths = [lot.randint(1, 40) for _ in range(count)]
    prompts = [(BEGIN, *(lot.randrange(4, 330) for _ in range(length))) for length in lengths]
    return [Request(f"prompt {number}", ids, drawn, 1000 * number) for number, ids in enumerate(prompts)]


def generated(engine: TransformersEngine, asked: list[Request]) -> dict[str, list[Generated]]:
    return {result.key: result.samples for results in engine.generate(iter(asked)) for result in results}


def same(one: dict[str, list[Generated]], other: dict[str, list[Generated]]) -> bool:
    return {key: [sample.ids for sample in samples] for key, samples in one.items()} == {
        key: [sample.ids for sample in samples] for key, samples in other.items()
    }


def test_samples_do_not_depend_on_what_is_generated_beside_them(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = requests()
    together = generated(engine, asked)
    assert same(generated(engine, asked[::-1]), together), "another order"
    assert same(generated(engine, asked[::2]) | generated(engine, asked[1::2]), together), "in two shards"
    monkeypatch.setattr(transformers_engine, "ROWS", 5)  # batches break inside the samples of a prompt
    assert same(generated(engine, asked), together)


def test_the_last_bits_of_the_logits_hardly_depend_on_the_batch(engine: TransformersEngine) -> None:
    """The claim of the module's first lines: float64 leaves next to nothing of the influence of padding and neighbours."""
    asked = requests(temperature=0.0, samples=1)
    together = generated(engine, asked)
    for request in asked:
        (alone,) = generated(engine, [request])[request.key]
        assert alone.ids == together[request.key][0].ids
        assert alone.logprob == pytest.approx(together[request.key][0].logprob, rel=0, abs=1e-6)


def test_samples_of_one_prompt_differ_and_follow_seed_plus_index(engine: TransformersEngine) -> None:
    (request,) = requests(1, samples=4)
    first = generated(engine, [request])[request.key]
    shifted = generated(engine, [Request("x", request.prompt_ids, request.drawing, request.seed + 1)])["x"]
    assert [one.ids for one in first[1:]] == [one.ids for one in shifted[:3]]
    assert len({tuple(one.ids) for one in first}) == 4


def test_greedy_samples_are_those_of_transformers_own_generation(engine: TransformersEngine, model: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    for request in requests(6, temperature=0.0, samples=1):
        ids = torch.tensor([request.prompt_ids])
        mask = torch.ones_like(ids)
        out = theirs.generate(
            ids, attention_mask=mask, max_new_tokens=20, do_sample=False, eos_token_id=[END, TURN], pad_token_id=END
        )
        (mine,) = generated(engine, [request])[request.key]
        assert mine.ids == out[0, ids.shape[1] :].tolist()


def test_the_log_probability_is_that_of_the_model_at_temperature_1(engine: TransformersEngine, model: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    for request in requests(4, temperature=0.3, top_k=5):
        for one in generated(engine, [request])[request.key]:
            ids = torch.tensor([[*request.prompt_ids, *one.ids]])
            with torch.inference_mode():
                logprobs = theirs(ids).logits.log_softmax(-1)[0, len(request.prompt_ids) - 1 : -1]
            expected = logprobs.gather(-1, ids[0, len(request.prompt_ids) :, None]).sum().item()
            assert one.logprob == pytest.approx(expected, abs=1e-3)


def test_a_sample_ends_at_a_stop_token_or_at_its_limit_and_a_truncated_one_has_no_end(engine: TransformersEngine) -> None:
    ended = [one for samples in generated(engine, requests(40)).values() for one in samples]
    finishes = Counter(one.finish for one in ended)
    assert finishes["stop"] > 5
    assert finishes["length"] > 5
    for one in ended:
        assert not STOP_IDS & set(one.ids[:-1])
        assert (one.ids[-1] in STOP_IDS) == (one.finish == "stop")
        assert (len(one.ids) == 20) or one.finish == "stop"


def test_a_sample_ends_where_the_context_ends(model: Path) -> None:
    opened = TransformersEngine(settings(model, context=44))
    asked = requests(12, max_tokens=90)
    for request in asked:
        for one in generated(opened, [request])[request.key]:
            assert len(request.prompt_ids) + len(one.ids) <= 44
            assert one.finish == "stop" or len(request.prompt_ids) + len(one.ids) == 44


@pytest.mark.parametrize("stop", ["2", " .", "日", "a"])
def test_a_stop_text_ends_a_sample_with_the_token_that_completes_it(engine: TransformersEngine, model: Path, stop: str) -> None:
    tokenizer: Any = ModelFolder.open(model).load_tokenizer()
    free = generated(engine, requests(20, temperature=1.5, max_tokens=40))
    stopped = generated(engine, requests(20, temperature=1.5, max_tokens=40, stop=(stop,)))
    cut = 0
    for key, samples in stopped.items():
        for one, whole in zip(samples, free[key], strict=True):
            assert one.ids == whole.ids[: len(one.ids)], "up to there nothing changes"
            text, before = plain_text(tokenizer, one.ids), plain_text(tokenizer, one.ids[:-1])
            assert stop not in before
            assert (stop in text) == (len(one.ids) < len(whole.ids)) or one.ids == whole.ids
            cut += len(one.ids) < len(whole.ids)
    assert cut > (-1 if stop == "日" else 3)


def test_closing_the_iterator_abandons_what_is_unfinished(engine: TransformersEngine) -> None:
    steps = engine.generate(iter(requests()))
    assert next(steps) == []
    steps.close()  # type: ignore[attr-defined]
    assert len(generated(engine, requests(2))) == 2


def test_several_devices_are_refused(model: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"tensorParallelSize: 2, but Transformers uses one device only"):
        TransformersEngine(settings(model, tensor_parallel_size=2))


def test_a_model_that_transformers_does_not_know_is_refused(tmp_path: Path, model: Path) -> None:
    shutil.copytree(model, tmp_path / "odd")
    (tmp_path / "odd" / "config.json").write_text(json.dumps({"model_type": "no_such_model", "architectures": ["X"]}))
    with pytest.raises(ConfigurationError, match="transformers cannot load"):
        TransformersEngine(settings(tmp_path / "odd"))


def test_without_torch_the_extra_to_install_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ConfigurationError, match=r"Transformers, but it cannot be imported .* install tpt-operator\[local\]"):
        open_engine(SamplingEngine.TRANSFORMERS, settings(model))


def test_a_token_is_drawn_as_often_as_it_is_likely() -> None:
    import torch

    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]]).repeat(1000, 1)
    grid = [(place + 0.5) / 1000 for place in range(1000)]
    tokens, logprobs = choose(torch, logits, drawing(temperature=0.5), grid)
    expected = (logits[0] / 0.5).softmax(-1).tolist()
    assert [tokens.count(token) / 1000 for token in range(4)] == pytest.approx(expected, abs=1e-3)
    assert logprobs[0] == pytest.approx(logits[0].log_softmax(-1)[tokens[0]].item(), abs=1e-6)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"top_k": 2}, [0.0, 0.4, 0.6, 0.0]),
        ({"top_k": 99}, [0.1, 0.3, 0.45, 0.15]),
        ({"top_p": 0.4}, [0.0, 0.0, 1.0, 0.0]),
        ({"top_p": 0.46}, [0.0, 0.4, 0.6, 0.0]),
        ({"top_p": 0.8}, [0.0, 1 / 3, 0.5, 1 / 6]),
        ({"top_p": 0.7, "top_k": 3}, [0.0, 0.4, 0.6, 0.0]),
    ],
)
def test_top_k_and_top_p_leave_only_the_likeliest(more: dict[str, Any], expected: list[float]) -> None:
    import torch

    logits = torch.tensor([[0.1, 0.3, 0.45, 0.15]], dtype=torch.float64).log()
    shares = probabilities(logits, drawing(temperature=1.0, **more))
    assert (shares / shares.sum())[0].tolist() == pytest.approx(expected)


def test_the_ends_of_the_unit_interval_draw_only_what_is_possible() -> None:
    import torch

    logits = torch.tensor([[-1e9, 0.0, 0.0, -1e9]] * 2)
    assert choose(torch, logits, drawing(), [0.0, 1 - 2**-53])[0] == [1, 2]


def test_a_stopped_step_goes_on_and_ends_with_the_samples_of_one_that_was_not(tmp_path: Path, model: Path) -> None:
    shutil.copytree(model, tmp_path / "model")
    for name, count in (("train", 30), ("eval", 10)):
        write_prompts(tmp_path, name, count)
    evaluate, train = part("evaluate", "eval", temperature=0.7), part("train", "train", stop=["\n", " ."], top_k=50)
    asked = config(tmp_path, evaluate, train)
    context = Context(SilentJournal())
    chunks: list[Path] = []

    def progress(completed: int, total: int, **figures: float) -> None:
        chunks[:] = tmp_path.rglob("chunk-*.jsonl")
        if len(chunks) == 2:
            context.stopping.set()

    context.progress = progress  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        sample(asked, context, pace=Pace(seconds=0.0))
    before = sum(len(sampled(tmp_path / one.path)) for one in (evaluate, train))
    assert 0 < before < 40
    sample(config(tmp_path, evaluate, train, attempt=2), Context(SilentJournal()))
    for one in (evaluate, train):
        again = one.model_copy(update={"path": f"uninterrupted/{one.purpose}"})
        sample(config(tmp_path, again), Context(SilentJournal()))
        assert sampled(tmp_path / one.path) == sampled(tmp_path / again.path)


def test_a_model_that_has_diverged_is_named_as_such(tmp_path: Path) -> None:
    write_prompts(tmp_path, "train", 2)
    poison(write_tiny_llama(tmp_path / "model"))
    with pytest.raises(ConfigurationError, match=r"a log-probability of nan: .* its training has diverged"):
        sample(config(tmp_path, part("train", "train")), Context(SilentJournal()))
