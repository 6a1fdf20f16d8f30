"""One profile of an engine at work: its context, its memory, and the launches that were recorded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ofa_bert.bundle.manifest import INPUTS, OUTPUT
from ofa_bert.errors import RunError
from ofa_bert.numerics import Array, Dtype
from ofa_bert.runtime.backends.base import Logits
from ofa_bert.runtime.nvidia.cuda import Buffer, Cuda, handle_of
from ofa_bert.runtime.nvidia.library import Foreign
from ofa_bert.runtime.nvidia.runtime_cache import RuntimeSettings

RECORDED = 64  # shapes whose launches are kept, the least recently used goes

Shape = tuple[int, ...]


class _Recording(NamedTuple):
    """The launches of one shape as one; None: it has run once, or cannot be recorded."""

    graph: object | None
    output: Shape


class Lane:
    """Nothing of it is on the GPU before `prepare`; `close` also frees what a failed one left."""

    def __init__(self, cuda: Cuda, settings: RuntimeSettings, types: Mapping[str, Dtype], stream: object):
        """types: of each input and output."""
        self._cuda, self._settings, self._types, self._stream = cuda, settings, types, stream
        self._buffers: dict[str, Buffer] = {}
        self._recordings: OrderedDict[Shape, _Recording] = OrderedDict()
        self._records = not settings.records_itself
        self._made: Foreign | None = None
        self._handle = handle_of(stream)

    def prepare(self, index: int, most: Shape) -> None:
        """A context for the profile of that index, whose largest shape is `most`, and memory for that shape."""
        self._made = self._settings.context()
        self._must(self._context.set_optimization_profile_async(index, self._handle), f"profile {index}")
        self._cuda.wait(self._stream)
        for name in INPUTS:
            self._set_shape(name, most)
            self._buffers[name] = Buffer(self._cuda, int(np.prod(most)) * self._types[name].itemsize)
        for name in self._types.keys() - set(INPUTS):
            self._buffers[name] = Buffer(self._cuda, int(self._context.get_max_output_size(name)))
        for name, buffer in self._buffers.items():
            self._must(self._context.set_tensor_address(name, buffer.address), f"the memory of {name}")

    @property
    def _context(self) -> Foreign:
        assert self._made is not None  # as `prepare` made it
        return self._made

    def run(self, arrays: Mapping[str, Array]) -> Logits:
        """arrays: both inputs [B, T], contiguous, in the engine's types. The logits [B, C] as float32."""
        shape = arrays[INPUTS[0]].shape
        for name, array in arrays.items():
            self._cuda.to_device(self._buffers[name].address, array, self._stream)
        output = self._launch(shape)
        found = np.empty(output, self._types[OUTPUT])
        if found.nbytes > self._buffers[OUTPUT].bytes:
            raise RunError(f"the engine's {OUTPUT} {output} are larger than it says that they can be")
        self._cuda.to_host(found, self._buffers[OUTPUT].address, self._stream)
        self._cuda.wait(self._stream)
        return found.astype(np.float32, copy=False)

    def _launch(self, shape: Shape) -> Shape:
        """The shape of the logits, which are on the GPU once the stream is done."""
        known = self._recordings.get(shape)
        if known is not None and known.graph is not None:
            self._recordings.move_to_end(shape)
            self._cuda.call("cudaGraphLaunch", known.graph, self._stream)
            return known.output
        for name in INPUTS:
            self._set_shape(name, shape)
        output = tuple(self._context.get_tensor_shape(OUTPUT))
        self._execute()
        if self._records:
            self._record(shape, output, again=known is not None)
        return output

    def _record(self, shape: Shape, output: Shape, again: bool) -> None:
        """The second time that a shape comes; the run before has set up what TensorRT sets up only once for it."""
        graph = None
        if again:
            graph = self._cuda.recorded(self._stream, lambda: self._context.execute_async_v3(self._handle))
            self._records = graph is not None
        self._recordings[shape] = _Recording(graph, output)
        self._recordings.move_to_end(shape)
        while len(self._recordings) > RECORDED:
            self._forget(self._recordings.popitem(last=False)[1])

    def _forget(self, recording: _Recording) -> None:
        if recording.graph is not None:
            self._cuda.call("cudaGraphExecDestroy", recording.graph)

    def _execute(self) -> None:
        self._must(self._context.execute_async_v3(self._handle), "the run")

    def _set_shape(self, name: str, shape: Shape) -> None:
        self._must(self._context.set_input_shape(name, shape), f"{name} of shape {'x'.join(map(str, shape))}")

    def _must(self, done: object, what: str) -> None:
        if not done:
            raise RunError(f"{self._settings.library.name} refuses {what}: {self._settings.library.messages.last()}")

    def close(self) -> None:
        for recording in self._recordings.values():
            self._forget(recording)
        self._recordings.clear()
        self._made = None
        for buffer in self._buffers.values():
            buffer.free()
        self._buffers.clear()
