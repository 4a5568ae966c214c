"""train: the launcher and its processes, with scripts in the place of a training."""

import json
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.steps.training import training_config
from tpt_runtime.core.configs import TrainConfig
from tpt_runtime.core.errors import ArtifactError, ConfigurationError, Interrupted, StepFailed, TptError
from tpt_runtime.train import processes
from tpt_runtime.train.job import ERROR_FOLDER, Device, Job, event_line, read_event
from tpt_runtime.train.worker import in_words

CPU = Device(kind="cpu", memory=8 * 10**9)
GPU = Device(kind="cuda", memory=80 * 10**9)
LONG = 600
"""Seconds that nothing here takes: whoever sleeps so long is expected to be ended."""


def job_of(config: TrainConfig, device: Device = CPU) -> Job:
    count = config.training.nodes * config.training.processes_per_node
    return Job(config=config, device=device, processes=count, attention="sdpa", recompute=False)


def script(text: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(text)]


def run(text: str, errors: Path, stopping: threading.Event | None = None) -> tuple[processes.Ended, list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    environment = os.environ | {ERROR_FOLDER: str(errors)}
    return processes.run(script(text), environment, events.append, stopping or threading.Event()), events


# What processes say


def test_events_and_other_output_are_told_apart(tmp_path: Path) -> None:
    said = event_line("phase", phase="load")
    ended, events = run(f"print({said!r}); print('something else'); print(); print('tpt-event {{broken')", tmp_path)
    assert events == [
        {"event": "phase", "phase": "load"},
        {"event": "output", "text": "something else"},
        {"event": "output", "text": "tpt-event {broken"},
    ]
    assert ended.code == 0
    assert list(ended.said) == ["something else", "tpt-event {broken"]


@pytest.mark.parametrize("line", ["", "{}", "tpt-event ", "tpt-event 3", 'tpt-event {"text": "no event"}'])
def test_what_is_no_event_is_not_taken_for_one(line: str) -> None:
    assert read_event(line) is None


def test_standard_error_is_heard_too(tmp_path: Path) -> None:
    _, events = run("import sys; print('a warning', file=sys.stderr)", tmp_path)
    assert events == [{"event": "output", "text": "a warning"}]


# How they end


def failed(text: str, errors: Path) -> TptError:
    ended, _ = run(text, errors)
    assert ended.code != 0
    return processes.failure(errors, ended)


LEAVE = "import json, os, pathlib; folder = pathlib.Path(os.environ['TPT_TRAIN_ERRORS']); "


@pytest.mark.parametrize(
    ("code", "kind"), [(64, ConfigurationError), (65, ArtifactError), (1, StepFailed), (78, StepFailed), (7, StepFailed)]
)
def test_the_error_of_a_process_keeps_its_exit_code_though_torchrun_exits_with_one(
    tmp_path: Path, code: int, kind: type[TptError]
) -> None:
    record = json.dumps({"message": "words", "exitCode": code, "time": 1.0})
    error = failed(f"{LEAVE}(folder / '0.json').write_text({record!r}); raise SystemExit(1)", tmp_path)
    assert type(error) is kind
    assert (str(error), error.exit_code) == ("words", code)


def test_the_process_that_failed_first_is_the_one_that_counts(tmp_path: Path) -> None:
    for rank, (message, moment) in enumerate([("connection lost", 2.0), ("out of memory", 1.0), ("connection lost", 3.0)]):
        (tmp_path / f"{rank}.json").write_text(json.dumps({"message": message, "exitCode": 1, "time": moment}))
    (tmp_path / "9.json").write_text('{"message": "half writ')
    assert str(failed("raise SystemExit(1)", tmp_path)) == "out of memory"


def test_a_process_that_is_killed_is_explained(tmp_path: Path) -> None:
    error = failed("import os; print('step 7', flush=True); os.kill(os.getpid(), 9)", tmp_path)
    assert "ended by SIGKILL" in str(error)
    assert "microBatchSize" in str(error)
    assert "step 7" in str(error)
    assert error.exit_code == 137


def test_a_process_that_dies_without_a_word_is_quoted(tmp_path: Path) -> None:
    error = failed("print('Fatal Python error'); raise SystemExit(3)", tmp_path)
    assert "exit code 3" in str(error)
    assert "Fatal Python error" in str(error)
    assert error.exit_code == 3


class OutOfMemoryError(RuntimeError):
    """Named like torch's."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB.\nSee"), "out of memory (CUDA out of memory. Tried to"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory"), "training.microBatchSize"),
        (OSError(28, "No space left on device"), "make room or mend the storage"),
        (RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"), "make room or mend the storage"),
        (ValueError("I/O error: No space left on device (os error 28)"), "make room or mend the storage"),
    ],
)
def test_what_libraries_raise_is_told_with_the_way_out(error: Exception, said: str) -> None:
    words = in_words(error, job_of(training_config(Path("/r"))))
    assert isinstance(words, StepFailed)
    assert said in str(words)
    assert words.__cause__ is error


def test_other_errors_are_told_as_they_are() -> None:
    error = ValueError("something else")
    assert in_words(error, job_of(training_config(Path("/r")))) is error


# How they are stopped


def started(pids: list[int], stopping: threading.Event) -> Any:
    """Return a handler of events that notes the process's id and then asks for the stop."""

    def handle(event: dict[str, Any]) -> None:
        if event["event"] == "pid":
            pids.append(event["pid"])
            stopping.set()

    return handle


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


SAY_PID = f"""
    import os, sys, time, json, signal
    {{ignoring}}
    print('tpt-event ' + json.dumps({{{{"event": "pid", "pid": os.getpid()}}}}), flush=True)
    time.sleep({LONG})
"""


@pytest.mark.parametrize("listens", [True, False], ids=["listens to SIGTERM", "does not listen"])
def test_a_request_to_stop_ends_the_processes(monkeypatch: pytest.MonkeyPatch, listens: bool) -> None:
    monkeypatch.setattr(processes, "PATIENCE_SECONDS", 0.5)
    ignoring = "" if listens else "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    pids: list[int] = []
    stopping = threading.Event()
    with pytest.raises(Interrupted):
        processes.run(script(SAY_PID.format(ignoring=ignoring)), dict(os.environ), started(pids, stopping), stopping)
    assert not alive(pids[0])


def test_an_error_of_the_launcher_leaves_no_process_behind() -> None:
    pids: list[int] = []

    def handle(event: dict[str, Any]) -> None:
        pids.append(event["pid"])
        raise KeyError("total")

    with pytest.raises(KeyError, match="total"):
        processes.run(script(SAY_PID.format(ignoring="")), dict(os.environ), handle, threading.Event())
    assert not alive(pids[0])


def test_a_training_process_ends_when_its_launcher_is_gone(tmp_path: Path) -> None:
    """The launcher may be killed; the pipe to its process closes then, and that is what the process waits for."""
    worker = subprocess.Popen(
        script("""
            import threading, time
            from tpt_runtime.train.worker import _end_with_the_launcher
            threading.Thread(target=_end_with_the_launcher, daemon=True).start()
            print("ready", flush=True)
            time.sleep(600)
        """),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    with worker.stdout:
        assert worker.stdout.readline() == "ready\n"
        assert worker.poll() is None
        worker.stdin.close()
        assert worker.wait(timeout=20) == 143


# What they are started with


def config_of(**training: Any) -> TrainConfig:
    return training_config(Path("/r"), training)


def test_one_process_is_started_directly() -> None:
    command = processes.command(job_of(config_of()), Path("/t/job.json"), 0, {})
    assert command == [sys.executable, "-m", "tpt_runtime.train.worker", "/t/job.json"]


def test_several_processes_are_started_by_torchrun_which_retries_nothing() -> None:
    command = processes.command(job_of(config_of(engine="DeepSpeed", processesPerNode=2)), Path("/t/job.json"), 0, {})
    assert command[1:3] == ["-m", "torch.distributed.run"]
    assert {"--standalone", "--nproc-per-node=2", "--max-restarts=0"} <= set(command)
    assert command[-3:] == ["-m", "tpt_runtime.train.worker", "/t/job.json"]


def test_nodes_meet_where_the_environment_says() -> None:
    job = job_of(config_of(engine="DeepSpeed", nodes=2, processesPerNode=4))
    command = processes.command(job, Path("/t/job.json"), 1, {"TPT_RENDEZVOUS": "train-0.train:29500"})
    expected = {
        "--rdzv-backend=static",
        "--rdzv-endpoint=train-0.train:29500",
        "--nnodes=2",
        "--node-rank=1",
        "--nproc-per-node=4",
    }
    assert expected <= set(command)
    assert "--standalone" not in command


def test_nodes_with_nowhere_to_meet_are_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match=r"training\.nodes: 2, but TPT_RENDEZVOUS"):
        processes.command(job_of(config_of(engine="DeepSpeed", nodes=2)), Path("/t/job.json"), 0, {})


def test_cores_are_shared_out_among_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "allowed_cores", lambda: 16)
    job = job_of(config_of(engine="DeepSpeed", processesPerNode=4))
    assert processes.environment_of(job, Path("/t"), {})["OMP_NUM_THREADS"] == "4"
    assert processes.environment_of(job, Path("/t"), {"OMP_NUM_THREADS": "1"})["OMP_NUM_THREADS"] == "1"


def test_what_an_outer_launcher_set_is_not_taken_for_ours() -> None:
    outer = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "3", "ACCELERATE_MIXED_PRECISION": "bf16", "PATH": "/bin"}
    environment = processes.environment_of(job_of(config_of()), Path("/t"), outer)
    assert environment["PATH"] == "/bin"
    assert not {"RANK", "WORLD_SIZE", "LOCAL_RANK", "ACCELERATE_MIXED_PRECISION"} & set(environment)


def test_deepspeed_in_one_process_is_told_that_it_is_alone() -> None:
    environment = processes.environment_of(job_of(config_of(engine="DeepSpeed")), Path("/t"), {"RANK": "3"})
    assert (environment["RANK"], environment["WORLD_SIZE"], environment["MASTER_ADDR"]) == ("0", "1", "127.0.0.1")
    assert int(environment["MASTER_PORT"]) > 0


def test_no_hub_is_asked_and_a_cpu_stays_a_cpu() -> None:
    environment = processes.environment_of(job_of(config_of()), Path("/t"), {})
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert environment["DS_ACCELERATOR"] == "cpu"
    assert "DS_ACCELERATOR" not in processes.environment_of(job_of(config_of(), GPU), Path("/t"), {})
