"""Whether Paddle has a GPU to compute on, found out without loading Paddle."""

from __future__ import annotations

import functools
import importlib.metadata
import logging
from collections.abc import Callable, Sequence
from typing import Literal

from ofa_bert.errors import RunError
from ofa_bert.system import nvidia
from ofa_bert.system.nvidia import Capability

logger = logging.getLogger(__name__)

Device = Literal["auto", "gpu", "cuda", "cpu", "xpu"]
ENGINE_DEVICES = ("cpu", "gpu", "cuda")  # as a user names those of an inference engine
WHERE = "where to run; auto: on a GPU that this build of Paddle has code for, else on the CPU; cuda: the same as gpu"
# Major version of Paddle -> compute capabilities that its wheels hold machine code for.
_CODE = {"2": ((6, 1), (7, 0), (7, 5), (8, 0), (8, 6))}


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
    found, code = capabilities(), code_of(paddle)
    if found and code is not None and not has_code(found[0], code):
        logger.warning(
            "`device` auto: cpu, because Paddle %s has no code for a card of compute capability %s; Paddle 3 has",
            paddle, shown(found[0]),
        )  # fmt: skip
        return "cpu"
    return "gpu" if found else "cpu"


def gpu_build(version: Callable[[str], str] = importlib.metadata.version) -> str | None:
    """The version of Paddle's GPU build; None where it is not installed."""
    try:
        return version("paddlepaddle-gpu")
    except importlib.metadata.PackageNotFoundError:
        return None


def capabilities() -> list[Capability]:
    """Of each NVIDIA card that the driver shows to this process; empty without a driver, or with a broken one."""
    try:
        found = nvidia.driver()
    except RunError:
        return []
    return [] if found is None else [card.capability for card in found.cards]


def code_of(paddle: str) -> tuple[Capability, ...] | None:
    """The compute capabilities that the GPU wheel of this version has machine code for; None: we know no list."""
    return _CODE.get(paddle.partition(".")[0])


def has_code(capability: Capability, code: Sequence[Capability]) -> bool:
    """Machine code runs on cards of its own major version, from its minor version up."""
    return any(major == capability[0] and minor <= capability[1] for major, minor in code)


def shown(capability: Capability) -> str:
    return f"{capability[0]}.{capability[1]}"
