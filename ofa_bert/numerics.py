"""Small numeric functions that several packages share, and what arrays are called in annotations; NumPy alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

# What the elements are; shapes stand in docstrings. `Array` where a file or a model decides: NumPy's own word is Any.
Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.floating[Any]]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
Dtype: TypeAlias = np.dtype[np.generic]

# Added to the attention scores of padding, as PaddleNLP does it. Half precision holds it.
MASKED = -1e4


def log_softmax(logits: Floats) -> NDArray[np.float64]:
    """log of softmax over the last axis, in float64."""
    wide = np.asarray(logits, dtype=np.float64)
    shifted = np.asarray(wide - wide.max(axis=-1, keepdims=True))
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def log_sigmoid(logits: Floats) -> Floats:
    """log of 1 / (1 + exp(-x)), in float64."""
    return -np.logaddexp(0.0, -np.asarray(logits, dtype=np.float64))


def undominated(items: Iterable[T], cost: Callable[[T], float], value: Callable[[T], float]) -> list[T]:
    """The items that no other beats in value without costing more; cheapest first, values ascending.

    Of items with the same value and cost the first one stays.
    """
    front: list[T] = []
    for item in sorted(items, key=lambda item: (cost(item), -value(item))):  # stable: the first of equals stays first
        if not front or value(item) > value(front[-1]):
            front.append(item)
    return front
