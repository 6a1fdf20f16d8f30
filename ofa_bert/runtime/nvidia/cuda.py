"""GPU memory, a stream and recorded launches through NVIDIA's cuda-python; what it refuses is a RunError."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import cast

import numpy as np

from ofa_bert.errors import RunError, UserError, first_line
from ofa_bert.numerics import Array, Dtype
from ofa_bert.reporting import one_line

MODULE = "cuda.bindings.runtime"
_NOT_THERE = "an engine gets its GPU memory through NVIDIA's cuda-python, which"
_CURE = "pip install cuda-python"


def require() -> Cuda:
    """UserError, with the cure, where cuda-python is missing or does not load."""
    try:
        module = importlib.import_module(MODULE)
    except ModuleNotFoundError as error:
        raise UserError(f"{_NOT_THERE} is not installed; {_CURE}") from error
    except ImportError as error:
        raise UserError(f"{_NOT_THERE} does not load: {first_line(error)}; {_CURE}") from error
    return Cuda(module)


class Cuda:
    """The calls of the CUDA runtime that are needed here, on the first GPU."""

    def __init__(self, module: ModuleType):
        self._module = module

    def call(self, name: str, *arguments: object) -> object:  # its bindings have no types of their own
        """What a function gives beside its error code. RunError, in CUDA's words, for any other code than 0."""
        code, *found = getattr(self._module, name)(*arguments)
        if int(code) != 0:
            _, said = self._module.cudaGetErrorString(code)
            text = said.decode("utf-8", errors="replace") if isinstance(said, bytes) else str(said)
            raise RunError(f"CUDA, {name}: {one_line(text)} (error {int(code)})")
        return found[0] if found else None

    def stream(self) -> object:
        return self.call("cudaStreamCreate")

    def wait(self, stream: object) -> None:
        """Until all that was put into the stream is done."""
        self.call("cudaStreamSynchronize", stream)

    def to_device(self, address: int, array: Array, stream: object) -> None:
        """array: contiguous, and kept by the caller until the stream has done this."""
        kind = self._module.cudaMemcpyKind.cudaMemcpyHostToDevice
        self.call("cudaMemcpyAsync", address, array.ctypes.data, array.nbytes, kind, stream)

    def to_host(self, array: Array, address: int, stream: object) -> None:
        """array: as above; it holds the values once the stream has done this."""
        kind = self._module.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self.call("cudaMemcpyAsync", array.ctypes.data, address, array.nbytes, kind, stream)

    def recorded(self, stream: object, launch: Callable[[], object]) -> object | None:
        """What `launch` puts into the stream, to be launched again as one; None when it cannot be recorded."""
        # Other threads may go on with CUDA: only this one's calls belong to the recording.
        self.call("cudaStreamBeginCapture", stream, self._module.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal)
        sound = False
        with suppress(RuntimeError):
            sound = bool(launch())
        try:
            graph = self.call("cudaStreamEndCapture", stream)
            try:
                return self.call("cudaGraphInstantiate", graph, 0) if sound else None
            finally:
                self.call("cudaGraphDestroy", graph)
        except RunError:
            self._module.cudaGetLastError()  # it would be told to whoever asks next
            return None


class Buffer:
    """Memory on the GPU. RunError when there is not so much left."""

    def __init__(self, cuda: Cuda, count: int):
        self._cuda = cuda
        self.bytes = count
        self.address = int(cast(int, cuda.call("cudaMalloc", count)))

    def free(self) -> None:
        address, self.address = self.address, 0
        if address:
            self._cuda.call("cudaFree", address)


def handle_of(stream: object) -> int:
    """What TensorRT knows a stream by."""
    return int(cast(int, stream))


def numpy_type(name: str) -> Dtype:
    """The type of what TensorRT calls so. UserError for one that NumPy has not."""
    known = {"FLOAT": "float32", "HALF": "float16", "INT64": "int64", "INT32": "int32"}
    if name not in known:
        raise UserError(f"the engine has an input or output in {one_line(name)}, must be one of {', '.join(known)}")
    return np.dtype(known[name])
