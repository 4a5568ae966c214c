"""What `tpt plan` prints: the steps of a run and what they take at most, line by line. The arithmetic is in `core/budget.py`."""

from collections.abc import Iterator
from dataclasses import dataclass

from tpt_runtime.core import budget
from tpt_runtime.core.budget import Prompts, Shape
from tpt_runtime.core.choices import Method
from tpt_runtime.core.spec import Spec, Training

GB = 1e9
WIDTH = 24


@dataclass(frozen=True)
class Known:
    """What is known besides the spec."""

    prompts: Prompts
    shape: Shape | None = None
    gpu_bytes: int | None = None
    """Memory of one GPU."""
    tokens_per_second: float | None = None
    """Generated, by all samplers together."""
    trained_tokens_per_second: float | None = None


def estimate(name: str, spec: Spec, known: Known) -> str:
    """Return the plan of the run `name` in words."""
    sections = {
        "steps": _steps(spec),
        "tokens, at most": _tokens(spec, known),
        "GPU memory of training": _training(spec, known),
        "GPU memory of sampling": _sampling(spec, known),
        "storage": _storage(spec, known),
        "hours, at most": _hours(spec, known),
    }
    lines = [f"{name}: {spec.max_rounds} rounds at most"]
    for title, rows in sections.items():
        lines += ["", title, *(f"  {label:<{WIDTH}} {text}" for label, text in rows)]
    return "\n".join(lines)


def _steps(spec: Spec) -> Iterator[tuple[str, str]]:
    sampling, pruning, every = spec.sampling, spec.pruning, spec.evaluation.every_rounds
    rounds = "round 1" if spec.max_rounds == 1 else f"rounds 1 to {spec.max_rounds}"
    measured = "the model so far is measured first" + ("" if every == 1 else f", every {every} rounds")
    samplers = f"{_count(sampling.shards, 'sampler')} of {_count(sampling.tensor_parallel_size, 'GPU')}"
    kept = f"verifier {pruning.verifier.type}, keep {pruning.keep}, at most {_count(pruning.max_examples, 'example')}"
    yield "prepare", "once: model and data to the storage, prompts rendered and checked"
    yield "sample", f"{rounds}: {samplers}; {measured}"
    yield "prune", f"{rounds}: {kept}"
    yield "train", f"{rounds}: {_layout(spec.training)}"
    yield "evaluate, grade", f"model {spec.max_rounds}"
    yield "finalize", f"once: report, checkpoints {spec.retention.checkpoints}"


def _layout(training: Training) -> str:
    processes = training.nodes * training.processes_per_node
    accumulated = training.batch_size // (training.micro_batch_size * processes)
    where = f"{_count(training.nodes, 'node')} x {_count(training.processes_per_node, 'process')}, {training.engine}"
    zero = f" ZeRO-{training.deepspeed.zero_stage}" if training.engine == "DeepSpeed" else ""
    batch = f"batch {training.batch_size} = {training.micro_batch_size} x {processes} x {accumulated} accumulated"
    return f"{where}{zero}, {training.method}, {batch}"


def _count(number: int, what: str) -> str:
    plural = f"{what}es" if what.endswith("s") else f"{what}s"
    return f"{number:,} {what if number == 1 else plural}"


def _tokens(spec: Spec, known: Known) -> Iterator[tuple[str, str]]:
    sampling, evaluation, prompts = spec.sampling, spec.evaluation, known.prompts
    drawn = f"{sampling.samples_per_prompt} samples x {sampling.max_tokens:,} tokens"
    yield "sampled a round", _product(prompts.train, drawn, budget.sampled_tokens(spec, prompts), "--train-prompts")
    measured = f"{evaluation.samples_per_prompt} samples x {sampling.max_tokens:,} tokens"
    missing = "--validation-prompts and --eval-prompts"
    yield "sampled an evaluation", _product(prompts.evaluated, measured, budget.evaluated_tokens(spec, prompts), missing)
    yield "evaluations", f"{budget.evaluations(spec)} (base model, measured rounds, last model)"
    examples = budget.most_examples(spec, prompts)
    epochs = f"{examples:,} examples x {spec.training.max_length:,} tokens x {_count(spec.training.epochs, 'epoch')}"
    grows = (
        f"; {spec.max_rounds} times that in the last round" if spec.training.data == "Accumulated" and spec.max_rounds > 1 else ""
    )
    yield "trained a round", f"{epochs} = {budget.trained_tokens(spec, prompts, 1):,}{grows}"


def _product(prompts: int | None, each: str, total: int | None, option: str) -> str:
    if prompts is None or total is None:
        return f"prompts x {each} (how many prompts? say it with {option})"
    return f"{prompts:,} prompts x {each} = {total:,}"


def _training(spec: Spec, known: Known) -> Iterator[tuple[str, str]]:
    shape, training = known.shape, spec.training
    if shape is None:
        yield "unknown", "how large is the model? say it with --parameters or --model-config"
        return
    processes = training.nodes * training.processes_per_node
    needed = budget.training_memory(shape, training, processes)
    if training.method == Method.LORA:
        yield "weights", f"4 bytes x {_billions(shape)} parameters; the adapter's states are small beside them"
    else:
        yield "weights, Adam", f"16 bytes x {_billions(shape)} parameters = {_gigabytes(16 * shape.parameters)} in all"
    yield "a process", f"{_gigabytes(needed.device)} on its GPU{_division(training, processes)}"
    if needed.host:
        host = needed.host * training.processes_per_node
        yield "a machine", f"{_gigabytes(host)} of its own memory for the offloaded optimizer"
    if needed.activations is not None:
        rows = f"{training.micro_batch_size} x {training.max_length:,} tokens, recomputed in the backward pass"
        yield "activations", f"about {_gigabytes(needed.activations)} a process ({rows})"
    if known.gpu_bytes is not None:
        yield "fits", _fits(shape, training, known.gpu_bytes)


