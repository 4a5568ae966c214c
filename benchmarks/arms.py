"""What correctness adds, and what ways of pruning do: an example's run against its controls, over seeds.

    python -m benchmarks.arms --folder runs/arms [--seeds 0,1,2] [--arms Correct,Parseable,Random] [--rounds 4] [--samples 32]
    python -m benchmarks.arms --folder runs/arms-smollm2 --kind smollm2 --seeds 0 --arms Correct,Parseable --rounds 2 --samples 4
    python -m benchmarks.arms --folder runs/verifiers --arms Correct,AnyAnswer,Strict,Arithmetic --rounds 1

Arms: Correct, and its controls Parseable and Random; AnyAnswer (requireMarker off: right answers that are not marked are trained
on too); Strict (pruned by GSM8KStrict, under which whatever is right is marked, so that requireMarker changes nothing);
StrictAnyAnswer, which shows that; Arithmetic (checkArithmetic on). All are measured by Math, whatever they were pruned by.

Each seed has a base model and data of its own (SmolLM2 is one model; there a seed is that of the run); each arm trains that model
for as many rounds with another way of pruning. The base and the last model are measured with so many samples a question on the
evaluation set, which decides nothing. Printed for each arm: pass@1 and pass@k before and after with 95 % intervals by question,
and the gain of Correct over each control, paired by question. What the arms of a seed have in common (the evaluation of the
base model, and its samples for round 1) is made once. Runs that are finished are not repeated, so a stopped benchmark goes on
where it was.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tpt_runtime.artifacts.files import read_rows, write_json
from tpt_runtime.artifacts.samples import PromptKey, SampleFiles
from tpt_runtime.artifacts.yaml import read_resources
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.paths import Paths
from tpt_runtime.core.resource import parse_run
from tpt_runtime.core.verifier import Verifier
from tpt_runtime.prune.grading import Grader, Question
from tpt_runtime.verify.passk import Tally, difference, estimate

EXAMPLES = Path(__file__).parent.parent / "examples"
TPT = str(Path(sys.executable).with_name("tpt"))
TREATMENT = "Correct"
ARMS: dict[str, dict[str, Any]] = {
    "Correct": {},
    "Parseable": {"keep": "Parseable"},
    "Random": {"keep": "Random"},
    "AnyAnswer": {"verifier": {"type": "Math", "requireMarker": False}},
    "Strict": {"verifier": {"type": "GSM8KStrict"}},
    "StrictAnyAnswer": {"verifier": {"type": "GSM8KStrict", "requireMarker": False}},
    "Arithmetic": {"checkArithmetic": True},
}
"""What each arm changes in the example's `pruning`."""
COMMON = ("prepare-*", "round-000/*", "round-001/sample-*")
"""What lies below a run's artifacts and does not depend on what is kept; an arm with another verifier makes its own."""
Tallies = Mapping[str, Tally]


@dataclass(frozen=True)
class Outcome:
    """One run: the evaluation questions' tallies of the base and of the last model, and what was pruned in each round."""

    base: Tallies
    last: Tallies
    examples: list[int]
    unmarked: list[int]
    """Right samples of each round that were left out because their answer was not marked."""
    false_equations: list[int]
    """Right samples of each round that state a false equation, left out or not."""


def main() -> int:
    """Run what is not there yet, and print the tables."""
    options = _options()
    arms = options.arms.split(",")
    for seed in map(int, options.seeds.split(",")):
        outcomes: dict[str, Outcome] = {}
        for arm in arms:
            _take_over(_workdir(options, seed, arms[0]), _workdir(options, seed, arm))
            outcomes[arm] = _outcome(options, seed, arm)
        _print(seed, outcomes, options.samples)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where models, data and runs go")
    parser.add_argument("--kind", choices=["quickstart", "smollm2"], default="quickstart", help="which example and demo model")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--arms", default="Correct,Parseable,Random", help=f"from {', '.join(ARMS)}")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--samples", type=int, default=32, help="evaluation samples of a question")
    return parser.parse_args()


def _workdir(options: argparse.Namespace, seed: int, arm: str) -> Path:
    folder: Path = options.folder
    return folder / f"seed-{seed}-{arm.lower()}"


def _take_over(first: Path, workdir: Path) -> None:
    """Give an arm what the first one has made before pruning made a difference; each step finds its own there."""
    if workdir.exists():
        return
    for pattern in COMMON:
        for source in (first / "artifacts").glob(pattern):
            shutil.copytree(source, workdir / "artifacts" / source.relative_to(first / "artifacts"))


