"""Where everything lies below a run's folder on the storage. All paths are relative, with forward slashes.

    prepare-DIGEST/     train.jsonl validation.jsonl eval.jsonl tokenizer/ [model/] manifest.json
    round-000/          the base model: evaluate-DIGEST/ grade-DIGEST/
    round-001/          sample-DIGEST/ prune-DIGEST/ train-DIGEST/{model,checkpoints}, model 1's evaluate-DIGEST/ grade-DIGEST/
    report/             report.html report.json MODEL_CARD.md

The evaluation of model n lies under round n, whoever carried it out: the closing evaluation, or the sample step of round n+1,
which finds it there and does not repeat it. Folder names carry the digest of what they were made from, not the run's
UID: a run whose status was lost finds its work again, and one whose settings differ never takes another's.
"""

from typing import Final

MANIFEST: Final = "manifest.json"
SETS: Final = ("train", "validation", "eval")
"""The data sets of a run, in the order in which they are reported."""

TRAINING_SET: Final = "train.jsonl"
HELD_OUT: Final = "validation.jsonl"
PRUNE_REPORT: Final = "report.json"
TRACES: Final = "traces.jsonl"
GRADES: Final = "grades.jsonl"
CONTAMINATED: Final = "contaminated.jsonl"
"""In the folder of the prepared prompts: training questions that were left out, and which others they resemble."""


def prepare_dir(digest: str) -> str:
    """Return the folder of the prepared prompts and, when it was remote, of the base model."""
    return f"prepare-{digest}"


def prompts_file(digest: str, data_set: str) -> str:
    """Return the file of prepared prompts of `data_set` (train, validation or eval)."""
    return f"{prepare_dir(digest)}/{data_set}.jsonl"


def round_dir(number: int) -> str:
    """Return the folder of round `number`; 0 is the base model's."""
    return f"round-{number:03d}"


def step_dir(number: int, kind: str, digest: str) -> str:
    """Return the folder of one artifact of a round; `kind` is sample, prune, train, evaluate or grade."""
    return f"{round_dir(number)}/{kind}-{digest}"


def model_dir(train_dir: str) -> str:
    """Return the folder of the model that the training in `train_dir` made."""
    return f"{train_dir}/model"


REPORT_DIR: Final = "report"
