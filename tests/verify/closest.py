"""A verifier of the user's own, as tests want it: what the solution says, it does."""

import json
import os
import sys
import time

for number, line in enumerate(sys.stdin):
    row = json.loads(line)
    match row["solution"].split():
        case ["dies"]:
            sys.exit("it was too much")
        case ["dies", "once"] if not os.path.exists(row["reference"]):  # noqa: PTH110 - no import beyond what is needed
            with open(row["reference"], "w"):  # noqa: PTH123
                pass
            sys.exit("once")
        case ["sleeps"]:
            time.sleep(1000)
        case ["says", *words]:
            print(" ".join(words), flush=True)
            continue
        case ["environment"]:
            answer = {"verdict": "wrong", "answer": " ".join(sorted(os.environ))}
            print(json.dumps(answer), flush=True)
            continue
        case ["memory"]:
            held = bytearray(2**30)
    verdict = "correct" if row["solution"] == row["reference"] else "wrong"
    print(json.dumps({"verdict": verdict, "answer": row["solution"], "pattern": f"question {number}"}), flush=True)
