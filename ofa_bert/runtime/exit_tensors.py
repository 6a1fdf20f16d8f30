"""How hidden states travel between the parts of a model with exits: as NumPy arrays, or without leaving the GPU.

No Paddle and no ONNX Runtime are imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ofa_bert.exits.loop import Library

if TYPE_CHECKING:
    from onnxruntime import OrtValue


class OnDevice:
    """A tensor that stays where it was computed; of an array it has what the loop over exits looks at."""

    def __init__(self, value: OrtValue):
        self.value = value
        self.shape: tuple[int, ...] = tuple(value.shape())

    def __len__(self) -> int:
        return self.shape[0]


Host = NDArray[np.generic]
Array = Host | OnDevice
# Part of a model: its inputs in the order that it was exported with, to its outputs.
Part = Callable[..., list[Array]]


def on_host() -> Library:
    return Library(_take, _join)


def on_device(select: Part, join: Part) -> Library:
    """`select`: (tensor, rows) -> [those rows]; `join`: (tensor, tensor) -> [both, the shorter one padded with 0].

    Token ids are small and stay NumPy's.
    """

    def take(array: Array, rows: NDArray[np.int64]) -> Array:
        return _take(array, rows) if isinstance(array, np.ndarray) else select(array, rows)[0]

    def together(arrays: Sequence[Array], axis: int, value: float) -> Array:
        if isinstance(arrays[0], np.ndarray):
            return _join([array for array in arrays if isinstance(array, np.ndarray)], axis, value)
        return reduce(lambda first, second: join(first, second)[0], arrays)

    return Library(take, together)


def _take(array: Host, rows: NDArray[np.int64]) -> Host:
    taken: Host = array[rows]
    return taken


def _join(arrays: Sequence[Host], axis: int, value: float) -> Host:
    assert axis == 1  # of both kinds of array that travel here
    longest = max(array.shape[1] for array in arrays)
    joined = np.full([sum(map(len, arrays)), longest, *arrays[0].shape[2:]], value, arrays[0].dtype)
    start = 0
    for array in arrays:
        joined[start : start + len(array), : array.shape[1]] = array
        start += len(array)
    return joined
