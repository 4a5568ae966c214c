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
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from tpt_runtime.artifacts.files import storage_failure
from tpt_runtime.core.configs import StepConfig
from tpt_runtime.core.errors import EXIT_CRASH, ConfigurationError, Interrupted, TptError
from tpt_runtime.core.status import SUMMARY_BYTES, Summary
from tpt_runtime.step.context import Context
from tpt_runtime.step.journal import open_journal

Config = TypeVar("Config", bound=StepConfig)

DEFAULT_TERMINATION_LOG = "/dev/termination-log"


def run_step(config_type: type[Config], work: Callable[[Config, Context], Summary]) -> int:
    """Run `work` with the configuration of the command line and return the exit code; what the step says goes out on the way."""
    journal = open_journal()
    context = Context(journal, index=int(os.environ.get("JOB_COMPLETION_INDEX", "0")))
    try:
        with context:
            summary = work(_config(config_type), context)
            _hand_in(_summary_text(summary))
            journal.event("done", summary=summary.full_wire())
            return 0
    except Interrupted as error:
        journal.event("interrupted", message=str(error))
        return error.exit_code
    except TptError as error:
        return _failed(context, error, error.exit_code)
    except OSError as error:
        journal.event("traceback", text=traceback.format_exc())
        return _failed(context, _storage_words(error), EXIT_CRASH)
    except Exception as error:  # noqa: BLE001 - the frame of the program: whatever it was is reported, never swallowed
        journal.event("traceback", text=traceback.format_exc())
        return _failed(context, error, EXIT_CRASH)


def _config(config_type: type[Config]) -> Config:
    if len(sys.argv) != 2:
        raise ConfigurationError(f"expected one argument, the step's configuration as JSON, found {len(sys.argv) - 1}")
    try:
        return config_type.model_validate_json(sys.argv[1])
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'configuration'}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"the step's configuration is not usable: {problems}") from error


def _failed(context: Context, error: Exception, exit_code: int) -> int:
    message = str(error) if isinstance(error, TptError) else f"{type(error).__name__}: {error}"
    context.journal.event("failed", message=message, exitCode=exit_code)
    _hand_in(json.dumps({"error": message[:1000], "exitCode": exit_code}, ensure_ascii=False))
    return exit_code


def _storage_words(error: OSError) -> Exception:
    """Return `storage_failure` of a full or read-only storage, whatever library met it; other errors as they are."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return storage_failure(Path(str(error.filename or "the storage")), error)
    return error


def _summary_text(summary: Summary) -> str:
    text = json.dumps(summary.full_wire(), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    if len(text.encode()) > SUMMARY_BYTES:
        raise ValueError(f"the summary has {len(text.encode())} bytes, more than the {SUMMARY_BYTES} that Kubernetes keeps")
    return text


def _hand_in(text: str) -> None:
    named = os.environ.get("TPT_TERMINATION_LOG")
    path = Path(named or DEFAULT_TERMINATION_LOG)
    if named or path.exists():
        path.write_text(text, encoding="utf-8")
