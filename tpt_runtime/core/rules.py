"""The rules that span fields, each declared once as data: a Python check, the same in CEL for the CRD, a message, two examples.

A rule lies at the object that holds all it reads, and there `self` is that object: `check` gets its model, `cel` its JSON. Which
fields it reads is seen from its CEL (`Rule.reads`), so that it can be left out while one of them is mistyped. What may change
during a run stands in `transitions.py`. What neither can say (whether a file exists) is found by `prepare`.
"""

import re

from tpt_runtime.core.choices import Method, PromptMode, SamplingEngine, TrainingEngine
from tpt_runtime.core.policies import POLICY_RULES
from tpt_runtime.core.rule import Fragment, Rule, at
from tpt_runtime.core.verifier_rules import VERIFIER_RULES

NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
SCHEME = r"^[A-Za-z][A-Za-z0-9+.-]*:"
REMOTE_OR_FILE = (
    r"^(hf://[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?"
    r"|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+|file:///.+)$"
)
OUTSIDE = r"^/|^(.*/)?\.\.(/|$)"
WITH_SECRET = r"^(hf|s3)://"


def _matches(text: str, pattern: str) -> bool:
    """Return what CEL's `matches` says: there `$` is the end of the text alone, never the place before a last newline."""
    return re.search(pattern.replace("$", r"\Z"), text) is not None


def _is_hub(uri: str | None) -> bool:
    return uri is not None and uri.startswith("hf://")


NAME_RULES = (
    Rule(
        path="",
        check=lambda run: len(run.metadata.name) <= 63 and _matches(run.metadata.name, NAME),
        cel=f"size(self.metadata.name) <= 63 && self.metadata.name.matches(r'{NAME}')",
        message="must be a DNS label: at most 63 lower-case letters, digits and hyphens, first and last not a hyphen",
        field_path=".metadata.name",
        accepts={"metadata": {"name": "a" * 63}},
        rejects={"metadata": {"name": "with.dots"}},
    ),
)


def _source_rules(path: str, hub_fields: tuple[str, ...]) -> tuple[Rule, ...]:
    """Return the rules of the model or data set at `path`, of which `hub_fields` describe one on the hub."""

    def source(**fields: str | Fragment) -> Fragment:
        return at(path, fields)

    def only_hub(alias: str) -> Rule:
        return Rule(
            path=path,
            check=lambda data: getattr(data, alias) is None or _is_hub(data.uri),
            cel=f"!has(self.{alias}) || (has(self.uri) && self.uri.startsWith('hf://'))",
            message=f"{alias} is for hf:// URIs only",
            field_path=f".{alias}",
            accepts=source(uri="hf://org/name", **{alias: "main"}),
            rejects=source(uri="folder/name", **{alias: "main"}),
            hint=f"leave {alias} out, or name the hub with hf://ORG/NAME",
        )

    return (
        Rule(
            path=path,
            check=lambda data: data.uri is None or not _matches(data.uri, SCHEME) or _matches(data.uri, REMOTE_OR_FILE),
            cel=(f"!has(self.uri) || !self.uri.matches(r'{SCHEME}') || self.uri.matches(r'{REMOTE_OR_FILE}')"),
            message="must be hf://ORG/NAME, s3://BUCKET/KEY, file:///PATH, or a path relative to the root of the storage",
            field_path=".uri",
            accepts=source(uri="s3://bucket/key"),
            rejects=source(uri="gs://bucket/key"),
            hint="a relative path whose first part has a colon begins with ./",
        ),
        Rule(
            path=path,
            check=lambda data: data.uri is None or "://" in data.uri or not _matches(data.uri, OUTSIDE),
            cel=f"!has(self.uri) || self.uri.contains('://') || !self.uri.matches(r'{OUTSIDE}')",
            message="a path without a scheme counts from the root of the storage and stays inside it: no leading / and no ..",
            field_path=".uri",
            accepts=source(uri="folder/..name/x"),
            rejects=source(uri="folder/../../x"),
            hint="write file:///PATH for an absolute path",
        ),
        Rule(
            path=path,
            check=lambda data: data.secret_ref is None or (data.uri is not None and _matches(data.uri, WITH_SECRET)),
            cel=f"!has(self.secretRef) || (has(self.uri) && self.uri.matches(r'{WITH_SECRET}'))",
            message="secretRef is for hf:// and s3:// URIs only",
            field_path=".secretRef",
            accepts=source(uri="hf://org/name", secretRef={"name": "token"}),
            rejects=source(uri="folder/name", secretRef={"name": "token"}),
            hint="leave secretRef out: files need no credentials",
        ),
        *(only_hub(alias) for alias in hub_fields),
    )


