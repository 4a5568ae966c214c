"""The training processes of this node: started, listened to, stopped.

They run in a session of their own, so that a Ctrl-C reaches the launcher only. Their standard input is a pipe that nobody writes
to: when the launcher is gone, however it went, the pipe closes and they end (see `worker`). What they print is either an event
(see `job.event_line`) or passed on; of what is passed on the end is kept, for the message when one dies without a word.
"""

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tpt_runtime.core.errors import (
    EXIT_ARTIFACT,
    EXIT_CONFIGURATION,
    EXIT_CRASH,
    ArtifactError,
    ConfigurationError,
    Interrupted,
    StepFailed,
    TptError,
)
from tpt_runtime.step.cores import allowed_cores
from tpt_runtime.train.job import ERROR_FOLDER, Failure, Job, read_event

WORKER = "tpt_runtime.train.worker"
RENDEZVOUS = "TPT_RENDEZVOUS"
"""Environment variable: HOST:PORT where processes of several nodes meet."""
PATIENCE_SECONDS = 8.0
"""How long processes may take to end after SIGTERM, before they are killed."""
POLL_SECONDS = 0.2
KEPT_LINES = 20


@dataclass
class Ended:
    """How the processes ended."""

    code: int
    """As `subprocess` has it: negative for a signal."""
    said: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    """The last lines that were no events."""


def command(job: Job, description: Path, index: int, environment: Mapping[str, str]) -> list[str]:
    """Return the command that starts this node's processes.

    Raises:
        ConfigurationError: several nodes, but no place to meet.
    """
    training = job.config.training
    if job.processes == 1:
        return [sys.executable, "-m", WORKER, str(description)]
    meeting = ["--standalone"]
    if training.nodes > 1:
        endpoint = environment.get(RENDEZVOUS)
        if not endpoint:
            raise ConfigurationError(
                f"training.nodes: {training.nodes}, but {RENDEZVOUS} (HOST:PORT of node 0) is not set: several nodes are for "
                "clusters; on one machine set nodes: 1"
            )
        # Ranks by index: process 0, which leaves the model, is on the node whose launcher publishes it.
        meeting = ["--rdzv-backend=static", f"--rdzv-endpoint={endpoint}", f"--rdzv-id={job.config.digest}-{job.config.attempt}"]
        meeting += [f"--nnodes={training.nodes}", f"--node-rank={index}"]
    launch = ["-m", "torch.distributed.run", f"--nproc-per-node={training.processes_per_node}", "--max-restarts=0"]
    return [sys.executable, *launch, *meeting, "-m", WORKER, str(description)]


def environment_of(job: Job, errors: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the training processes.

    What an outer launcher may have set for its own processes is taken out: it would be taken for ours.
    """
    training = job.config.training
    outer = ("ACCELERATE_", "TORCHELASTIC_", "FSDP_", "DEEPSPEED_")
    ranks = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "GROUP_RANK")
    kept = {name: value for name, value in environment.items() if not name.startswith(outer) and name not in ranks}
    ours = {
        ERROR_FOLDER: str(errors),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
    }
    if job.device.kind == "cpu":
        ours |= {"DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    if job.processes == 1 and training.engine == "DeepSpeed":
        ours |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    threads = max(1, allowed_cores() // training.processes_per_node)
    return {"OMP_NUM_THREADS": str(threads)} | kept | ours


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(
    command: list[str], environment: dict[str, str], on_event: Callable[[dict[str, Any]], None], stopping: threading.Event
) -> Ended:
    """Run the processes to their end, handing every event to `on_event`.

    Raises:
        Interrupted: `stopping` was set; the processes are gone.
    """
    child = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    ended = Ended(0)
    try:
        for line in _lines(child, stopping):
            event = read_event(line)
            if event is None:
                ended.said.append(line)
            on_event(event or {"event": "output", "text": line})
        if stopping.is_set():
            raise Interrupted("stopped on request; the training goes on from its last checkpoint")
    finally:
        stop(child)
    ended.code = child.returncode
    return ended


def _lines(child: subprocess.Popen[str], stopping: threading.Event) -> Iterator[str]:
    """Yield what the processes print, until they have ended or are to be stopped."""
    waiting: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        if child.stdout:
            with child.stdout as output:
                for line in output:
                    waiting.put(line.rstrip("\n"))
        waiting.put(None)

    threading.Thread(target=read, daemon=True, name="output").start()
    while not stopping.is_set():
        try:
            line = waiting.get(timeout=POLL_SECONDS)
        except queue.Empty:
            continue
        if line is None:
            child.wait()
            return
        if line.strip():
            yield line


def stop(child: subprocess.Popen[str]) -> None:
    """End the child and all its processes: told first, killed when they do not listen."""
    if child.stdin:
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=PATIENCE_SECONDS)


def failure(errors: Path, ended: Ended) -> TptError:
    """Return the error of the process that failed first, with its exit code."""
    found = sorted(_failures(errors), key=lambda failure: failure.time)
    if found:
        return _error(found[0].message, found[0].exit_code)
    tail = " | ".join(ended.said)[-600:]
    if ended.code < 0:
        name = signal.Signals(-ended.code).name
        why = "out of memory, most likely; lower training.microBatchSize" if name == "SIGKILL" else "see the log"
        return _error(f"the training process was ended by {name} ({why}); it said last: {tail}", 128 - ended.code)
    return _error(f"a training process ended without a word (exit code {ended.code}); it said last: {tail}", ended.code)


def _failures(errors: Path) -> Iterator[Failure]:
    for path in errors.glob("*.json"):
        with contextlib.suppress(ValidationError):  # half written: the process was killed while it wrote
            yield Failure.model_validate_json(path.read_bytes())


def _error(message: str, exit_code: int) -> TptError:
    kinds: dict[int, type[TptError]] = {EXIT_CONFIGURATION: ConfigurationError, EXIT_ARTIFACT: ArtifactError}
    error = kinds.get(exit_code, StepFailed)(message)
    if isinstance(error, StepFailed):
        error.exit_code = exit_code or EXIT_CRASH
    return error
