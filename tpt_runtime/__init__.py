"""The runtime of TPT: Think, Prune, Train. Nothing is imported here, so that `tpt --help` stays quick."""

__version__ = "0.1.0"
