"""Which questions the best model answers differently from the base model, both ways, with a solution of each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tpt_runtime.artifacts.files import read_rows
from tpt_runtime.artifacts.manifest import read_manifest
from tpt_runtime.artifacts.samples import PromptKey, SampleFiles
from tpt_runtime.core import layout
from tpt_runtime.core.configs import FinalizeConfig
from tpt_runtime.core.rows import GradedPrompt, PreparedPrompt
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.report.record import Change

SHOWN = 20
"""Changes shown in each direction, the largest first."""


@dataclass(frozen=True)
class Answers:
    """One model's answers to one question."""

    share: float
    """Share of right samples."""
    typical: int
    """Index of the first sample whose verdict is the more frequent of right and not right."""


def changes(root: Path, config: FinalizeConfig) -> dict[str, Any]:
    """Return the fields of `RunRecord` about changes: base against best model, on eval where there is one, else on validation."""
    before, after = (config.rounds[number]["grade"] for number in (0, config.best_round or 0))
    if read_manifest(root / before) is None or read_manifest(root / after) is None:
        return {}
    prompts_folder = (root / config.rounds[0]["model"]).parent
    data_set = "eval" if (prompts_folder / "eval.jsonl").is_file() else "validation"
    old, new = _answers(root / before, data_set), _answers(root / after, data_set)
    shared = sorted(old.keys() & new.keys(), key=lambda prompt: (old[prompt].share - new[prompt].share, prompt))
    gained = [prompt for prompt in shared if new[prompt].share > old[prompt].share]
    lost = [prompt for prompt in reversed(shared) if new[prompt].share < old[prompt].share]
    shown = gained[:SHOWN] + lost[:SHOWN]
    prompts = {row["id"]: row for row in read_rows(prompts_folder / f"{data_set}.jsonl") if row["id"] in shown}
    keys = [PromptKey(data_set, prompt) for prompt in shown]
    texts = [_texts(root, config.rounds[n], keys, answers) for n, answers in ((0, old), (config.best_round or 0, new))]

    def described(prompt: str) -> Change:
        return _change(prompts[prompt], (old[prompt], new[prompt]), (texts[0][prompt], texts[1][prompt]))

    return {
        "changed_set": data_set,
        "gained": [described(prompt) for prompt in gained[:SHOWN]],
        "lost": [described(prompt) for prompt in lost[:SHOWN]],
        "gained_count": len(gained),
        "lost_count": len(lost),
    }


def _answers(folder: Path, data_set: str) -> dict[str, Answers]:
    rows = read_rows(folder / layout.GRADES)
    return {row["id"]: _answer(row) for row in rows if row["set"] == data_set}


def _answer(row: GradedPrompt) -> Answers:
    right = [grade["verdict"] == Verdict.CORRECT for grade in row["grades"]]
    return Answers(sum(right) / len(right), right.index(2 * sum(right) > len(right)))


def _texts(root: Path, folders: dict[str, str], keys: list[PromptKey], answers: dict[str, Answers]) -> dict[str, str]:
    """Return the typical solution of every prompt of `keys`."""
    samples = SampleFiles(root / folders["evaluate"], folders["evaluate"].rpartition("-")[2])
    return {row["id"]: row["samples"][answers[row["id"]].typical]["text"] for row in samples.read(keys)}


def _change(prompt: PreparedPrompt, answers: tuple[Answers, Answers], texts: tuple[str, str]) -> Change:
    return Change(
        question=prompt["question"],
        reference=prompt["reference"],
        before=answers[0].share,
        after=answers[1].share,
        before_solution=texts[0],
        after_solution=texts[1],
    )
