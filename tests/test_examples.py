"""Every file in examples/ is valid, says how it is run, and has enough GPUs by the project's own arithmetic."""

import re
from pathlib import Path
from typing import Any

import pytest

from tpt_runtime.artifacts.yaml import parse_resources, read_resources
from tpt_runtime.core.budget import (
    Prompts,
    Shape,
    fewest_processes,
    most_examples,
    sampling_memory,
    sequences_at_once,
    shape_from_config,
    training_memory,
)
from tpt_runtime.core.choices import Deduplicate, Strategy, TrainFrom, Weighting
from tpt_runtime.core.resource import parse_run
from tpt_runtime.core.spec import Run, Spec

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "examples" / "quickstart"
ARGOCD = ROOT / "examples" / "argocd"
FOR_CLUSTERS = (QUICKSTART / "kustomization.yaml", *(QUICKSTART / "cluster").glob("*.yaml"))
"""Not runs, but what the quickstart needs on a cluster."""
EXAMPLES = sorted(set((ROOT / "examples").rglob("*.yaml")) - set(FOR_CLUSTERS) - set(ARGOCD.rglob("*.yaml")))
METHODS = sorted((ROOT / "examples" / "methods").glob("*.yaml"))
"""Neighbours of the method, on the same model and data."""
PLANNED = [*sorted((ROOT / "examples").glob("*-gsm8k*.yaml")), *METHODS]
GB = 10**9
GPU = 80 * GB
GSM8K = Prompts(train=7473 - 374, validation=374, eval=1319)
GEMMA = {"model_type": "gemma2", "head_dim": 256, "vocab_size": 256000}
CONFIGS: dict[str, dict[str, Any]] = {
    "hf://google/gemma-2-2b-it": GEMMA
    | {"hidden_size": 2304, "num_hidden_layers": 26, "intermediate_size": 9216}
    | {"num_attention_heads": 8, "num_key_value_heads": 4},
    "hf://google/gemma-2-9b-it": GEMMA
    | {"hidden_size": 3584, "num_hidden_layers": 42, "intermediate_size": 14336}
    | {"num_attention_heads": 16, "num_key_value_heads": 8},
    "hf://meta-llama/Llama-3.1-70B-Instruct": {"model_type": "llama", "tie_word_embeddings": False, "vocab_size": 128256}
    | {"hidden_size": 8192, "num_hidden_layers": 80, "intermediate_size": 28672}
    | {"num_attention_heads": 64, "num_key_value_heads": 8},
}


def run_of(path: Path) -> Run:
    (document,) = read_resources(path)
    return parse_run(document, str(path))


def shape_of(spec: Spec) -> Shape:
    shape = shape_from_config(CONFIGS[spec.model.uri])
    assert shape is not None
    return shape


def spec_of(name: str) -> Spec:
    return run_of(ROOT / "examples" / f"{name}.yaml").spec


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT / "examples"))


def test_there_are_examples() -> None:
    assert {"quickstart/run.yaml", "smollm2/run.yaml", "gemma2-2b-gsm8k.yaml"} <= {name_of(path) for path in EXAMPLES}
    assert len(PLANNED) == 8
    assert [path.stem for path in METHODS] == ["dart-prop2diff", "dart-uniform", "rest-em", "rft", "star"]


@pytest.mark.parametrize("path", EXAMPLES, ids=name_of)
def test_every_example_is_valid_and_says_how_it_is_run(path: Path) -> None:
    run = run_of(path)
    text = path.read_text(encoding="utf-8")
    assert f"examples/{name_of(path)}" in text.partition("apiVersion")[0]
    assert run.metadata.name


def test_the_run_in_the_readme_is_valid() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (document,) = parse_resources(text, "README.md")
    assert parse_run(document, "README.md").metadata.name


@pytest.mark.parametrize("path", PLANNED, ids=name_of)
def test_what_was_not_run_says_so_in_its_first_lines(path: Path) -> None:
    head = " ".join(path.read_text(encoding="utf-8").replace("#", " ").partition("tpt validate")[0].split())
    assert "PLANNED, NOT RUN HERE: no figure in this file was measured by this project." in head


@pytest.mark.parametrize("path", PLANNED, ids=name_of)
def test_planned_runs_fit_on_gpus_of_80_gb(path: Path) -> None:
    spec = run_of(path).spec
    shape, training = shape_of(spec), spec.training
    fewest = fewest_processes(shape, training, GPU)
    assert fewest is not None
    assert fewest <= training.nodes * training.processes_per_node
    assert sampling_memory(shape, spec.sampling.tensor_parallel_size).weights < GPU // 2


