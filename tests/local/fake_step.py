"""A step program that honours the contract and does next to nothing.

What it is to do wrong stands in STORAGE/behaviour.json:


{"train-r1": ["crash", "ok"]}        by step and round: what each attempt does; past the list, all is well
{"sample-r1-1": ["kill"]}            the same for one index alone

Work that is done is written to ROOT/work.log, and is not done again when a later attempt finds it done.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

CONFIG = json.loads(sys.argv[1])
INDEX = int(os.environ["JOB_COMPLETION_INDEX"])
NAME = f"{CONFIG['step']}-r{CONFIG['round']}"


def hand_in(content: dict[str, Any]) -> None:
    Path(os.environ["TPT_TERMINATION_LOG"]).write_text(json.dumps(content))


def say(event: str, **fields: Any) -> None:
    print(json.dumps({"event": event, **fields}), file=sys.stderr, flush=True)


def summary() -> dict[str, Any]:
    step, number = CONFIG["step"], CONFIG["round"]
    common = {"step": step, "digest": CONFIG.get("digest", "0")}
    if step == "prepare":
        return {**common, "resolved": {"counts": {"train": 10}}}
    if step in ("sample", "evaluate"):
        return {**common, "shard": INDEX, "prompts": 5, "samples": 20, "tokens": 100}
    if step in ("prune", "grade"):
        model = number if step == "grade" else number - 1
        metrics = [{"name": "validation/pass@1", "value": 0.2 + 0.1 * model, "low": 0.1, "high": 0.9}]
        chosen = {"outcome": "Trainable", "samples": {"total": 40, "correct": 20}, "examples": 10}
        measured = metrics if CONFIG.get("grade") else []
        return {**common, "metrics": measured, **(chosen if step == "prune" else {"outcome": "GradedOnly"})}
    if step == "train":
        return {**common, "metrics": [{"name": "train/loss", "value": 1.0 / number}]}
    return common


def work() -> None:
    """Do the step's work once, whatever the number of attempts."""
    root = Path(CONFIG["root"])
    done = root / "done" / f"{NAME}-{INDEX}"
    if not done.exists():
        done.parent.mkdir(parents=True, exist_ok=True)
        with (root / "work.log").open("a") as log:
            log.write(f"{NAME}-{INDEX} gpus={os.environ.get('CUDA_VISIBLE_DEVICES', '')}\n")
        done.touch()


def behave(behaviour: str) -> int:
    match behaviour:
        case "crash":
            hand_in({"error": "the GPU fell over", "exitCode": 1})
            say("failed", message="the GPU fell over")
            return 1
        case "configuration":
            hand_in({"error": "spec.model.uri: nothing there", "exitCode": 64})
            return 64
        case "wordless":
            print("Segmentation something", file=sys.stderr)
            return 3
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "silent":
            work()
            return 0
        case "slow":
            time.sleep(0.4)
        case "hang" | "deaf":
            say("phase", phase="hanging")
            say("progress", completed=3, total=10, loss=0.5)
            time.sleep(60)
    work()
    hand_in(summary())
    return 0


def stop(*_: object) -> None:
    sys.exit(143)


def main() -> int:
    folder = Path(CONFIG["storage"])
    told = json.loads((folder / "behaviour.json").read_text()) if (folder / "behaviour.json").exists() else {}
    attempts = told.get(f"{NAME}-{INDEX}") or told.get(NAME) or []
    behaviour = attempts[CONFIG["attempt"] - 1] if CONFIG["attempt"] <= len(attempts) else "ok"
    if behaviour == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, stop)
    say("phase", phase="work")
    say("note", message=f"{NAME} attempt {CONFIG['attempt']}")
    return behave(behaviour)


if __name__ == "__main__":
    sys.exit(main())
