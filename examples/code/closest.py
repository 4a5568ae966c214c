"""A verifier of your own: the last number of a solution is right if it is near enough to the reference.

    echo '{"solution": "about 3.14", "reference": "3.14159"}' | python3 closest.py 0.01

One JSON object a line comes in, one verdict a line goes out. See docs/code.md.
"""

import json
import re
import sys

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def grade(solution: str, reference: str, largest_error: float) -> dict[str, str]:
    """Return the verdict on one solution; the error is relative to the reference."""
    found = NUMBER.findall(solution)
    if not found:
        return {"verdict": "unparseable"}
    error = abs(float(found[-1]) - float(reference)) / max(abs(float(reference)), 1e-9)
    return {"verdict": "correct" if error <= largest_error else "wrong", "answer": found[-1], "pattern": f"error {error:.3g}"}


if __name__ == "__main__":
    for line in sys.stdin:
        row = json.loads(line)
        verdict = grade(row["solution"], row["reference"], float(sys.argv[1]))
        sys.stdout.write(json.dumps(verdict) + "\n")
        sys.stdout.flush()