@pytest.mark.parametrize("path", PLANNED, ids=name_of)
def test_sampling_and_training_use_the_same_gpus(path: Path) -> None:
    spec = run_of(path).spec
    assert spec.sampling.shards * spec.sampling.tensor_parallel_size == spec.training.nodes * spec.training.processes_per_node


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("gemma2-2b-gsm8k", ["2.61 billion", "= 20.9 GB", "1.3 GB", "= 52.3 GB", "= 5.2 GB", "about 390 sequences"]),
        (
            "gemma2-9b-gsm8k",
            ["9.24 billion", "= 147.9 GB", "37.0 GB", "2.7 GB", "= 73.9 GB", "55.4 GB", "= 18.5 GB", "about 97 "],
        ),
        ("llama31-70b-gsm8k", ["70.55 billion", "= 1,129 GB", "47.0 GB", "5.1 GB", "70.6 + 5.1", "35.3 GB", "about 280 "]),
    ],
)
def test_the_arithmetic_in_the_comments_is_the_projects_own(name: str, figures: list[str]) -> None:
    comments = " ".join((ROOT / "examples" / f"{name}.yaml").read_text(encoding="utf-8").replace("#", " ").split())
    assert [figure for figure in figures if figure.strip() not in comments] == []
    known = " ".join(f"{figure:,.0f} {figure:.1f} {figure:.2f}" for figure in computed(spec_of(name)))
    for figure in re.findall(r"\d[\d,.]*", " ".join(figures)):
        assert any(figure == each for each in known.split()), f"{figure} is not among {known}"


def computed(spec: Spec) -> list[float]:
    """Return the figures that a comment may name, in billions of parameters, GB and sequences."""
    shape, training = shape_of(spec), spec.training
    found = [shape.parameters / GB]
    for stage in (2, 3):
        settings = training.model_copy(update={"deepspeed": training.deepspeed.model_copy(update={"zero_stage": stage})})
        for processes in (1, 4, 8, 16, 24):
            needed = training_memory(shape, settings, processes)
            found += [needed.device / GB, (needed.activations or 0) / GB]
    found.append(sampling_memory(shape, spec.sampling.tensor_parallel_size).weights / GB)
    sequences = sequences_at_once(shape, spec, GPU) or 0
    return [*found, sequences, round(sequences, -1)]


@pytest.mark.parametrize("name", ["rest-em", "star", "rft"])
def test_where_a_variant_has_no_cap_none_bites(name: str) -> None:
    spec = spec_of(f"methods/{name}")
    each = min(spec.pruning.max_correct_per_prompt, spec.sampling.samples_per_prompt)
    assert most_examples(spec, GSM8K) == 7099 * each


def test_the_variants_differ_in_what_their_method_changes() -> None:
    base, *others = (spec_of(name) for name in ("gemma2-2b-gsm8k", *(f"methods/{path.stem}" for path in METHODS)))
    prop2diff, uniform, rest_em, rft, star = others
    assert base.training.from_ is TrainFrom.LAST
    assert rest_em.training.from_ is star.training.from_ is TrainFrom.BASE
    assert (rest_em.sampling.samples_per_prompt, rest_em.sampling.temperature, rest_em.sampling.top_k) == (32, 0.7, 40)
    assert rest_em.pruning.max_correct_per_prompt == 10
    assert (star.sampling.samples_per_prompt, star.sampling.temperature) == (1, 0)
    assert star.sampling.rationalization is not None
    chosen = [(spec.max_rounds, spec.sampling.strategy, spec.pruning.weighting) for spec in (uniform, prop2diff)]
    assert chosen == [
        (1, Strategy.STOP_WHEN_CORRECT, Weighting.UNIFORM),
        (1, Strategy.DIFFICULTY_AWARE, Weighting.PROP2DIFF),
    ]
    assert (rft.max_rounds, rft.sampling.samples_per_prompt, rft.pruning.deduplicate) == (1, 100, Deduplicate.EQUATIONS)


def test_the_quickstart_without_vllm_differs_in_its_engines_only() -> None:
    one, other = (spec_of(f"quickstart/{name}") for name in ("run", "run-without-vllm"))
    engines = {"sampling": {"engine": "Transformers"}, "training": {"engine": "Torch"}}
    assert other.wire() == one.wire() | {name: one.wire()[name] | engine for name, engine in engines.items()}
