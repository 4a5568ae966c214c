"""The demonstrations: data and base models that need no hub. They are made here, and improved by the same steps as any run."""

from tpt_runtime.demo.quickstart import write_quickstart
from tpt_runtime.demo.smollm2 import write_smollm2

__all__ = ["write_quickstart", "write_smollm2"]
