"""The cores that a program may keep busy, and how threads on them wait for each other. Said once, for every program."""

import math
import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def usable_cores(environment: Mapping[str, str] = os.environ, cgroup: Path = CGROUP) -> int:
    """Return how many cores to keep busy: OMP_NUM_THREADS if that is set, else those that the container's quota allows."""
    wanted = environment.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdigit() and int(wanted) else allowed_cores(cgroup)


def allowed_cores(cgroup: Path = CGROUP) -> int:
    """Return how many cores this process, or its container, may use, rounded up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _quota(cgroup)
    except (OSError, UnicodeDecodeError):
        return cores
    if quota.isdigit() and period.isdigit():
        cores = min(cores, math.ceil(int(quota) / int(period)))
    return max(1, cores)


def _quota(cgroup: Path) -> tuple[str, str]:
    """Return the microseconds that may be computed, and in how many, as control groups of version 2 or 1 say it."""
    if (older := cgroup / "cpu" / "cpu.cfs_quota_us").exists():
        return older.read_text().strip(), older.with_name("cpu.cfs_period_us").read_text().strip()
    quota, _, period = (cgroup / "cpu.max").read_text().strip().partition(" ")
    return quota, period


def let_idle_threads_sleep(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let threads that wait for each other sleep instead of spin, unless the user has said otherwise; before torch is imported.

    Two threads that spin on one core, because of other programs or of a virtual machine's scheduler, were seen to do a tenth of
    the work. It holds for the processes that this one starts too.
    """
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
