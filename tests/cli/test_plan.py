"""`tpt plan`: what it knows, what it works out, and what it does not guess."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tpt_runtime.cli import objects

Tpt = Callable[..., Any]
Write = Callable[..., Path]

CONFIG = {
    "hidden_size": 8192,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "intermediate_size": 28672,
    "vocab_size": 128256,
}


def line(output: str, label: str) -> str:
    return next(text.split(label, 1)[1].strip() for text in output.splitlines() if text.strip().startswith(label))


def test_without_more_it_says_what_it_does_not_know(tpt: Tpt, write_run: Write) -> None:
    result = tpt("plan", write_run())
    assert result.exit_code == 0
    assert "how many prompts?" in line(result.stdout, "sampled a round")
    assert "--parameters" in result.stdout
    assert "not guessed" in line(result.stdout, "sampling")


def test_local_questions_are_counted_and_the_hold_out_taken_off(tpt: Tpt, write_run: Write, write_data: Write) -> None:
    write_data(count=40)
    file = write_run(sampling={"samplesPerPrompt": 4, "maxTokens": 100}, evaluation={"samplesPerPrompt": 2})
    result = tpt("plan", file)
    assert line(result.stdout, "sampled a round") == "38 prompts x 4 samples x 100 tokens = 15,200"
    assert line(result.stdout, "sampled an evaluation") == "2 prompts x 2 samples x 100 tokens = 400"


def test_numbers_that_are_given_win(tpt: Tpt, write_run: Write, write_data: Write) -> None:
    write_data(count=40)
    result = tpt("plan", write_run(), "--train-prompts", 1000, "--validation-prompts", 7, "--eval-prompts", 3)
    assert line(result.stdout, "sampled a round").startswith("993 prompts")
    assert line(result.stdout, "sampled an evaluation").startswith("10 prompts")


def test_a_validation_set_of_its_own_is_counted(tpt: Tpt, write_run: Write, write_data: Write) -> None:
    write_data(count=40)
    write_data("runs/small/held.jsonl", count=9)
    dataset = {"train": {"uri": "train.jsonl"}, "validation": {"uri": "held.jsonl"}}
    result = tpt("plan", write_run(dataset=dataset))
    assert line(result.stdout, "sampled a round").startswith("40 prompts")
    assert line(result.stdout, "sampled an evaluation").startswith("9 prompts")


def test_hours_follow_from_throughputs_that_are_given(tpt: Tpt, write_run: Write) -> None:
    file = write_run(
        maxRounds=2,
        sampling={"samplesPerPrompt": 10, "maxTokens": 100},
        evaluation={"samplesPerPrompt": 1},
        pruning={"maxExamples": 36, "minExamples": 1},
        training={"maxLength": 200},
    )
    counts = ("--train-prompts", 366, "--validation-prompts", 6, "--eval-prompts", 6)
    result = tpt("plan", file, *counts, "--tokens-per-second", 100, "--trained-tokens-per-second", 2)
    # 2 rounds of 360 x 10 x 100, and 3 evaluations of 12 x 100
    assert line(result.stdout, "sampling") == "723,600 tokens at 100 tokens/s = 2.01"
    # 2 rounds of 36 x 200
    assert line(result.stdout, "training") == "14,400 tokens at 2 tokens/s = 2.00"


class TestMemory:
    def test_it_is_worked_out_from_the_number_of_parameters(self, tpt: Tpt, write_run: Write) -> None:
        result = tpt("plan", write_run(), "--parameters", "2.6B")
        assert line(result.stdout, "weights, Adam") == "16 bytes x 2.60 billion parameters = 41.6 GB in all"
        assert line(result.stdout, "weights ") == "2 bytes x 2.60 billion parameters / 1 GPU = 5.2 GB a GPU (BF16)"
        assert line(result.stdout, "model of a round").startswith("10.4 GB in fp32")

    def test_what_fits_is_said(self, tpt: Tpt, write_run: Write, here: Path) -> None:
        (here / "config.json").write_text(json.dumps(CONFIG))
        training = {"batchSize": 24, "maxLength": 1600, "deepspeed": {"zeroStage": 3}, "processesPerNode": 8, "nodes": 3}
        file = write_run(training=training, sampling={"tensorParallelSize": 4})
        result = tpt("plan", file, "--model-config", "config.json", "--gpu-memory", 80)
        fits = [text.strip() for text in result.stdout.splitlines() if text.strip().startswith("fits")]
        assert "yes: 24 or more GPUs of 80 GB" in fits[0]
        assert fits[0].endswith("the run has 24")
        assert "sequences of 1,600 tokens at once" in fits[1]

    def test_what_does_not_fit_is_said_with_the_way_out(self, tpt: Tpt, write_run: Write) -> None:
        result = tpt("plan", write_run(), "--parameters", "70B", "--gpu-memory", 24)
        assert "raise deepspeed.zeroStage or batchSize, or choose LoRA" in result.stdout
        assert "raise sampling.tensorParallelSize" in result.stdout

    def test_offloaded_states_count_for_the_machine(self, tpt: Tpt, write_run: Write) -> None:
        deepspeed = {"zeroStage": 3, "offloadOptimizer": True}
        result = tpt("plan", write_run(training={"deepspeed": deepspeed, "processesPerNode": 2}), "--parameters", "1B")
        assert line(result.stdout, "a machine").startswith("12.0 GB of its own memory")

    def test_a_local_model_is_counted(self, tpt: Tpt, write_run: Write, here: Path) -> None:
        model = here / "runs" / "small" / "model"
        model.mkdir(parents=True)
        header = json.dumps({"w": {"dtype": "F32", "shape": [1000, 2000], "data_offsets": [0, 8000000]}}).encode()
        (model / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
        result = tpt("plan", write_run())
        assert "16 bytes x 2.00 million parameters" in result.stdout

    def test_lora_keeps_only_the_weights(self, tpt: Tpt, write_run: Write) -> None:
        result = tpt("plan", write_run(training={"method": "LoRA"}), "--parameters", "1B")
        assert line(result.stdout, "weights ").startswith("4 bytes x 1.00 billion parameters")


def test_steps_are_told_with_their_layout(tpt: Tpt, write_run: Write) -> None:
    file = write_run(
        maxRounds=3,
        sampling={"shards": 4, "tensorParallelSize": 2},
        training={"batchSize": 16, "microBatchSize": 2, "processesPerNode": 4},
        evaluation={"everyRounds": 2},
    )
    output = tpt("plan", file).stdout
    assert line(output, "sample").startswith("rounds 1 to 3: 4 samplers of 2 GPUs")
    assert "batch 16 = 2 x 4 x 2 accumulated" in line(output, "train")
    assert line(output, "evaluate, grade") == "model 3"
    assert line(output, "evaluations").startswith("3 ")


@pytest.mark.parametrize("text", ["0", "many", "-3B", "2.6X", ""])
def test_a_number_of_parameters_that_is_none_is_refused(text: str, tpt: Tpt, write_run: Write) -> None:
    result = tpt("plan", write_run(), "--parameters", text)
    assert result.exit_code == 2
    assert "135M" in result.stderr


@pytest.mark.parametrize(("content", "words"), [(None, "not readable"), ("{", "not readable"), ("[1]", "expected a JSON object")])
def test_a_config_that_is_none_is_refused(content: str | None, words: str, tpt: Tpt, write_run: Write, here: Path) -> None:
    if content is not None:
        (here / "config.json").write_text(content)
    result = tpt("plan", write_run(), "--model-config", "config.json")
    assert result.exit_code == 64
    assert words in result.stderr


def test_one_run_is_planned_at_a_time(tpt: Tpt, write_run: Write, here: Path) -> None:
    (here / "two.yaml").write_text(write_run(run="one").read_text() + "---\n" + write_run(run="two").read_text())
    result = tpt("plan", "two.yaml")
    assert result.exit_code == 64
    assert "holds 2 runs (one, two)" in result.stderr


class TestObjects:
    def test_every_object_is_printed_with_a_placeholder_for_the_uid(self, tpt: Tpt, write_run: Write) -> None:
        result = tpt("plan", write_run(maxRounds=1), "-o", "yaml")
        assert result.exit_code == 0
        kinds = [(item["kind"], item["metadata"]["ownerReferences"][0]["uid"]) for item in yaml.safe_load_all(result.stdout)]
        assert kinds == [("NetworkPolicy", "UID"), *[("Job", "UID")] * 7]
        assert "&id" not in result.stdout

    def test_it_is_told_for_the_namespace_and_the_images_that_are_given(self, tpt: Tpt, write_run: Write) -> None:
        images = ("--image", "sampler=registry.example/sampler:1", "--image", "trainer=mine:2")
        result = tpt("plan", write_run(maxRounds=1), "-o", "yaml", "--namespace", "team", *images)
        found = list(yaml.safe_load_all(result.stdout))
        assert {item["metadata"]["namespace"] for item in found} == {"team"}
        containers = [item["spec"]["template"]["spec"]["containers"][0] for item in found if item["kind"] == "Job"]
        assert {item["image"] for item in containers} == {"registry.example/sampler:1", "PRUNER-IMAGE", "mine:2"}
        assert json.loads(containers[0]["args"][0])["root"] == "/storage/team/small"

    def test_every_problem_of_the_run_is_told_and_nothing_printed(self, tpt: Tpt, write_run: Write) -> None:
        limits = {"resources": {"limits": {"nvidia.com/gpu": "2"}}}
        result = tpt("plan", write_run(managedBy="else.where/x", training={"worker": limits}), "-o", "yaml")
        assert (result.exit_code, result.stdout) == (64, "")
        assert "2 problems" in result.stderr
        assert "spec.managedBy: found else.where/x" in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            (["-o", "yaml", "--image", "sampler"], 64, "expected ROLE=IMAGE with one of sampler, pruner, trainer as ROLE"),
            (["-o", "yaml", "--image", "operator=x"], 64, "found operator=x"),
            (["-o", "yaml", "--namespace", "Team A"], 64, "metadata.namespace"),
            (["-o", "yaml", "--gpu-memory", "80"], 2, "--gpu-memory is for the estimate only"),
            (["--namespace", "team"], 2, "--namespace is for -o yaml only"),
            (["--image", "sampler=x"], 2, "--image is for -o yaml only"),
        ],
    )
    def test_what_cannot_be_is_refused(self, arguments: list[str], code: int, words: str, tpt: Tpt, write_run: Write) -> None:
        result = tpt("plan", write_run(), *arguments)
        assert (result.exit_code, result.stdout) == (code, "")
        assert words in result.stderr

    def test_a_namespace_that_the_file_contradicts_is_refused(self, tpt: Tpt, write_run: Write, here: Path) -> None:
        text = write_run().read_text().replace("name: small", "name: small\n  namespace: mine")
        (here / "mine.yaml").write_text(text)
        assert tpt("plan", "mine.yaml", "-o", "yaml", "--namespace", "mine").exit_code == 0
        result = tpt("plan", "mine.yaml", "-o", "yaml", "--namespace", "team")
        assert result.exit_code == 64
        assert "found team, but mine.yaml says mine" in result.stderr

    def test_without_an_operator_it_says_what_is_missing(
        self, tpt: Tpt, write_run: Write, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(objects, "entry_points", lambda group: ())
        result = tpt("plan", write_run(), "-o", "yaml")
        assert (result.exit_code, "install the distribution tpt-operator" in result.stderr) == (64, True)
