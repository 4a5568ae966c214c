"""The command `tpt`. Every command imports what it needs when it is called, so that `tpt --help` loads no model library."""

from tpt_runtime.cli.group import main

__all__ = ["main"]
