"""An engine on the GPU, as a function from token ids to logits.

An engine has one or more profiles, ranges of shapes that it was compiled for. Each that is used has an execution
context and memory of its own, enough for its largest shape: addresses never change, so launches can be recorded.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ofa_bert.bundle.manifest import INPUTS, OUTPUT
from ofa_bert.errors import RunError, UserError
from ofa_bert.numerics import Dtype
from ofa_bert.runtime.backends.base import Ids, Logits
from ofa_bert.runtime.nvidia.cuda import Cuda, numpy_type
from ofa_bert.runtime.nvidia.lane import Lane
from ofa_bert.runtime.nvidia.library import Foreign, Library
from ofa_bert.runtime.nvidia.ranges import Range, choose
from ofa_bert.runtime.nvidia.runtime_cache import RuntimeSettings

logger = logging.getLogger(__name__)


class EngineSession:
    """Close it, or let it go: then all that it has on the GPU is freed."""

    def __init__(
        self, library: Library, cuda: Cuda, content: bytes, where: str, pad_token_id: int | None = None,
        cache: Path | None = None,
    ):  # fmt: skip
        """where: the engine's name in messages. cache: where kernels that are compiled as it runs are kept.

        pad_token_id: texts that are shorter than the engine's least are filled up with it; None: they are refused.
        UserError for what is no engine of such a model, RunError when the library does not open it.
        """
        self._where, self._pad = where, pad_token_id
        self._lock = threading.Lock()  # one stream, one set of buffers
        engine, runtime = _opened(library, content, where)
        self._types = _interface(engine, where)
        self._ranges = [Range.of(engine, index) for index in range(engine.num_optimization_profiles)]
        self._parts = _Parts(cuda, RuntimeSettings(library, engine, cache), [engine, runtime])
        self._end = weakref.finalize(self, _Parts.close, self._parts)

    def run(self, input_ids: Ids, token_type_ids: Ids) -> Logits:
        """Logits [B, C] float32, of int64 [B, T]; more rows than the engine takes are done one part after the other."""
        with self._lock:
            if self._parts.closed:
                raise RunError(f"{self._where}: is closed")
            rows, tokens = input_ids.shape
            index = choose(self._ranges, rows, tokens)
            if index is None:
                raise RunError(
                    f"{self._where}: takes {self._lengths()} tokens, a text has {tokens}; compile one for that with"
                    " python -m ofa_bert engine `length`"
                )
            most = self._ranges[index].most[0]
            found = [
                self._part(index, input_ids[start : start + most], token_type_ids[start : start + most])
                for start in range(0, rows, most)
            ]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _part(self, index: int, input_ids: Ids, token_type_ids: Ids) -> Logits:
        rows, tokens = input_ids.shape
        least = self._ranges[index].least
        if tokens < least[1] and self._pad is None:
            raise RunError(f"{self._where}: takes {self._lengths()} tokens, a text has {tokens}")
        fills = {INPUTS[0]: self._pad or 0, INPUTS[1]: 0}
        arrays = {
            name: np.ascontiguousarray(_filled(array, least, fills[name]), self._types[name])
            for name, array in zip(INPUTS, (input_ids, token_type_ids))
        }
        return self._parts.lane(index, self._ranges[index].most, self._types).run(arrays)[:rows]

    def _lengths(self) -> str:
        return " or ".join(f"{found.least[1]} to {found.most[1]}" for found in self._ranges)

    @property
    def engine(self) -> Foreign:
        """The library's own object, while the session is open."""
        return self._parts.foreign[0]

    def close(self) -> None:
        """Free all that is on the GPU; nothing runs afterwards."""
        with self._lock:
            self._end()


class _Parts:
    """What has to be freed."""

    def __init__(self, cuda: Cuda, settings: RuntimeSettings, foreign: list[Foreign]):
        self._cuda, self._settings, self.foreign = cuda, settings, foreign
        self._lanes: dict[int, Lane] = {}
        self._stream = cuda.stream()
        self.closed = False

    def lane(self, index: int, most: tuple[int, int], types: Mapping[str, Dtype]) -> Lane:
        """The one of that profile; its memory is taken when it is first asked for."""
        if index not in self._lanes:
            lane = Lane(self._cuda, self._settings, types, self._stream)
            try:
                lane.prepare(index, most)
            except BaseException:
                lane.close()
                raise
            self._lanes[index] = lane
        return self._lanes[index]

    def close(self) -> None:
        """What was made last goes first; what the GPU refuses now is lost with it, and said to nobody."""
        self.closed = True
        steps: list[Callable[[], object]] = [
            self._settings.keep,
            *(lane.close for lane in self._lanes.values()),
            self._settings.close,
        ]
        steps += [self.foreign.clear, lambda: self._cuda.call("cudaStreamDestroy", self._stream)]
        for step in steps:
            try:
                step()
            except RunError as error:
                logger.debug("while an engine is closed: %s", error)
        self._lanes.clear()


def _opened(library: Library, content: bytes, where: str) -> tuple[Foreign, Foreign]:
    """(engine, runtime), the second of which must live longer."""
    said = library.messages
    said.clear()
    try:
        runtime: Foreign = library.module.Runtime(said.logger)
        engine: Foreign | None = runtime.deserialize_cuda_engine(content)
    except (TypeError, RuntimeError) as error:
        raise RunError(f"{where}: {library.name} does not open it: {said.first()}") from error
    if engine is None:
        raise RunError(
            f"{where}: {library.name} does not open it: {said.first()}; compile it again with python -m ofa_bert engine"
        )
    return engine, runtime


def _interface(engine: Foreign, where: str) -> dict[str, Dtype]:
    """The type of each input and output. UserError unless they are those of a model of ours."""
    names = [engine.get_tensor_name(place) for place in range(engine.num_io_tensors)]
    inputs = {name for name in names if engine.get_tensor_mode(name).name == "INPUT"}
    if inputs != set(INPUTS) or OUTPUT not in set(names) - inputs:
        raise UserError(
            f"{where}: has inputs {', '.join(sorted(inputs))} and outputs {', '.join(sorted(set(names) - inputs))},"
            f" must have {', '.join(INPUTS)} and {OUTPUT}"
        )
    return {name: numpy_type(engine.get_tensor_dtype(name).name) for name in names}


def _filled(array: Ids, least: tuple[int, int], value: int) -> Ids:
    """At least so many rows and tokens; more rows repeat the last one."""
    tokens = max(0, least[1] - array.shape[1])
    longer = np.pad(array, ((0, 0), (0, tokens)), constant_values=value) if tokens else array
    rows = max(0, least[0] - array.shape[0])
    return np.pad(longer, ((0, rows), (0, 0)), mode="edge") if rows else longer
