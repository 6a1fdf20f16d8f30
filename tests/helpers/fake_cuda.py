"""NVIDIA's cuda.bindings.runtime without a GPU: device memory that holds bytes, streams that work when one waits.

What is put into a stream is done at `cudaStreamSynchronize` alone, so a host array that was let go too early, or a
result that was not waited for, is found out. tests/engines/test_rtx_engines.py holds the signatures against the real
ones.
"""

# ruff: noqa: N802, N803, N816 - the names are NVIDIA's
from __future__ import annotations

import ctypes
import enum
import itertools
import types

import numpy as np

GARBAGE = 0x5A  # what fresh memory holds

cudaMemcpyKind = enum.Enum("cudaMemcpyKind", {"cudaMemcpyHostToDevice": 1, "cudaMemcpyDeviceToHost": 2})
cudaStreamCaptureMode = enum.Enum("cudaStreamCaptureMode", "cudaStreamCaptureModeThreadLocal")
cudaError_t = enum.IntEnum(
    "cudaError_t",
    {"cudaSuccess": 0, "cudaErrorMemoryAllocation": 2, "cudaErrorIllegalAddress": 700,
     "cudaErrorStreamCaptureInvalidated": 901},
)  # fmt: skip
WORDS = {0: b"no error", 2: b"out of memory", 700: b"an illegal memory access was encountered", 901: b"invalidated"}


class Stream:
    def __init__(self, number):
        self.number, self.waiting, self.capturing = number, [], None

    def __int__(self):
        return self.number


class Device:
    """A GPU: `calls` are the names of what was asked, `memory` is what is allocated."""

    def __init__(self, room=1 << 30, captures=True):
        self.room, self.captures = room, captures
        self.memory, self.streams, self.graphs, self.calls = {}, {}, set(), []
        self.failed = 0
        self._numbers = itertools.count(0x7000_0000, 0x100_0000)

    def at(self, address, count):
        """A view of device memory. IndexError outside what is allocated."""
        held = self.memory.get(address)
        if held is None or count > len(held):
            raise IndexError(f"{count} bytes at {address:#x}")
        return held[:count]

    def put(self, stream, work):
        """Work for a stream, by its number."""
        found = self.streams[int(stream)]
        (found.waiting if found.capturing is None else found.capturing).append(work)

    @property
    def left(self):
        """What was not freed."""
        return [*self.memory, *self.streams, *self.graphs]


def module(device):
    """The module cuda.bindings.runtime of that GPU."""
    made = types.ModuleType("cuda.bindings.runtime")

    def called(function):
        def call(*arguments):
            device.calls.append(function.__name__)
            return function(*arguments)

        call.__wrapped__ = function
        setattr(made, function.__name__, call)

    @called
    def cudaMalloc(size):
        if size > device.room:
            return cudaError_t.cudaErrorMemoryAllocation, None
        device.room -= size
        address = next(device._numbers)
        device.memory[address] = np.full(size, GARBAGE, np.uint8)
        return cudaError_t.cudaSuccess, address

    @called
    def cudaFree(devPtr):
        device.room += len(device.memory.pop(devPtr))
        return (cudaError_t.cudaSuccess,)

    @called
    def cudaMemcpyAsync(dst, src, count, kind, stream):
        host = src if kind is cudaMemcpyKind.cudaMemcpyHostToDevice else dst

        def copy():
            there = np.frombuffer((ctypes.c_uint8 * count).from_address(host), np.uint8)
            if kind is cudaMemcpyKind.cudaMemcpyHostToDevice:
                device.at(dst, count)[:] = there
            else:
                there[:] = device.at(src, count)

        device.put(stream, copy)
        return (cudaError_t.cudaSuccess,)

    @called
    def cudaStreamCreate():
        stream = Stream(next(device._numbers))
        device.streams[stream.number] = stream
        return cudaError_t.cudaSuccess, stream

    @called
    def cudaStreamDestroy(stream):
        del device.streams[int(stream)]
        return (cudaError_t.cudaSuccess,)

    @called
    def cudaStreamSynchronize(stream):
        waiting, stream.waiting = stream.waiting, []
        try:
            for work in waiting:
                work()
        except IndexError:
            return (cudaError_t.cudaErrorIllegalAddress,)
        return (cudaError_t.cudaSuccess,)

    @called
    def cudaStreamBeginCapture(stream, mode):
        assert stream.capturing is None
        assert mode is cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        stream.capturing = []
        return (cudaError_t.cudaSuccess,)

    @called
    def cudaStreamEndCapture(stream):
        graph, stream.capturing = stream.capturing, None
        if not device.captures:
            device.failed = 901
            return cudaError_t.cudaErrorStreamCaptureInvalidated, None
        device.graphs.add(id(graph))
        return cudaError_t.cudaSuccess, graph

    @called
    def cudaGraphInstantiate(graph, flags):
        made = list(graph)
        device.graphs.add(id(made))
        return cudaError_t.cudaSuccess, made

    @called
    def cudaGraphLaunch(graphExec, stream):
        assert id(graphExec) in device.graphs
        for work in graphExec:
            device.put(stream, work)
        return (cudaError_t.cudaSuccess,)

    @called
    def cudaGraphDestroy(graph):
        device.graphs.remove(id(graph))
        return (cudaError_t.cudaSuccess,)

    @called
    def cudaGraphExecDestroy(graphExec):
        device.graphs.remove(id(graphExec))
        return (cudaError_t.cudaSuccess,)

    @called
    def cudaGetErrorString(error):
        return cudaError_t.cudaSuccess, WORDS[int(error)]

    @called
    def cudaGetLastError():
        code, device.failed = device.failed, 0
        return (cudaError_t(code),)

    for item in (cudaMemcpyKind, cudaStreamCaptureMode, cudaError_t):
        setattr(made, item.__name__, item)
    return made
