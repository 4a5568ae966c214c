"""What a machine without an accelerator has to give: memory, as far as this process or its container may use it, and bfloat16."""

from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MEMORY = Path("/proc/meminfo")
PROCESSOR = Path("/proc/cpuinfo")


def available_memory(cgroup: Path = CGROUP, memory: Path = MEMORY) -> int:
    """Return the bytes that can be taken without swapping, within the container's limit. Linux only."""
    lines = (line.split() for line in memory.read_text().splitlines())
    free = next(int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:")
    older = cgroup / "memory"  # of control groups of version 1
    limit = _words(cgroup / "memory.max") or _words(older / "memory.limit_in_bytes")
    used = _words(cgroup / "memory.current") or _words(older / "memory.usage_in_bytes")
    if not (limit.isdigit() and used.isdigit()):
        return free
    # The page cache counts as used but is given back on demand.
    said = _words(cgroup / "memory.stat") or _words(older / "memory.stat")
    statistics = dict(line.split() for line in said.splitlines())
    cached = statistics.get("total_inactive_file") or statistics.get("inactive_file", "0")
    left = max(0, int(limit) - int(used) + int(cached))
    return min(free, left)


def computes_bfloat16(processor: Path = PROCESSOR) -> bool:
    """Return whether the processor multiplies bfloat16 by itself (AVX-512 BF16 or AMX) instead of emulating it."""
    flags = next((line.split() for line in _words(processor).splitlines() if line.startswith("flags")), [])
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)


def _words(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
