"""`python -m tpt_runtime.demo.trial RUN STORAGE`: prepared artifacts of one small run, to try an installation with.

RUN is a SelfImprovementRun of one round as JSON, with its namespace; STORAGE is where its claim is mounted. Written is what
`prepare`, `sample`, `train` and `evaluate` would leave: prompts, samples, and a note in the place of a model. So every step of
the run starts in its image, and those four find their work done before they load an engine, without a GPU; `prune`, `grade` and
`finalize` do theirs. What engines and trainers do is not tried.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tpt_runtime.artifacts.files import fresh_folder, json_bytes, publish_folder, write_atomic, write_rows
from tpt_runtime.artifacts.manifest import write_manifest
from tpt_runtime.core import layout
from tpt_runtime.core.errors import ConfigurationError, TptError
from tpt_runtime.core.paths import Paths
from tpt_runtime.core.resource import parse_run
from tpt_runtime.core.rows import PreparedPrompt, Sample, SampledPrompt
from tpt_runtime.core.spec import Spec
from tpt_runtime.core.status import Metric, PrepareSummary, Resolved, SampleSummary, StepName, TrainSummary

MARK: Final = "trial.json"
"""Says that a folder was written here, and may be written anew."""
QUESTIONS: Final = 4
"""Of each set."""
END: Final = 1
"""The token that ends a sequence, in a vocabulary that no model has."""
NOTE: Final = "No model: a trial of an installation trains none.\n"

Questions = dict[str, int]
"""Answers by question."""


def write_trial(text: str, storage: Path) -> Path:
    """Write the artifacts of the run `text` below `storage` and return their folder; those of an earlier trial are replaced.

    Raises:
        InvalidResource: `text` is no run.
        ConfigurationError: `text` is no JSON, the run is not one of a single round on a claim, or its folder is another run's.
    """
    try:
        read = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"the run to try: is no JSON: {error}") from error
    run = parse_run(read, "the run to try")
    if run.spec.max_rounds != 1 or run.spec.storage.uri is not None or run.spec.dataset.eval is not None:
        raise ConfigurationError("the run to try: expected one round (maxRounds: 1), a claim as storage, and no dataset.eval")
    final = storage / run.metadata.namespace / run.metadata.name
    if final.exists() and not (final / MARK).is_file():
        raise ConfigurationError(f"{final}: is another run's; give the release another name, or the trial another claim")
    final.parent.mkdir(parents=True, exist_ok=True)
    folder = fresh_folder(final.with_name(f".{final.name}.partial"))
    _fill(folder, run.spec)
    publish_folder(folder, final)
    return final


def _fill(folder: Path, spec: Spec) -> None:
    paths = Paths(spec)
    asked = {name: _questions(name) for name in ("train", "validation")}
    _prepare(folder, paths, asked)
    drawn, measured = spec.sampling.samples_per_prompt, spec.evaluation.samples_per_prompt
    base = _solved("validation", asked["validation"], measured, right=0)
    _sample(folder / paths.evaluate_dir(0), paths.evaluate(0), StepName.SAMPLE, base)
    _sample(folder / paths.sample_dir(1), paths.sample(1), StepName.SAMPLE, _solved("train", asked["train"], drawn, right=1))
    _train(folder / paths.train_dir(1), paths.train(1))
    better = _solved("validation", asked["validation"], measured, right=measured)
    _sample(folder / paths.evaluate_dir(1), paths.evaluate(1), StepName.EVALUATE, better)
    write_atomic(folder / MARK, json_bytes({"written by": "tpt_runtime.demo.trial"}))


def _questions(name: str) -> Questions:
    """Return the questions of a set: no two sets share one."""
    first = 10 if name == "train" else 100
    return {f"What is {number} + {number}?": 2 * number for number in range(first, first + QUESTIONS)}


def _identity(question: str) -> str:
    return hashlib.sha256(question.encode()).hexdigest()[:16]


def _prepare(folder: Path, paths: Paths, asked: Mapping[str, Questions]) -> None:
    home = folder / layout.prepare_dir(paths.prepare)
    home.mkdir(parents=True)
    for name, questions in asked.items():
        write_rows(home / f"{name}.jsonl", (_prompt(question, answer) for question, answer in questions.items()))
    counts = {name: len(questions) for name, questions in asked.items()}
    summary = PrepareSummary(digest=paths.prepare, resolved=Resolved(counts=counts))
    write_manifest(home, paths.prepare, summary=summary.full_wire(), counts=counts)


def _prompt(question: str, answer: int) -> PreparedPrompt:
    return {
        "id": _identity(question),
        "question": question,
        "prompt": question,
        "promptIds": list(range(2, 2 + len(question.split()))),
        "reference": f"#### {answer}",
    }


def _solved(name: str, questions: Questions, samples: int, right: int) -> list[SampledPrompt]:
    """Return `samples` solutions of every question of a set, of which the first `right` ones are right."""
    return [
        {
            "id": _identity(question),
            "set": name,
            "samples": [_solution(index, answer if index < right else answer + 1) for index in range(samples)],
        }
        for question, answer in questions.items()
    ]


def _solution(index: int, answer: int) -> Sample:
    ids = [2, 3, END]
    return {"index": index, "text": f"#### {answer}", "ids": ids, "tokens": len(ids), "finish": "stop", "logprob": -0.5}


def _sample(folder: Path, digest: str, step: StepName, rows: list[SampledPrompt]) -> None:
    folder.mkdir(parents=True)
    chunk = folder / "chunk-00000-of-00001-a1-00000000-000000.jsonl"
    write_rows(chunk, rows)
    samples = [sample for row in rows for sample in row["samples"]]
    counts = {"prompts": len(rows), "samples": len(samples), "tokens": sum(sample["tokens"] for sample in samples)}
    summary = SampleSummary(step=step, digest=digest, shard=0, **counts)
    name = f"shard-00000-of-00001.{layout.MANIFEST}"
    write_manifest(folder, digest, summary=summary.full_wire(), counts=counts, name=name, files=[chunk])


def _train(folder: Path, digest: str) -> None:
    note = folder / "model" / "README.md"
    note.parent.mkdir(parents=True)
    write_atomic(note, NOTE.encode())
    summary = TrainSummary(digest=digest, metrics=[Metric(name="train/loss", value=0.5)])
    write_manifest(folder, digest, summary=summary.full_wire(), counts={"examples": QUESTIONS}, files=[note])


def main(arguments: list[str]) -> int:
    """Write the artifacts that the command line asks for, and return the exit code."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m tpt_runtime.demo.trial RUN STORAGE (the run as JSON, and a folder)\n")
        return ConfigurationError.exit_code
    try:
        folder = write_trial(arguments[0], Path(arguments[1]))
    except TptError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stderr.write(f"{folder}: what the steps of the trial find\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