def _row_fields_rule(alias: str, name: str) -> Rule:
    return Rule(
        path="spec.dataset.validation",
        check=lambda data: getattr(data, name) is None or data.uri is not None,
        cel=f"!has(self.{alias}) || has(self.uri)",
        message=f"{alias} is for a validation set of its own only",
        field_path=f".{alias}",
        accepts=at("spec.dataset.validation", {"uri": "validation.jsonl", alias: "text"}),
        rejects=at("spec.dataset.validation", {alias: "text"}),
        hint=f"leave {alias} out (a share of the training set has its fields), or give uri",
    )


_HUB_FIELDS = ("revision", "config", "split")

DATA_RULES = (
    *_source_rules("spec.model", ("revision",)),
    *_source_rules("spec.dataset.train", _HUB_FIELDS),
    *_source_rules("spec.dataset.eval", _HUB_FIELDS),
    *_source_rules("spec.dataset.validation", _HUB_FIELDS),
    Rule(
        path="spec.dataset.validation",
        check=lambda data: data.fraction is None or data.uri is None,
        cel="!has(self.fraction) || !has(self.uri)",
        message="fraction and uri exclude each other",
        field_path=".fraction",
        accepts=at("spec.dataset.validation", {"fraction": 0.1}),
        rejects=at("spec.dataset.validation", {"fraction": 0.1, "uri": "validation.jsonl"}),
        hint="fraction holds out a share of the training set; uri names a data set of its own",
    ),
    _row_fields_rule("promptField", "prompt_field"),
    _row_fields_rule("answerField", "answer_field"),
    Rule(
        path="spec.dataset.prompt",
        check=lambda prompt: prompt.system is None or prompt.mode is PromptMode.CHAT,
        cel="!has(self.system) || self.mode == 'Chat'",
        message="system is for mode Chat only",
        field_path=".system",
        accepts=at("spec.dataset.prompt", {"mode": "Chat", "system": "Think first."}),
        rejects=at("spec.dataset.prompt", {"mode": "Completion", "system": "Think first."}),
        hint="put the text into template, or set mode: Chat",
    ),
    Rule(
        path="spec.storage",
        check=lambda storage: (storage.persistent_volume_claim is None) != (storage.uri is None),
        cel="has(self.persistentVolumeClaim) != has(self.uri)",
        message="needs exactly one of persistentVolumeClaim and uri",
        field_path="",
        accepts=at("spec.storage", {"persistentVolumeClaim": None, "uri": "s3://bucket/prefix"}),
        rejects=at("spec.storage", {"persistentVolumeClaim": {"claimName": "runs"}, "uri": "s3://bucket"}),
    ),
    Rule(
        path="spec.storage",
        check=lambda storage: storage.secret_ref is None or storage.uri is not None,
        cel="!has(self.secretRef) || has(self.uri)",
        message="secretRef is for an object store only",
        field_path=".secretRef",
        accepts=at(
            "spec.storage",
            {"persistentVolumeClaim": None, "uri": "s3://bucket", "secretRef": {"name": "keys"}},
        ),
        rejects=at("spec.storage", {"secretRef": {"name": "keys"}}),
        hint="leave secretRef out: a claim needs no credentials",
    ),
)


def _greedy_rule(path: str) -> Rule:
    return Rule(
        path=path,
        check=lambda section: section.temperature > 0 or section.samples_per_prompt == 1,
        cel="self.temperature > 0.0 || self.samplesPerPrompt == 1",
        message="must be 1 at temperature 0, where all samples of a prompt are the same",
        field_path=".samplesPerPrompt",
        accepts=at(path, {"temperature": 0, "samplesPerPrompt": 1}),
        rejects=at(path, {"temperature": 0, "samplesPerPrompt": 2}),
        hint="raise temperature, or set samplesPerPrompt: 1",
    )


SAMPLING_RULES = (
    _greedy_rule("spec.sampling"),
    _greedy_rule("spec.evaluation"),
    Rule(
        path="spec.sampling",
        check=lambda sampling: sampling.engine is not SamplingEngine.TRANSFORMERS or sampling.tensor_parallel_size == 1,
        cel="self.engine != 'Transformers' || self.tensorParallelSize == 1",
        message="must be 1 with engine Transformers",
        field_path=".tensorParallelSize",
        accepts=at("spec.sampling", {"engine": "Transformers", "tensorParallelSize": 1}),
        rejects=at("spec.sampling", {"engine": "Transformers", "tensorParallelSize": 2}),
        hint="only VLLM spreads a model over several GPUs; shards work with both engines",
    ),
    Rule(
        path="spec.evaluation",
        check=lambda evaluation: max(evaluation.k) <= evaluation.samples_per_prompt,
        cel="self.k.all(k, k <= self.samplesPerPrompt)",
        message="no k may exceed samplesPerPrompt: pass@k is estimated from at least k samples",
        field_path=".k",
        accepts=at("spec.evaluation", {"k": [1, 4], "samplesPerPrompt": 4}),
        rejects=at("spec.evaluation", {"k": [1, 8], "samplesPerPrompt": 4}),
    ),
    Rule(
        path="spec.evaluation",
        check=lambda evaluation: len(set(evaluation.k)) == len(evaluation.k),
        cel="self.k.all(k, self.k.exists_one(other, other == k))",
        message="each k may stand once",
        field_path=".k",
        accepts=at("spec.evaluation", {"k": [1, 2]}),
        rejects=at("spec.evaluation", {"k": [1, 1]}),
    ),
    Rule(
        path="spec",
        check=lambda spec: int(spec.objective.metric.removeprefix("pass@")) in spec.evaluation.k,
        cel="int(self.objective.metric.substring(5)) in self.evaluation.k",
        message="the metric's k must be among evaluation.k, else it is never measured",
        field_path=".objective.metric",
        accepts={"spec": {"objective": {"metric": "pass@4"}, "evaluation": {"k": [1, 4]}}},
        rejects={"spec": {"objective": {"metric": "pass@4"}, "evaluation": {"k": [1, 8]}}},
    ),
)


