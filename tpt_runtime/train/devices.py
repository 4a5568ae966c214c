"""What this machine has to train on. torch is not imported here: a short-lived process of its own asks for GPUs."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.train.job import Device

NATIVE_BF16 = (8, 0)
"""Compute capability from which an NVIDIA GPU multiplies in bf16 (Ampere)."""
GPU_NODES = ("/dev/nvidiactl", "/dev/dxg")
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))

PROBE = """
import json, torch
gpus = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
print(json.dumps([{"memory": gpu.total_memory, "capability": [gpu.major, gpu.minor]} for gpu in gpus]))
"""


def find_devices() -> list[Device]:
    """Return the GPUs that this process may use, or one CPU when there is none."""
    if any(Path(node).exists() for node in GPU_NODES):
        gpus = read_probe(_probe(), flash_attention=find_spec("flash_attn") is not None)
        if gpus:
            return gpus
    return [Device(kind="cpu", memory=machine_memory())]


def read_probe(text: str, *, flash_attention: bool) -> list[Device]:
    """Return the GPUs that the probe reports, one JSON list on its last line."""
    found = json.loads(text.strip().splitlines()[-1])
    return [
        Device(
            kind="cuda",
            memory=gpu["memory"],
            bf16=tuple(gpu["capability"]) >= NATIVE_BF16,
            flash_attention=flash_attention and tuple(gpu["capability"]) >= NATIVE_BF16,
        )
        for gpu in found
    ]


def _probe() -> str:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ConfigurationError(f"this machine has a GPU, but torch cannot ask for it: {last}; install the extra `gpu`")
    return done.stdout


def machine_memory() -> int:
    """Return the bytes of memory that this process may use: the machine's, or its container's limit."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in CGROUP_LIMITS:
        if path.exists() and (text := path.read_text().strip()).isdigit():
            total = min(total, int(text))
    return total


def cpu_has_bf16() -> bool:
    """Return whether the CPU multiplies in bf16 (AMX or AVX512_BF16); elsewhere bf16 is emulated, slowly."""
    path = Path("/proc/cpuinfo")
    return path.exists() and any(flag in path.read_text() for flag in ("amx_bf16", "avx512_bf16"))
