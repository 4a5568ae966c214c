"""Carries out several trainings in one set of processes, as starting processes takes longer than a tiny training.

`python train_driver.py JOBS.json`, or the same under torchrun. Each training is the real one of `worker.train`; its error, if
any, is written beside its model by process 0.
"""

import json
import os
import sys
import traceback
from pathlib import Path

from tpt_runtime.train import worker
from tpt_runtime.train.job import Job


def main() -> None:
    """Train every job in the file."""
    from accelerate.state import AcceleratorState, GradientState, PartialState

    for text in json.loads(Path(sys.argv[1]).read_text()):
        job = Job.model_validate_json(text)
        try:
            worker.train(job)
        except Exception as error:  # noqa: BLE001 - the next training goes on; the test reads this one's error
            traceback.print_exc()
            if os.environ.get("RANK", "0") == "0":
                path = Path(job.config.root) / job.config.path / "error.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps([type(error).__name__, str(error)]))
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
        PartialState._reset_state()


if __name__ == "__main__":
    main()
