"""The frame of a step program: `python -m tpt_runtime.STEP CONFIG`, CONFIG being one JSON object.

It reads the configuration, runs the step, writes the summary (or the error) as one JSON object to the file that
TPT_TERMINATION_LOG names (in a pod /dev/termination-log), and exits: 0 done, 64 to 78 the user has to mend something, 143 stopped
on request (progress is flushed), anything else a crash. The environment says the rest, so that the same argument serves on a
laptop and in a pod:

    JOB_COMPLETION_INDEX   which shard or node this process is (default 0)
    TPT_TERMINATION_LOG    where the summary goes
    TPT_LOG                json or terminal (default: terminal when standard error is one)
    TPT_METRICS_PORT       serve live Prometheus metrics there
"""

import errno
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from tpt_runtime.artifacts.files import json_bytes, storage_failure
from tpt_runtime.artifacts.mirror import open_storage
from tpt_runtime.core.configs import StepConfig
from tpt_runtime.core.errors import CONFIGURATION_EXITS, ArtifactError, ConfigurationError, Interrupted, StepFailed, TptError
from tpt_runtime.core.status import SUMMARY_BYTES, Summary
from tpt_runtime.step.context import Context
from tpt_runtime.step.cores import let_idle_threads_sleep
from tpt_runtime.step.journal import Journal, open_journal
from tpt_runtime.step.metrics import LiveMetrics

Config = TypeVar("Config", bound=StepConfig)

DEFAULT_TERMINATION_LOG = "/dev/termination-log"
LONGEST_MESSAGE = 1000
"""Characters of an error that are handed in; the log has all of it."""
MADE_AGAIN = (
    "What a finished step has made is made again only once the run's status is gone (delete status.json of `tpt run`; on a "
    "cluster, the resource): all that is sound is found, and not made twice"
)
"""Said with every damaged artifact: until then the run goes by what its status counts as done."""
FULL_STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


def run_step(config_type: type[Config], work: Callable[[Config, Context], Summary]) -> int:
    """Run `work` with the configuration of the command line and return the exit code; what the step says goes out on the way."""
    let_idle_threads_sleep()
    journal = open_journal()
    context: Context | None = None
    try:
        context = _context(journal, os.environ)
        with context:
            summary = work(at_home(_config(config_type), context), context)
            _hand_in(_summary_text(summary))
            journal.event("done", summary=summary.full_wire())
            return 0
    except Exception as error:  # noqa: BLE001 - the frame of the program: whatever it was is reported, never swallowed
        return _ended(journal, error, context)


def at_home(config: Config, context: Context) -> Config:
    """Open the home of the run's artifacts, and return the configuration with the folder to work in as its root."""
    context.storage, folder = open_storage(config.root, context.check, config.storage_secret)
    return config.model_copy(update={"root": str(folder)})


def _ended(journal: Journal, error: Exception, context: Context | None) -> int:
    """Report how a step ended that did not finish, and return its exit code."""
    if not isinstance(error, TptError):
        journal.event("traceback", text="".join(traceback.format_exception(error)))
        error = _in_words(error)
    if context is not None and context.stopping.is_set() and isinstance(error, StepFailed):
        # Whatever was under way breaks when it is stopped: an engine's processes are told to end too.
        error = Interrupted(f"stopped on request; what was under way ended with: {error}")
    message = str(error)
    if context is not None and error.exit_code in CONFIGURATION_EXITS:  # else the path is this machine's, whose disk is full, say
        message = context.storage.shown(message)
    if isinstance(error, Interrupted):
        journal.event("interrupted", message=message)
        return error.exit_code
    said = f"{message}. {MADE_AGAIN}" if isinstance(error, ArtifactError) else message
    journal.event("failed", message=said, exitCode=error.exit_code)
    try:
        _hand_in(_error_text(said, error.exit_code))
    except OSError as refused:
        journal.event("warning", message=f"the error could not be handed in: {refused}")
    return error.exit_code


def _context(journal: Journal, environment: Mapping[str, str]) -> Context:
    index = environment.get("JOB_COMPLETION_INDEX") or "0"
    if not (index.isascii() and index.isdigit()):
        raise ConfigurationError(f"JOB_COMPLETION_INDEX: found {index!r}, expected the number of a shard or node, from 0")
    return Context(journal, index=int(index), metrics=LiveMetrics.from_environment(environment))


def _config(config_type: type[Config]) -> Config:
    if len(sys.argv) != 2:
        raise ConfigurationError(f"expected one argument, the step's configuration as JSON, found {len(sys.argv) - 1}")
    try:
        return config_type.model_validate_json(sys.argv[1])
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'configuration'}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"the step's configuration is not usable: {problems}") from error


def _in_words(error: Exception) -> StepFailed:
    """Return a crash in words: `storage_failure` where a full or read-only storage is behind it, whoever met it first."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in FULL_STORAGE:
            return storage_failure(Path(str(cause.filename or "the storage")), cause)
        cause = cause.__cause__ or cause.__context__
    return StepFailed(f"{type(error).__name__}: {error}")


def _summary_text(summary: Summary) -> bytes:
    text = json_bytes(summary.full_wire())
    if len(text) > SUMMARY_BYTES:
        raise ValueError(f"the summary has {len(text)} bytes, more than the {SUMMARY_BYTES} that Kubernetes keeps")
    return text


def _error_text(message: str, exit_code: int) -> bytes:
    """Return what is handed in of an error, cut so that it fits: what Kubernetes cuts off is JSON no longer."""
    length = LONGEST_MESSAGE
    while len(text := json_bytes({"error": message[:length], "exitCode": exit_code})) > SUMMARY_BYTES:
        length = length * 3 // 4
    return text


def _hand_in(text: bytes) -> None:
    named = os.environ.get("TPT_TERMINATION_LOG")
    path = Path(named or DEFAULT_TERMINATION_LOG)
    if named or path.exists():
        path.write_bytes(text)
