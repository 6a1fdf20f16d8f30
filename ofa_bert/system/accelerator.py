"""Whether Paddle has a GPU to compute on, found out without loading Paddle."""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import logging
from collections.abc import Callable
from typing import Literal

logger = logging.getLogger(__name__)

Device = Literal["auto", "gpu", "cuda", "cpu", "xpu"]
ENGINE_DEVICES = ("cpu", "gpu", "cuda")  # as a user names those of an inference engine
WHERE = "where to run; auto: on a GPU that this build of Paddle has code for, else on the CPU; cuda: the same as gpu"
_NEWEST = {"2": 8}  # major version of Paddle -> major compute capability that its wheels have code for at most
_MAJOR, _MINOR, _SUCCESS = 75, 76, 0  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR, CUDA_SUCCESS


def means(device: str) -> str:
    """The device that a word stands for on this machine, one of "gpu", "cpu" and "xpu"."""
    if device == "auto":
        return _auto()
    return "gpu" if device == "cuda" else device


@functools.cache
def _auto() -> str:
    paddle = gpu_build()
    if paddle is None:
        return "cpu"
    found = capabilities()
    newest = _NEWEST.get(paddle.partition(".")[0])
    if found and newest is not None and found[0] > newest:
        logger.warning(
            "`device` auto: cpu, because Paddle %s has no code for a card of compute capability %d; Paddle 3 has",
            paddle, found[0],
        )  # fmt: skip
        return "cpu"
    return "gpu" if found else "cpu"


def gpu_build(version: Callable[[str], str] = importlib.metadata.version) -> str | None:
    """The version of Paddle's GPU build; None where it is not installed."""
    try:
        return version("paddlepaddle-gpu")
    except importlib.metadata.PackageNotFoundError:
        return None


def capabilities() -> list[int]:
    """Major compute capability of each NVIDIA card that the driver shows to this process; empty without a driver."""
    return [major for major, _ in cards()]


def cards() -> list[tuple[int, int]]:
    """The same with the minor ones: (8, 6) for a card of 8.6."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return []
    count, major, minor = ctypes.c_int(0), ctypes.c_int(0), ctypes.c_int(0)
    if driver.cuInit(0) != _SUCCESS or driver.cuDeviceGetCount(ctypes.byref(count)) != _SUCCESS:
        return []
    found = []
    for card in range(count.value):
        told = [
            driver.cuDeviceGetAttribute(ctypes.byref(n), which, card) for n, which in ((major, _MAJOR), (minor, _MINOR))
        ]
        if told == [_SUCCESS, _SUCCESS]:
            found.append((major.value, minor.value))
    return found
