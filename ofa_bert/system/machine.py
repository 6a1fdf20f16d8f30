"""What computes here: the processor, the GPU, and the memory that this process has held. Imports no Paddle."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import TypedDict

from ofa_bert.system import environment


class Machine(TypedDict):
    """What computes: the processor and its usable cores, and the GPU when it is used."""

    processor: str
    cores: int
    gpu: str | None


def machine(device: str, cpuinfo: str = "/proc/cpuinfo") -> Machine:
    gpu = _gpu_name() if device == "gpu" else None
    return {"processor": processor(cpuinfo), "cores": environment.cores(), "gpu": gpu}


def processor(cpuinfo: str = "/proc/cpuinfo") -> str:
    """What this machine calls its processor."""
    try:
        lines = Path(cpuinfo).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine() or "unknown"


def has_vnni(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Whether the processor sums products of INT8 numbers in 32 bits; False where the system does not say."""
    return not {"avx512_vnni", "avx_vnni", "amx_int8"}.isdisjoint(instructions(cpuinfo))


def instructions(cpuinfo: str = "/proc/cpuinfo") -> set[str]:
    """What the system calls the processor's abilities, with other words of that file; empty where it does not say."""
    try:
        return set(Path(cpuinfo).read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return set()


def memory_mib(
    meminfo: str = "/proc/meminfo",
    limit: str = "/sys/fs/cgroup/memory.max",
    used: str = "/sys/fs/cgroup/memory.current",
) -> tuple[int, int] | None:
    """(all memory, what is free of it) in MiB, a container's limit counted; None where the system does not say."""
    try:
        lines = [line.split() for line in Path(meminfo).read_text(encoding="ascii", errors="replace").splitlines()]
        kibibytes = {words[0]: int(words[1]) for words in lines if len(words) > 1}
        total, free = kibibytes["MemTotal:"] // 1024, kibibytes["MemAvailable:"] // 1024
    except (OSError, ValueError, KeyError):
        return None
    try:
        most, now = (int(Path(path).read_text(encoding="ascii")) >> 20 for path in (limit, used))
    except (OSError, ValueError):  # no cgroup v2, or no limit
        return total, free
    return min(total, most), max(0, min(free, most - now))


def _gpu_name() -> str:
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip().split("\n")[0] or "unknown"


def host_peak_mib(status: str = "/proc/self/status") -> float | None:
    """The most memory this process has held on the host; None where the system does not say (no Linux).

    Not getrusage's: on Linux a child begins with what its parent had reached.
    """
    try:
        lines = Path(status).read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    values = [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")]
    return values[0] if values else None