def _outcome(options: argparse.Namespace, seed: int, arm: str) -> Outcome:
    made, workdir = options.folder / f"seed-{seed}", _workdir(options, seed, arm)
    subprocess.run([TPT, "demo-model", str(made), "--kind", options.kind, "--seed", str(seed)], check=True)
    resource = _resource(options, seed, arm, made.resolve())
    file = options.folder / f"{workdir.name}.json"  # JSON is YAML too
    write_json(file, resource)
    subprocess.run([TPT, "run", str(file), "--workdir", str(workdir)], check=True)
    root = workdir / "artifacts"
    paths = Commands(parse_run(resource, str(file)), str(workdir), str(root)).paths
    status = json.loads((workdir / "status.json").read_bytes())
    examples = [entry["examples"] for entry in status["rounds"] if "examples" in entry]
    last = max(entry["round"] for entry in status["rounds"] if entry.get("model"))
    reports = [json.loads((root / paths.prune_dir(n) / "report.json").read_bytes()) for n in range(1, last + 1)]
    return Outcome(
        _tallies(root, paths, 0),
        _tallies(root, paths, last),
        examples,
        [report["fates"]["answer not marked"] for report in reports],
        [report["falseEquations"] for report in reports],
    )


def _resource(options: argparse.Namespace, seed: int, arm: str, made: Path) -> dict[str, Any]:
    """Return the example's resource with what this run changes."""
    resource: dict[str, Any] = json.loads(json.dumps(read_resources(EXAMPLES / options.kind / "run.yaml")[0]))
    spec = resource["spec"]
    resource["metadata"] = {"name": f"seed-{seed}-{arm.lower()}"}
    spec["maxRounds"] = options.rounds
    spec["model"] = {"uri": f"file://{made}/model"}
    for data_set in ("train", "validation", "eval"):
        spec["dataset"][data_set] = {"uri": f"file://{made}/data/{data_set}.jsonl"}
    spec["sampling"]["seed"] = seed
    spec["pruning"] |= ARMS[arm]
    spec["evaluation"] |= {"samplesPerPrompt": options.samples, "k": [1, options.samples], "everyRounds": options.rounds}
    return resource


def _tallies(root: Path, paths: Paths, number: int) -> Tallies:
    """Grade model `number`'s samples of the evaluation set by Math."""
    file = root / paths.prompts("eval")["eval"]
    questions = {PromptKey("eval", row["id"]): Question(row["question"], row["reference"]) for row in read_rows(file)}
    samples = SampleFiles(root / paths.evaluate_dir(number), paths.evaluate(number))
    tallies = {}
    with Grader(Verifier(), questions) as grader:
        for graded in grader.grade(samples.read(questions)):
            tallies[graded.key.id] = Tally(len(graded.row["grades"]), len(graded.correct))
    return tallies


def _print(seed: int, outcomes: dict[str, Outcome], samples: int) -> None:
    questions = len(next(iter(outcomes.values())).base)
    print(f"\nseed {seed}: {questions} evaluation questions, {samples} samples each\n")
    print("| arm | examples by round | right, not marked | with a false equation |", end="")
    print(f" pass@1 before | after | pass@{samples} before | after |")
    print("|---|---|---|---|---|---|---|---|")
    for arm, outcome in outcomes.items():
        cells = [_share(tallies, k) for k in (1, samples) for tallies in (outcome.base, outcome.last)]
        counts = (outcome.examples, outcome.unmarked, outcome.false_equations)
        print(f"| {arm} | {' | '.join(', '.join(map(str, found)) for found in counts)} | {' | '.join(cells)} |")
    for arm, outcome in outcomes.items():
        if arm != TREATMENT and TREATMENT in outcomes:
            gain = difference(outcomes[TREATMENT].last, outcome.last, 1)
            value, low, high = (f"{100 * part:+.1f}" for part in (gain.value, gain.low, gain.high))
            print(f"\n{TREATMENT} less {arm}, pass@1 after, paired by question: {value} points ({low} to {high})")
    sys.stdout.flush()


def _share(tallies: Tallies, k: int) -> str:
    found = estimate(list(tallies.values()), k)
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


if __name__ == "__main__":
    sys.exit(main())
