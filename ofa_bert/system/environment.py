"""What must be set before Paddle loads, and how many cores there are."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import sys
import warnings
import zlib
from collections.abc import MutableMapping
from pathlib import Path
from typing import TypeAlias

logger = logging.getLogger(__name__)

Environ: TypeAlias = MutableMapping[str, str]

_SWITCH = "OFA_BERT_ENVIRONMENT"
_OUR_THREADS = "OFA_BERT_OUR_THREADS"  # tells child processes which MKL_NUM_THREADS is not the user's
_AVX512 = {"avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl"}
# Option numbers of malloc.h; values in bytes, but M_MMAP_MAX in blocks; a threshold of -1 means never.
_MALLOPT = {"M_MMAP_MAX": (-4, 0), "M_TRIM_THRESHOLD": (-1, -1), "M_TOP_PAD": (-2, 500_000_000)}
_NOISE = (r"Setuptools is replacing distutils", r"No ccache found", r"pkg_resources is deprecated")

_done: tuple[str, ...] | None = None


def prepare(threads: int | None = None) -> tuple[str, ...]:
    """Sets up this process for Paddle and returns, in words, what was done. Only the first call acts.

    threads: CPU threads of this process. None: what the user set (MKL_NUM_THREADS, OMP_NUM_THREADS), or else
    the usable cores divided by the processes that paddle.distributed.launch runs on this machine.
    """
    global _done
    if _done is not None:
        return _done
    late = "paddle" in sys.modules
    zlib.decompress(zlib.compress(b"x"))
    done = ["zlib bound before Paddle brings its own"]
    if os.environ.get(_SWITCH, "").lower() != "off":
        done += _set_kernels(os.environ) + _set_mkl_path(os.environ) + _set_threads(os.environ, threads)
        done += _set_malloc(os.environ) + _quieten(os.environ)
    _done = tuple(done)
    if late:
        logger.warning("Paddle was imported before environment.prepare(): it may be slow, or crash in zlib")
    logger.debug("environment: %s", "; ".join(_done))
    return _done


def _set_mkl_path(environ: Environ, cpuinfo: str | os.PathLike[str] = "/proc/cpuinfo") -> list[str]:
    """Tells MKL which instructions an AMD processor has: left alone, it takes its slowest path there."""
    name = "MKL_DEBUG_CPU_TYPE"
    if name in environ:
        return [f"{name}={environ[name]} kept"]
    try:
        text = Path(cpuinfo).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []  # no Linux: no vendor, nothing to correct
    lines = (line.partition(":") for line in text.splitlines())
    fields = {key.strip(): value.strip() for key, _, value in lines}
    flags = set(fields.get("flags", "").split())
    if fields.get("vendor_id") not in ("AuthenticAMD", "HygonGenuine") or not flags >= {"avx2", "fma"}:
        return []
    environ[name] = "7" if flags >= _AVX512 else "5"  # 7 is AVX-512, 5 is AVX2
    return [f"{name}={environ[name]}"]


def _set_kernels(environ: Environ) -> list[str]:
    """Makes slices and transposes copies instead of strided views, which Paddle's CPU kernels copy again at each use.

    A linear layer over 384 x 1024 of a 384 x 1536 weight, with its gradient: 9.3 ms with views, 1.0 ms without.
    """
    name = "FLAGS_use_stride_kernel"
    if name in environ:
        return [f"{name}={environ[name]} kept"]
    environ[name] = "0"
    return [f"{name}=0"]


def _set_threads(environ: Environ, threads: int | None) -> list[str]:
    """Sets MKL_NUM_THREADS, unless the user did.

    Importing Paddle sets an unset OMP_NUM_THREADS to 1, so every process that Paddle's launcher starts
    inherits a 1 that no user chose; from a parent that called prepare(), it inherits all the cores.
    OMP_NUM_THREADS itself is left alone: above 1 Paddle prints a warning, and beside MKL_NUM_THREADS it only
    speeds up LayerNorm's forward.
    """
    launched = "PADDLE_LOCAL_SIZE" in environ or "PADDLE_TRAINERS_NUM" in environ
    if threads is None:
        mkl, omp = environ.get("MKL_NUM_THREADS"), environ.get("OMP_NUM_THREADS")
        if mkl is not None and not (launched and mkl == environ.get(_OUR_THREADS)):
            return [f"MKL_NUM_THREADS={mkl} kept"]
        if omp is not None and not (launched and omp == "1"):
            return [f"OMP_NUM_THREADS={omp} kept"]
    count = threads or max(1, cores() // _local_processes(environ))
    environ["MKL_NUM_THREADS"] = environ[_OUR_THREADS] = str(count)
    return [f"MKL_NUM_THREADS={count}"]


def _local_processes(environ: Environ) -> int:
    """Training processes on this machine; paddle.distributed.spawn does not set PADDLE_LOCAL_SIZE."""
    size = environ.get("PADDLE_LOCAL_SIZE") or environ.get("PADDLE_TRAINERS_NUM") or "1"
    return max(1, int(size)) if size.isdigit() else 1


def cores(cpu_max: str | os.PathLike[str] = "/sys/fs/cgroup/cpu.max") -> int:
    """Cores this process may use: its affinity mask, or a container's CPU quota if that is less."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path(cpu_max).read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return cores  # no cgroup v2 here
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


def _set_malloc(environ: Environ) -> list[str]:
    """Lets glibc keep freed memory: else each large tensor is mapped, zeroed by the kernel and unmapped."""
    if platform.libc_ver()[0] != "glibc":
        return []
    mallopt = ctypes.CDLL(None).mallopt
    # A setting that the user made, as MALLOC_TOP_PAD_ and so on, stays.
    wanted = {name: pair for name, pair in _MALLOPT.items() if f"MALLOC_{name[2:]}_" not in environ}
    refused = [name for name, (option, value) in wanted.items() if mallopt(option, value) != 1]
    return [f"malloc refused {', '.join(refused)}" if refused else f"malloc: {', '.join(wanted) or 'kept'}"]


def _quieten(environ: Environ) -> list[str]:
    """Drops INFO lines of Paddle's C++ code and of PaddleNLP, and warnings about packaging. Warnings stay."""
    environ.setdefault("GLOG_minloglevel", "1")
    for message in _NOISE:
        warnings.filterwarnings("ignore", message=message)
    # PaddleNLP sets its logger's level on import, so a level set here would be lost; a filter is not.
    logging.getLogger("PaddleNLP").addFilter(lambda record: record.levelno >= logging.WARNING)
    return ["INFO lines of Paddle and PaddleNLP hidden"]
