"""NVIDIA's TensorRT for RTX and TensorRT: one interface of Python, two packages.

Neither has types of its own: what comes from them is `Foreign`.
"""

from __future__ import annotations

import functools
import importlib
import logging
import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

from ofa_bert.errors import UserError, first_line
from ofa_bert.reporting import one_line
from ofa_bert.runtime.backends.tensorrt import RTX_PROVIDER
from ofa_bert.system import packages

logger = logging.getLogger(__name__)


class Foreign(Protocol):
    """An object of NVIDIA's bindings, which have no types of their own."""

    def __getattr__(self, name: str) -> Any: ...


RTX, TENSORRT = "rtx", "tensorrt"
NAMES = {RTX: "TensorRT-RTX", TENSORRT: "TensorRT"}
OF_PROVIDER = {RTX_PROVIDER: RTX, "tensorrt": TENSORRT}
_OLDEST = (10, 12)  # TensorRT whose parser and flags are those of 11


@dataclass(frozen=True)
class Library:
    """An installed one. runtime: RTX or TENSORRT."""

    runtime: str
    module: ModuleType
    version: str

    @property
    def name(self) -> str:
        return f"{NAMES[self.runtime]} {self.version}"

    @property
    def targets(self) -> dict[str, object]:
        """Compute capability -> the member that stands for it; empty where it compiles for this machine's GPU alone."""
        if self.runtime != RTX:
            return {}
        members = self.module.ComputeCapability.__members__
        return {f"{name[2:-1]}.{name[-1]}": member for name, member in members.items() if re.match(r"SM\d", name)}

    @property
    def messages(self) -> Messages:
        return _messages(self.module)


def installed(runtime: str) -> Library:
    """The library; UserError, with the cure, where it is missing, too old or does not load."""
    if runtime == RTX:
        module = packages.require("tensorrt_rtx_bindings")
        return Library(runtime, module, module.__version__)
    try:
        module = importlib.import_module("tensorrt")
    except ImportError as error:
        raise UserError(
            f"runtime tensorrt: NVIDIA's package does not load ({first_line(error)}); pip install tensorrt on the"
            " machine with the GPU, or take `runtime` rtx, which compiles without one"
        ) from error
    version = str(module.__version__)
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < _OLDEST:
        raise UserError(
            f"runtime tensorrt: version {version} is installed, 10.12 or later is needed; pip install -U tensorrt"
        )
    return Library(runtime, module, version)


class Messages:
    """What a library logs: errors are kept for a message of ours, the rest is for --verbose."""

    def __init__(self, module: ModuleType) -> None:
        self.errors: list[str] = []
        errors = self.errors

        class Logger(module.ILogger):  # type: ignore[misc, name-defined]  # its base is known when it runs
            def __init__(self) -> None:
                module.ILogger.__init__(self)

            def log(self, severity: Foreign, message: str) -> None:
                if severity in (module.ILogger.ERROR, module.ILogger.INTERNAL_ERROR):
                    errors.append(message)
                else:
                    logger.debug("%s", one_line(message))

        self.logger = Logger()

    def clear(self) -> None:
        self.errors.clear()

    def last(self) -> str:
        return self._line(-1)

    def first(self) -> str:
        """What it said first: the cause, where what followed was only its consequence."""
        return self._line(0)

    def _line(self, place: int) -> str:
        said = self.errors[place].splitlines() if self.errors else []
        return one_line(said[0]) if said else "it does not say why"


@functools.cache
def _messages(module: ModuleType) -> Messages:
    """One for the whole process: the libraries keep the first logger that they are given."""
    return Messages(module)