def _division(training: Training, processes: int) -> str:
    if training.engine != "DeepSpeed":
        return ""
    stage = training.deepspeed.zero_stage
    copy = "; DeepSpeed's copy of its part of the weights included" if stage in (1, 2) and training.method == Method.FULL else ""
    return f" with ZeRO-{stage} over {_count(processes, 'process')}{copy}"


def _fits(shape: Shape, training: Training, gpu_bytes: int) -> str:
    fewest = budget.fewest_processes(shape, training, gpu_bytes)
    size = f"GPUs of {gpu_bytes / GB:,.0f} GB, {budget.USABLE:.0%} of each counted on"
    if fewest is None:
        most = training.batch_size // training.micro_batch_size
        return f"no: not even {most} {size}; raise deepspeed.zeroStage or batchSize, or choose LoRA"
    processes = training.nodes * training.processes_per_node
    needed = budget.training_memory(shape, training, processes)
    enough = needed.device + (needed.activations or 0) <= budget.USABLE * gpu_bytes
    besides = "" if needed.activations is not None else ", before activations (see --model-config)"
    return f"{'yes' if enough else 'no'}: {fewest} or more {size}{besides}; the run has {processes}"


def _sampling(spec: Spec, known: Known) -> Iterator[tuple[str, str]]:
    shape, size = known.shape, spec.sampling.tensor_parallel_size
    if shape is None:
        yield "unknown", "how large is the model? say it with --parameters or --model-config"
        return
    needed = budget.sampling_memory(shape, size)
    yield (
        "weights",
        f"2 bytes x {_billions(shape)} parameters / {_count(size, 'GPU')} = {_gigabytes(needed.weights)} a GPU (BF16)",
    )
    if needed.cache_per_token is not None:
        yield "cache", f"{needed.cache_per_token / 1e3:,.0f} kB for each token of each sequence in progress"
    if known.gpu_bytes is not None:
        yield "fits", _sequences(spec, shape, known.gpu_bytes)


def _sequences(spec: Spec, shape: Shape, gpu_bytes: int) -> str:
    size = spec.sampling.tensor_parallel_size
    room = budget.USABLE * gpu_bytes - budget.sampling_memory(shape, size).weights
    if room <= 0:
        return (
            f"no: the weights do not fit into {budget.USABLE:.0%} of {gpu_bytes / GB:,.0f} GB; raise sampling.tensorParallelSize"
        )
    at_once = budget.sequences_at_once(shape, spec, gpu_bytes)
    if at_once is None:
        return "yes, the weights do; how many sequences at once follows from --model-config"
    return f"about {at_once:,} sequences of {spec.training.max_length:,} tokens at once and sampler"


def _storage(spec: Spec, known: Known) -> Iterator[tuple[str, str]]:
    if known.shape is None:
        yield "unknown", "how large is the model? say it with --parameters or --model-config"
        return
    stored = budget.round_bytes(known.shape, spec, known.prompts)
    kept = "best and last round's stay" if spec.retention.checkpoints == "Best" else "every round's stays"
    yield "model of a round", f"{_gigabytes(stored['model'])} in fp32; at the end the {kept}"
    yield (
        "samples of a round",
        f"{_gigabytes(stored['samples'])} at most" if stored["samples"] is not None else "unknown without prompts",
    )
    yield "checkpoint", f"about {_gigabytes(stored['checkpoint'])} while a round trains"


def _hours(spec: Spec, known: Known) -> Iterator[tuple[str, str]]:
    speed, prompts = known.tokens_per_second, known.prompts
    sampled, evaluated = budget.sampled_tokens(spec, prompts), budget.evaluated_tokens(spec, prompts)
    if speed is None:
        yield "sampling", "not guessed: measure a throughput and give it as --tokens-per-second"
    elif sampled is None or evaluated is None:
        yield "sampling", "unknown without the numbers of prompts"
    else:
        total = spec.max_rounds * sampled + budget.evaluations(spec) * evaluated
        yield "sampling", f"{total:,} tokens at {speed:,.0f} tokens/s = {total / speed / 3600:,.2f}"
    trained = sum(budget.trained_tokens(spec, prompts, number) for number in range(1, spec.max_rounds + 1))
    if known.trained_tokens_per_second is None:
        yield "training", "not guessed: measure a throughput and give it as --trained-tokens-per-second"
    else:
        hours = trained / known.trained_tokens_per_second / 3600
        yield "training", f"{trained:,} tokens at {known.trained_tokens_per_second:,.0f} tokens/s = {hours:,.2f}"


def _billions(shape: Shape) -> str:
    return f"{shape.parameters / 1e9:,.2f} billion" if shape.parameters >= 1e8 else f"{shape.parameters / 1e6:,.2f} million"


def _gigabytes(count: int | None) -> str:
    return f"{(count or 0) / GB:,.1f} GB" if (count or 0) >= 1e8 else f"{(count or 0) / 1e6:,.1f} MB"