TRAINING_RULES = (
    Rule(
        path="spec.pruning",
        check=lambda pruning: pruning.min_examples <= pruning.max_examples,
        cel="self.minExamples <= self.maxExamples",
        message="must not exceed maxExamples",
        field_path=".minExamples",
        accepts=at("spec.pruning", {"minExamples": 8, "maxExamples": 8}),
        rejects=at("spec.pruning", {"minExamples": 9, "maxExamples": 8}),
        hint="set both: a round with fewer than minExamples ends the run",
    ),
    Rule(
        path="spec.training",
        check=lambda training: training.lora is None or training.method is Method.LORA,
        cel="!has(self.lora) || self.method == 'LoRA'",
        message="lora is for method LoRA only",
        field_path=".lora",
        accepts=at("spec.training", {"method": "LoRA", "lora": {"rank": 8}}),
        rejects=at("spec.training", {"method": "Full", "lora": {"rank": 8}}),
        hint="set method: LoRA, or leave lora out",
    ),
    Rule(
        path="spec.training",
        check=lambda training: (
            training.batch_size % (training.micro_batch_size * training.nodes * training.processes_per_node) == 0
        ),
        cel="self.batchSize % (self.microBatchSize * self.nodes * self.processesPerNode) == 0",
        message="must be a multiple of microBatchSize x nodes x processesPerNode",
        field_path=".batchSize",
        accepts=at("spec.training", {"batchSize": 24, "microBatchSize": 2, "nodes": 3, "processesPerNode": 4}),
        rejects=at("spec.training", {"batchSize": 8, "microBatchSize": 3}),
        hint="the quotient is the number of accumulated micro batches",
    ),
    Rule(
        path="spec.training",
        check=lambda training: (
            training.engine is not TrainingEngine.TORCH or (training.nodes == 1 and training.processes_per_node == 1)
        ),
        cel="self.engine != 'Torch' || (self.nodes == 1 && self.processesPerNode == 1)",
        message="engine Torch trains in one process: nodes and processesPerNode must be 1",
        field_path=".engine",
        accepts=at("spec.training", {"engine": "Torch", "nodes": 1, "processesPerNode": 1}),
        rejects=at("spec.training", {"engine": "Torch", "nodes": 1, "processesPerNode": 2}),
        hint="use engine DeepSpeed for several processes",
    ),
    Rule(
        path="spec.training.deepspeed",
        check=lambda deepspeed: not deepspeed.offload_optimizer or deepspeed.zero_stage >= 1,
        cel="!self.offloadOptimizer || self.zeroStage >= 1",
        message="needs zeroStage 1, 2 or 3",
        field_path=".offloadOptimizer",
        accepts=at("spec.training.deepspeed", {"zeroStage": 1, "offloadOptimizer": True}),
        rejects=at("spec.training.deepspeed", {"zeroStage": 0, "offloadOptimizer": True}),
    ),
    Rule(
        path="spec",
        check=lambda spec: spec.training.max_length > spec.sampling.max_tokens,
        cel="self.training.maxLength > self.sampling.maxTokens",
        message="must exceed sampling.maxTokens: it counts prompt and solution, and longer examples are dropped",
        field_path=".training.maxLength",
        accepts={"spec": {"training": {"maxLength": 101}, "sampling": {"maxTokens": 100}}},
        rejects={"spec": {"training": {"maxLength": 100}, "sampling": {"maxTokens": 100}}},
    ),
)

RULES: tuple[Rule, ...] = (
    *NAME_RULES,
    *DATA_RULES,
    *SAMPLING_RULES,
    *POLICY_RULES,
    *TRAINING_RULES,
    *VERIFIER_RULES,
)
"""Every rule over one version of a resource."""
