"""The errors of TPT and the exit codes they become.

    TptError
    ├── ConfigurationError      the user's file, data, model or token is wrong; trying again cannot help   (exit 64)
    │   └── InvalidResource     a SelfImprovementRun that breaks the schema; carries every problem at once
    ├── ArtifactError           what an earlier step wrote is incomplete or was changed                     (exit 65)
    ├── StepFailed              a step ended badly, and may be tried again                                  (exit 1)
    └── Interrupted             SIGTERM or Ctrl-C: progress is flushed, the step goes on where it was       (exit 143)

Exit codes 64 to 78 (the range of BSD's sysexits.h) mean "do not try again": Kubernetes fails the Job at once and the planner
fails the run with the message. Every other code is a crash that costs one attempt.
"""

from dataclasses import dataclass

EXIT_CRASH = 1
EXIT_CONFIGURATION = 64
EXIT_ARTIFACT = 65
EXIT_INTERRUPTED = 143
CONFIGURATION_EXITS = range(64, 79)


class TptError(Exception):
    """Base of every error that TPT raises on purpose; its text is written for the user."""

    exit_code = EXIT_CRASH


class ConfigurationError(TptError):
    """Something that only the user can mend: it names the field, the value, what is allowed and the way out."""

    exit_code = EXIT_CONFIGURATION


class ArtifactError(TptError):
    """An artifact of an earlier step is missing, truncated or edited; it names the file and how to go on."""

    exit_code = EXIT_ARTIFACT


class StepFailed(TptError):
    """A step could not end, for a reason that another attempt may not meet."""


class Interrupted(TptError):
    """The process was asked to stop; everything worth keeping has been flushed."""

    exit_code = EXIT_INTERRUPTED


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a resource."""

    path: str
    """Where, as a user writes it: `spec.sampling.samplesPerPrompt`."""
    message: str
    """What is wrong, with the value found and what is allowed."""
    hint: str | None = None
    """The way out, when one can be named: `did you mean samplesPerPrompt?`."""

    def __str__(self) -> str:
        """Return the problem as one line."""
        return f"{self.path}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class InvalidResource(ConfigurationError):
    """A resource with one or more problems, all of them reported at once."""

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        """Keep the problems of `source` (a file name, or the resource's name)."""
        self.source = source
        self.problems = problems
        lines = "\n".join(f"  {problem}" for problem in problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{source}: {count}\n{lines}")
