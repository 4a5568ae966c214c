"""Can this machine grade as a run asks? Seen before anything is sampled, and again where grading begins."""

from tpt_runtime.core.choices import VerifierType
from tpt_runtime.core.verifier import Code as CodeSettings
from tpt_runtime.core.verifier import Verifier as Settings
from tpt_runtime.verify.code import Code
from tpt_runtime.verify.command import Command
from tpt_runtime.verify.protection import gaps, kernel_words


def check_machine(settings: Settings) -> str | None:
    """Return what is not contained on this machine although programs will run, as a sentence; None where all is well.

    Raises:
        ConfigurationError: the verifier cannot work here, or not with the protection that is required.
    """
    if settings.type is VerifierType.CODE:
        return _check_code(Code(settings.code or CodeSettings(), settings.timeout_seconds, settings.sandbox))
    if settings.command is not None:
        Command(tuple(settings.command.argv), settings.command.memory_mebibytes).find()
    return None


def _check_code(code: Code) -> str | None:
    try:
        code.warm_up()
        missing = gaps(code.sandbox)
    finally:
        code.close()
    if not missing:
        return None
    return f"sandbox: BestEffort, and on this machine it does not hold that {'; that '.join(missing)} ({kernel_words()})"
